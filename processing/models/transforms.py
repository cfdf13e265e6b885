"""Image to model input, and model output to alpha matte, driven by the model's row in the catalogue.

Pillow and numpy alone, so the same code runs in a browser.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from processing.bands import Tick, ignore
from processing.matte import AlphaMatte
from processing.models.spec import ModelSpec
from processing.resizing import shrink


def prepare(image: np.ndarray, spec: ModelSpec, tick: Tick = ignore) -> np.ndarray:
    """Make the model input of an image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB, upright.
    spec : ModelSpec
        Gives the side S, the scaling, mean and standard deviation.
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    ndarray of float32, shape (1, 3, S, S)
        The whole image squeezed to the square and normalised; `image` itself where the runtime prepares its own input.
    """
    if spec.input_size is None:
        return image
    side = spec.input_size
    # The gap makes a third of the work at 12 megapixels; the input differs by 0.2 of 255 on average.
    small = shrink(image, (side, side), Image.Resampling[spec.resample.upper()], gap=3.0, tick=tick)
    values = np.asarray(small, np.float32)
    peak = 255.0 if spec.scale == "255" else max(float(values.max()), 1e-6)
    normalised = (values / np.float32(peak) - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[np.newaxis])


def has_subject(raw: np.ndarray, spec: ModelSpec) -> bool:
    """Tell whether a raw output shows any subject.

    Judged before any stretching, which would turn the faintest noise into a full matte.

    Parameters
    ----------
    raw : ndarray of float32, shape (1, 1, h, w)
        What the model gave.
    spec : ModelSpec
        Gives the least peak of a real subject.
    """
    return bool(_activated(raw.max(), spec) >= spec.empty_below)


def to_alpha(raw: np.ndarray, spec: ModelSpec, size: tuple[int, int], opacity: np.ndarray | None = None) -> AlphaMatte:
    """Turn a raw output into the alpha matte of the image.

    Parameters
    ----------
    raw : ndarray of float32, shape (1, 1, h, w)
        What the model gave.
    spec : ModelSpec
        Gives stretching and levels.
    size : tuple of int
        Height and width of the image, in pixels.
    opacity : ndarray of uint8, shape (H, W), optional
        The image's own transparency.

    Returns
    -------
    AlphaMatte
        In [0, 1]; it is enlarged to the image's size when it is looked at.
    """
    matte = _activated(np.asarray(raw, np.float32)[0, 0], spec)
    if spec.stretch:
        low, high = float(matte.min()), float(matte.max())
        matte = (matte - low) / max(high - low, 1e-6)
    low, high = spec.levels
    return AlphaMatte(np.clip((matte - low) / (high - low), 0, 1).astype(np.float32), size, opacity)


def _activated(values: np.ndarray, spec: ModelSpec) -> np.ndarray:
    if spec.activation != "sigmoid":
        return values
    return 1 / (1 + np.exp(-np.clip(values, -60, 60)))  # further out it is 0 or 1, and exp would overflow
