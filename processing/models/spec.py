"""What a model is: one row of `catalogue.toml`, checked."""

from __future__ import annotations

import difflib
import os
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

#: What a picture may show, as people choose it: key in the catalogue to words.
SUBJECTS = {
    "anything": "Anything",
    "people": "People",
    "products": "Products and objects",
    "anime": "Drawn figures",
    "clothes": "Clothes",
}

#: Whether money may be made with what the weights give: key in the catalogue to words.
COMMERCIAL_USE = {
    "yes": "allowed",
    "declared": "declared as allowed; the terms of the training data are stricter",
    "unclear": "unclear",
    "no": "not allowed",
}

#: How a model's input may be made small: names of Pillow's filters.
RESAMPLES = ("lanczos", "bilinear")

_REMOTE = (
    "The model {name!r} uploads your photo to a paid service ({service}). That is not done here: photos stay on this "
    "machine. Choose a model that runs locally; `python -m processing models list` shows them."
)
_OWN = (
    "{name!r} is rembg's name for a model of one's own. Give the path of its file instead, for example "
    "`--model my-model.onnx`."
)

#: Names of rembg that are refused, and why.
REFUSED = {
    "withoutbg": _REMOTE.format(name="withoutbg", service="withoutbg.com"),
    "atlascloud": _REMOTE.format(name="atlascloud", service="atlascloud.ai"),
    **{name: _OWN.format(name=name) for name in ("u2net_custom", "dis_custom", "ben_custom")},
}


@dataclass(frozen=True)
class WeightsFile:
    """A file that belongs to a model.

    Parameters
    ----------
    name : str
        Its name in the model's folder.
    url : str
        Where it is published; empty for files that come with the project or are the user's own.
    size_bytes : int
        Its length; 0 means unknown.
    sha256, md5 : str
        Its checksums; empty means unknown. Where both are known the SHA-256 decides.
    """

    name: str
    url: str = ""
    size_bytes: int = 0
    sha256: str = ""
    md5: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """Everything the code knows about a model.

    Parameters
    ----------
    name : str
        Key in the catalogue; the path of its file for a model of the user's own.
    title, about : str
        For people: a name, and what the model is good at.
    subjects : tuple of str
        Keys of `SUBJECTS`: the pictures it is meant for.
    wait_s : float
        About how long one photo takes on two CPU cores, in seconds; 0 means unknown.
    runtime : str
        Key of `processing.sessions.RUNTIMES`: what runs the weights.
    weights : Path
        The weights file. An absolute path is where it is; a bare name is looked for by `processing.models.folder`.
    url, size_bytes, sha256, md5
        See `WeightsFile`. The checksum is compared before the weights are loaded.
    more_files : tuple of WeightsFile
        Files that the model needs beside its weights.
    made_from : str
        The model whose weights these are converted from; such a file is made here, not fetched.
    input_size : int or None
        Side of the square the image is squeezed to; None when the runtime prepares its own input.
    mean, std : tuple of float
        Subtracted from, and divided into, each colour channel after scaling.
    scale : str
        ``"255"`` divides pixels by 255, ``"max"`` by the brightest value of the image.
    resample : str
        How the image is squeezed: ``"lanczos"``, as rembg does, or the softer ``"bilinear"``.
    activation : str
        ``"sigmoid"`` where the network gives logits, else empty.
    levels : tuple of float
        Output values taken as 0 and as 1; what lies between is stretched linearly.
    stretch : bool
        Whether the output's own minimum and maximum are stretched to 0 and 1 first (rembg's rule).
    empty_below : float
        An output that peaks under this value, after the activation, means "no subject found".
    code_licence, licence : str
        Terms of the network's code and of the weights.
    caveat : str
        What is known against the licence: terms of the training data, conflicting statements.
    commercial_use : str
        Key of `COMMERCIAL_USE`.
    attribution : str
        Whom to name, and how.
    source : str
        Address where the model is described.
    card : Path or None
        The model card, if there is one.
    session : str
        Name of rembg's session class; empty if rembg has none for it.
    """

    name: str
    title: str
    about: str
    runtime: str
    weights: Path
    subjects: tuple[str, ...] = ("anything",)
    wait_s: float = 0.0
    url: str = ""
    size_bytes: int = 0
    sha256: str = ""
    md5: str = ""
    more_files: tuple[WeightsFile, ...] = ()
    made_from: str = ""
    input_size: int | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: str = "255"
    resample: str = "lanczos"
    activation: str = ""
    levels: tuple[float, float] = (0.0, 1.0)
    stretch: bool = False
    empty_below: float = 0.0
    code_licence: str = "unknown"
    licence: str = "unknown"
    caveat: str = ""
    commercial_use: str = "unclear"
    attribution: str = ""
    source: str = ""
    card: Path | None = None
    session: str = ""

    @property
    def is_built_in(self) -> bool:
        """Whether the weights come with the project."""
        return self.weights.parent == WEIGHTS

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """Every file of the model, its weights first."""
        weights = WeightsFile(self.weights.name, self.url, self.size_bytes, self.sha256, self.md5)
        return (weights, *self.more_files)

    @property
    def total_bytes(self) -> int:
        """Length of all its files; 0 if one is not known."""
        sizes = [file.size_bytes for file in self.files]
        return sum(sizes) if all(sizes) else 0

    @classmethod
    def from_row(
        cls, name: str, row: Mapping[str, Any], folder: Path = WEIGHTS, where: str = "catalogue.toml"
    ) -> ModelSpec:
        """Make a spec from a table of a catalogue.

        Parameters
        ----------
        name : str
            The table's name.
        row : dict
            Its values.
        folder : Path
            Where weights and card lie that are not fetched.
        where : str
            Name of the file, for messages.

        Raises
        ------
        ModelError
            If the table has a key that is not known or lacks one that is needed, or a resampling that is not known.
        """
        unknown = set(row) - {field.name for field in fields(cls)} | set(row) & {"name"}
        if unknown:
            raise ModelError(f"{where}, [{name}]: unknown key {', '.join(sorted(unknown))}.")
        if row.get("resample", "lanczos") not in RESAMPLES:
            raise ModelError(f"{where}, [{name}]: resample is {row['resample']!r}. Known: {', '.join(RESAMPLES)}.")
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        try:
            values["more_files"] = tuple(WeightsFile(**file) for file in row.get("more_files", ()))
            if "weights" in values:
                is_fetched = "url" in values or "made_from" in values
                values["weights"] = Path(values["weights"]) if is_fetched else folder / values["weights"]
            if "card" in values:
                values["card"] = folder / values["card"]
            return cls(name=name, **values)
        except TypeError as error:
            raise ModelError(f"{where}, [{name}]: {error}.") from error


