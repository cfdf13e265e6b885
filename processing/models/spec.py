"""What a model is: one row of `catalogue.toml`, checked."""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
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

#: What a table of the user's own need not say; the rows of `catalogue.toml` must.
OWN_DEFAULTS: dict[str, Any] = {"about": "Your own model.", "runtime": "onnxruntime"}

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
class _Rule:
    """What a key takes, in words that end a message, and the test of it."""

    takes: str
    accepts: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_numbers(value: object, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count and all(map(_is_number, value))


def _one_of(names: Collection[str]) -> _Rule:
    return _Rule(f"Known: {', '.join(names)}.", lambda value: _is_text(value) and value in names)


_TEXT = _Rule("It takes text in quotes.", _is_text)
_NEEDED_TEXT = _Rule("It takes text in quotes, and may not be empty.", lambda value: _is_text(value) and bool(value))
_BYTES = _Rule(
    "It takes a whole number of bytes; 0 means that it is not known.", lambda value: _is_whole(value) and value >= 0
)

_FILE_RULES = {"name": _NEEDED_TEXT, "url": _TEXT, "size_bytes": _BYTES, "sha256": _TEXT, "md5": _TEXT}

_RULES = {
    "title": _NEEDED_TEXT,
    "about": _TEXT,
    "runtime": _NEEDED_TEXT,
    "weights": _NEEDED_TEXT,
    "subjects": _Rule(
        f"It takes a list of one or more of {', '.join(SUBJECTS)}.",
        lambda value: (
            isinstance(value, list | tuple)
            and bool(value)
            and all(_is_text(each) and each in SUBJECTS for each in value)
        ),
    ),
    "wait_s": _Rule(
        "It takes a number of seconds, 0 or more; 0 means that it is not known.",
        lambda value: _is_number(value) and value >= 0,
    ),
    "url": _TEXT,
    "size_bytes": _BYTES,
    "sha256": _TEXT,
    "md5": _TEXT,
    "more_files": _Rule(
        "It takes a list of tables, each with the name of a file.",
        lambda value: isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value),
    ),
    "made_from": _TEXT,
    "input_size": _Rule(
        "It takes a whole number from 16 to 4096, without quotes.",
        lambda value: _is_whole(value) and 16 <= value <= 4096,
    ),
    "mean": _Rule(
        "It takes three numbers, such as [0.485, 0.456, 0.406].",
        lambda value: _are_numbers(value, 3),
    ),
    "std": _Rule(
        "It takes three numbers above 0, such as [0.229, 0.224, 0.225].",
        lambda value: _are_numbers(value, 3) and min(value) > 0,
    ),
    "scale": _Rule('It takes "255" or "max", in quotes.', lambda value: _is_text(value) and value in ("255", "max")),
    "resample": _one_of(RESAMPLES),
    "activation": _Rule(
        'It takes "sigmoid", or "" where the network gives alpha itself.',
        lambda value: _is_text(value) and value in ("", "sigmoid"),
    ),
    "levels": _Rule(
        "It takes two numbers from 0 to 1, the lower one first, such as [0.1, 0.9].",
        lambda value: _are_numbers(value, 2) and 0 <= value[0] < value[1] <= 1,
    ),
    "stretch": _Rule("It takes true or false, without quotes.", lambda value: isinstance(value, bool)),
    "empty_below": _Rule(
        "It takes a number from 0 to 1, without quotes.", lambda value: _is_number(value) and 0 <= value <= 1
    ),
    "code_licence": _TEXT,
    "licence": _TEXT,
    "caveat": _TEXT,
    "commercial_use": _one_of(COMMERCIAL_USE),
    "attribution": _TEXT,
    "source": _TEXT,
    "card": _NEEDED_TEXT,
    "session": _TEXT,
}


def _check(row: Mapping[str, Any], rules: Mapping[str, _Rule], needed: Collection[str], place: str) -> None:
    """Refuse a table with a key that is not known, without one that is needed, or with a value against its rule."""
    if unknown := sorted(set(row) - set(rules)):
        raise ModelError(f"{place}: unknown key {', '.join(unknown)}. Known: {', '.join(rules)}.")
    if missing := [repr(key) for key in needed if key not in row]:
        keys, are = ("the key", "is") if len(missing) == 1 else ("the keys", "are")
        raise ModelError(f"{place}: {keys} {' and '.join(missing)} {are} missing. docs/models.md shows a whole table.")
    for key, value in row.items():
        if not rules[key].accepts(value):
            raise ModelError(f"{place}: {key} is {value!r}. {rules[key].takes}")


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
            If the table has a key that is not known, lacks one that is needed, or holds a value that is not allowed;
            the message names the file, the table, the key, the value and what is allowed.
        """
        place = f"{where}, [{name}]"
        needed = [field.name for field in fields(cls) if field.default is MISSING and field.name != "name"]
        _check(row, _RULES, needed, place)
        for file in row.get("more_files", ()):
            _check(file, _FILE_RULES, ["name"], f"{place}, more_files")
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        values["more_files"] = tuple(WeightsFile(**file) for file in row.get("more_files", ()))
        is_fetched = "url" in values or "made_from" in values
        values["weights"] = Path(values["weights"]) if is_fetched else folder / values["weights"]
        if "card" in values:
            values["card"] = folder / values["card"]
        return cls(name=name, **values)

    @classmethod
    def from_own_row(cls, name: str, row: Mapping[str, Any], path: Path) -> ModelSpec:
        """Make a spec from a table in the user's own file `path`: as `from_row`, but `OWN_DEFAULTS` need not be said.

        Paths in the table start at that file's folder.
        """
        return cls.from_row(name, {**OWN_DEFAULTS, **row}, path.parent, path.name)


@cache
def load_catalogue() -> dict[str, ModelSpec]:
    """Read `catalogue.toml`, then the file that `CUTOUT_MODELS` names: model name to spec, in their order.

    Raises
    ------
    ModelError
        If a table cannot be used; the message names it.
    """
    specs = {name: ModelSpec.from_row(name, row) for name, row in _read_tables(CATALOGUE).items()}
    if own := os.environ.get("CUTOUT_MODELS"):
        path = Path(own).expanduser().absolute()
        for name, row in _read_tables(path).items():
            if name in specs:
                raise ModelError(f"{path}, [{name}]: there is a model of that name already. Give yours another one.")
            specs[name] = ModelSpec.from_own_row(name, row, path)
    return specs


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
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
    return rows


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
