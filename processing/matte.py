"""The alpha matte of a photo, enlarged from the model's resolution where and when somebody looks at it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True, eq=False)
class AlphaMatte:
    """An alpha matte in [0, 1], read like an array of float32, shape (H, W), a slice of rows at a time.

    `matte[100:164]` are 64 rows; `numpy.asarray(matte)` is all of it. A matte of 12 megapixels takes 48 MB, so nothing
    is enlarged before it is looked at, and nothing is computed where the model's matte is empty.

    Parameters
    ----------
    small : ndarray of float32, shape (h, w)
        The matte at the model's resolution, in [0, 1].
    shape : tuple of int
        Height and width of the photo, in pixels.
    opacity : ndarray of uint8, shape (H, W), optional
        The photo's own transparency, 0 to 255, which the matte is multiplied with.
    """

    small: np.ndarray
    shape: tuple[int, int]
    opacity: np.ndarray | None = None

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        alpha = self.small[start:stop] if self.small.shape == self.shape else self._enlarged(start, stop)
        return alpha if self.opacity is None else alpha * (self.opacity[start:stop] / np.float32(255))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._whole.astype(dtype or np.float32, copy=bool(copy))

    @cached_property
    def _whole(self) -> np.ndarray:
        return self[:]

    def _enlarged(self, start: int, stop: int) -> np.ndarray:
        """Interpolate some rows with a bicubic kernel; the result is that of Pillow's, at half of its cost."""
        weights, around = _weights(self.small.shape[0], self.shape[0], start, stop)
        near = self._wide[around]
        columns = np.flatnonzero(near.any(axis=0))
        alpha = np.zeros((stop - start, self.shape[1]), np.float32)
        if len(columns):
            span = slice(columns[0], columns[-1] + 1)
            # A few rows at a time, which depend on about five; einsum, because the threads behind `@` cost more than
            # they save here.
            step = max(1, self.shape[0] // self.small.shape[0])
            for first in range(0, len(alpha), step):
                some = weights[first : first + step]
                used = np.flatnonzero(some.any(axis=0))
                taps = slice(used[0], used[-1] + 1)
                np.einsum("rt,tc->rc", some[:, taps], near[taps, span], out=alpha[first : first + step, span])
            np.clip(alpha, 0, 1, out=alpha)  # bicubic runs a little under 0 and over 1 beside an edge
        return alpha

    @cached_property
    def _wide(self) -> np.ndarray:
        """The matte with the photo's width and the model's height."""
        wide = Image.fromarray(self.small).resize((self.shape[1], self.small.shape[0]), Image.Resampling.BICUBIC)
        return np.asarray(wide)


def _weights(small: int, large: int, start: int, stop: int) -> tuple[np.ndarray, slice]:
    """Return what some of `large` rows are made of: float32 weights, shape (stop - start, k), of k of `small` rows.

    Cubic convolution with a = -0.5 (Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing, 1981), made
    wider where rows become fewer.
    """
    scale = small / large
    width = max(1.0, scale)
    centres = (np.arange(start, stop) + 0.5) * scale
    around = slice(max(0, math.floor(centres[0] - 2 * width)), min(small, math.ceil(centres[-1] + 2 * width)))
    distance = np.abs(np.arange(around.start, around.stop) + 0.5 - centres[:, np.newaxis]) / width
    inner, outer = (1.5 * distance - 2.5) * distance**2 + 1, ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, inner, np.where(distance < 2, outer, 0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), around