@cache
def load_catalogue() -> dict[str, ModelSpec]:
    """Read `catalogue.toml`, then the file that `CUTOUT_MODELS` names: model name to spec, in their order.

    Raises
    ------
    ModelError
        If a table cannot be used; the message names it.
    """
    specs = _read_catalogue(CATALOGUE, WEIGHTS)
    if own := os.environ.get("CUTOUT_MODELS"):
        path = Path(own).expanduser().absolute()
        for name, spec in _read_catalogue(path, path.parent).items():
            if name in specs:
                raise ModelError(f"{path}, [{name}]: there is a model of that name already. Give yours another one.")
            specs[name] = spec
    return specs


def _read_catalogue(path: Path, folder: Path) -> dict[str, ModelSpec]:
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}. CUTOUT_MODELS takes the path of a TOML file."
        ) from error
    except ValueError as error:
        raise ModelError(f"{path} is not TOML: {error}.") from error
    for name, row in rows.items():
        if not isinstance(row, dict):
            raise ModelError(f"{path}: {name!r} stands outside of a table. Write [name-of-the-model] above its values.")
    return {name: ModelSpec.from_row(name, row, folder, path.name) for name, row in rows.items()}


def is_own(name: str) -> bool:
    """Tell whether a model's name is the path of one of the user's own."""
    return name.lower().endswith((".onnx", ".toml"))


def find_model(name: str) -> ModelSpec:
    """Look a model up by name, or take one of the user's own by its path.

    Parameters
    ----------
    name : str
        Key in the catalogue, or the path of an ONNX file or of a TOML file with one table; see `processing.models.own`.

    Raises
    ------
    ModelError
        If there is no such model, the message names those there are; if it would send the photo away; if the user's own
        does not fit.
    """
    catalogue = load_catalogue()
    if name in catalogue:
        return catalogue[name]
    if name in REFUSED:
        raise ModelError(REFUSED[name])
    if is_own(name):
        from processing.models.own import read_own  # needs onnxruntime, which the browser does not have

        return read_own(Path(name))
    close = difflib.get_close_matches(name, catalogue, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ModelError(
        f"Unknown model {name!r}. Known: {', '.join(catalogue)}.{hint} A model of your own is given by the path of its "
        ".onnx or .toml file."
    )


def check_terms(spec: ModelSpec, non_commercial: bool) -> None:
    """Refuse weights that may not be used to make money to whoever has not said that they do not.

    Raises
    ------
    ModelError
        If the weights are for non-commercial use and `non_commercial` is false.
    """
    if spec.commercial_use == "no" and not non_commercial:
        raise ModelError(
            f"The weights of {spec.name!r} are for non-commercial use only ({spec.licence}). If yours is, say "
            "so: tick the box in the page, give --non-commercial, or non_commercial=True. Else choose another model."
        )
