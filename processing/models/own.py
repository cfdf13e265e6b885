"""A model of the user's own: an ONNX file, or a TOML file with one table like those of `catalogue.toml`.

An ONNX file alone is taken to want what most of them want: ImageNet's mean and standard deviation, and to give alpha in
[0, 1]. Whatever else it wants stands in a table; `docs/models.md` shows one.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from processing.errors import ModelError
from processing.models.integrity import require_weights
from processing.models.spec import OWN_DEFAULTS, ModelSpec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Side of the model input where a file leaves it open, in pixels.
_OPEN_SIZE = 320

#: An output may go so far beyond [0, 1]: rounding in the network, not another kind of output.
_SLACK = 0.01

_CONTRACT = "A model here takes one float32 image of shape (1, 3, S, S) and first gives a matte (1, 1, h, w) in [0, 1]."


def read_own(path: Path) -> ModelSpec:
    """Describe a model of the user's own, after a trial run.

    Parameters
    ----------
    path : Path
        The ``.onnx`` file, or a ``.toml`` file with one table.

    Raises
    ------
    ModelError
        If the file is missing or no model, or if the model does not fit; the message says what it takes and gives.
    """
    path = path.expanduser().absolute()
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ModelError(f"There is no model at {path}: {error.strerror}. Check the path.") from error
    return _read_own(path, changed)


@cache
def _read_own(path: Path, changed: int) -> ModelSpec:  # a file that was written anew is read anew
    if path.suffix.lower() == ".toml":
        spec = _read_table(path)
    else:
        spec = ModelSpec(
            str(path),
            path.stem,
            weights=path,
            **OWN_DEFAULTS,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            licence="as its owner says",
            code_licence="as its owner says",
        )
    with open(spec.weights, "rb") as file:  # so that the record of a result says which file it was
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return try_out(replace(spec, sha256=spec.sha256 or sha256, size_bytes=spec.weights.stat().st_size))


def _read_table(path: Path) -> ModelSpec:
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as TOML: {error}.") from error
    if len(rows) != 1 or not all(isinstance(row, dict) for row in rows.values()):
        raise ModelError(f"{path} must hold one table, such as [my-model]; several go into the file of CUTOUT_MODELS.")
    ((name, row),) = rows.items()
    spec = ModelSpec.from_own_row(name, row, path)
    if not spec.weights.is_file():
        raise ModelError(
            f"{path.name}, [{name}]: there is no file {spec.weights}. Paths in it start at its own folder."
        )
    return replace(spec, name=str(path))


def try_out(spec: ModelSpec) -> ModelSpec:
    """Load a model, read its input's size from the file if the row leaves it open, and run it once on noise.

    Raises
    ------
    ModelError
        If it does not keep the contract.
    """
    from onnxruntime import InferenceSession

    path = require_weights(spec)
    try:
        session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ModelError(f"{path} cannot be loaded as an ONNX model: {error}") from error
    spec = replace(spec, input_size=spec.input_size or _read_size(session.get_inputs(), path))
    side = spec.input_size or _OPEN_SIZE
    tensor = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    try:
        raw = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: tensor})[0]
    except Exception as error:
        raise ModelError(f"{path} failed on an image of {side} x {side}: {error} {_CONTRACT}") from error
    _check_output(raw, spec, path)
    return spec


def _read_size(inputs: list, path: Path) -> int:
    given = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise ModelError(f"{path} takes {given}. {_CONTRACT}")
    channels, height, width = inputs[0].shape[1:]
    sides = {side for side in (height, width) if isinstance(side, int)}  # a name, or None, stands for any size
    if (isinstance(channels, int) and channels != 3) or len(sides) > 1:
        raise ModelError(f"{path} takes {given}. {_CONTRACT}")
    return sides.pop() if sides else _OPEN_SIZE


def _check_output(raw: object, spec: ModelSpec, path: Path) -> None:
    if not isinstance(raw, np.ndarray) or raw.ndim != 4 or raw.shape[:2] != (1, 1) or raw.dtype != np.float32:
        found = f"{raw.dtype} {raw.shape}" if isinstance(raw, np.ndarray) else type(raw).__name__
        raise ModelError(f"{path} gives {found} first. {_CONTRACT}")
    if not np.isfinite(raw).all():
        raise ModelError(f"{path} gives values that are no numbers. {_CONTRACT}")
    if spec.activation or spec.stretch:
        return
    low, high = float(raw.min()), float(raw.max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ModelError(
            f"{path} gives values from {low:.3g} to {high:.3g}. {_CONTRACT} If these are logits, describe the model "
            'in a TOML file with activation = "sigmoid"; docs/models.md shows one.'
        )
