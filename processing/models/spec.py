"""What a model is: one row of `catalogue.toml`, checked."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from processing.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"
CATALOGUE = Path(__file__).parent / "catalogue.toml"
DEFAULT_MODEL = "compact"


@dataclass(frozen=True)
class ModelSpec:
    """Everything the code knows about a model.

    Parameters
    ----------
    name : str
        Key in the catalogue.
    title, about : str
        For people: a name, and what the model is good at.
    runtime : str
        Key of `processing.sessions.RUNTIMES`: what runs the weights.
    weights : Path
        The weights file.
    sha256 : str
        SHA-256 of the weights, checked before they are loaded; empty means unknown.
    size_bytes : int
        Length of the weights file.
    input_size : int or None
        Side of the square the image is squeezed to; None when the runtime prepares its own input.
    mean, std : tuple of float
        Subtracted from, and divided into, each colour channel after scaling.
    scale : str
        ``"255"`` divides pixels by 255, ``"max"`` by the brightest value of the image (rembg's rule).
    levels : tuple of float
        Output values taken as 0 and as 1; what lies between is stretched linearly.
    stretch : bool
        Whether the output's own minimum and maximum are stretched to 0 and 1 first (rembg's rule).
    empty_below : float
        A raw output that peaks under this value means "no subject found".
    licence, commercial_use : str
        Terms of the weights; commercial use is ``"yes"``, ``"no"`` or ``"unclear"``.
    card : Path or None
        The model card, if there is one.
    session : str
        Name of rembg's session class, for the runtime ``"rembg"``.
    """

    name: str
    title: str
    about: str
    runtime: str
    weights: Path
    sha256: str = ""
    size_bytes: int = 0
    input_size: int | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: str = "255"
    levels: tuple[float, float] = (0.0, 1.0)
    stretch: bool = False
    empty_below: float = 0.0
    licence: str = "unknown"
    commercial_use: str = "unclear"
    card: Path | None = None
    session: str = ""

    @classmethod
    def from_row(cls, name: str, row: Mapping[str, Any]) -> ModelSpec:
        """Make a spec from a table of the catalogue.

        Raises
        ------
        ModelError
            If the table has a key that is not known or lacks one that is needed.
        """
        unknown = set(row) - {field.name for field in fields(cls)}
        if unknown:
            raise ModelError(f"catalogue.toml, [{name}]: unknown key {', '.join(sorted(unknown))}.")
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        for key in ("weights", "card"):
            if key in values:
                values[key] = WEIGHTS / values[key]
        try:
            return cls(name=name, **values)
        except TypeError as error:
            raise ModelError(f"catalogue.toml, [{name}]: {error}.") from error


@cache
def load_catalogue() -> dict[str, ModelSpec]:
    """Read `catalogue.toml`: model name to spec, in the file's order."""
    rows = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {name: ModelSpec.from_row(name, row) for name, row in rows.items()}


def find_model(name: str) -> ModelSpec:
    """Look a model up by name.

    Raises
    ------
    ModelError
        If the catalogue has no such model; the message names those it has.
    """
    catalogue = load_catalogue()
    if name in catalogue:
        return catalogue[name]
    close = difflib.get_close_matches(name, catalogue, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ModelError(f"Unknown model {name!r}. Known: {', '.join(catalogue)}.{hint}")
