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

    `matte[100:164]` are 64 rows; `numpy.asarray(matte)` is all of it. A matte of 12 megapixels takes 48 MB and most of
    it is plainly 0 or 1, so nothing is enlarged before it is looked at, and nothing is computed where the model's matte
    is constant.

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
        """Interpolate some rows with a bicubic kernel, as Pillow does with the whole."""
        (height, width), (small_height, small_width) = self.shape, self.small.shape
        down, across = small_height / height, small_width / width  # of a pixel of the photo, in pixels of the model
        around = _reach(down)
        near = self.small[max(0, math.floor(start * down) - around) : math.ceil(stop * down) + around]
        if near.min() == 1:
            return np.ones((stop - start, width), np.float32)
        alpha = np.zeros((stop - start, width), np.float32)
        columns = np.flatnonzero(near.any(axis=0))
        if len(columns):
            around = _reach(across)
            left = math.floor(max(0, columns[0] - around) / across)
            right = min(width, math.ceil((columns[-1] + 1 + around) / across))
            box = (
                left * small_width / width,
                start * small_height / height,
                right * small_width / width,
                stop * small_height / height,
            )
            enlarged = self._image.resize((right - left, stop - start), Image.Resampling.BICUBIC, box)
            # Bicubic runs a little under 0 and over 1 beside an edge.
            np.clip(np.asarray(enlarged), 0, 1, out=alpha[:, left:right])
        return alpha

    @cached_property
    def _image(self) -> Image.Image:
        return Image.fromarray(self.small)


def _reach(scale: float) -> int:
    """Pixels on each side of a place that have a say in it: 2, more where the matte is made smaller; and 1 to spare."""
    return math.ceil(2 * max(1.0, scale)) + 1
