"""The edge of an alpha matte: moved and feathered, in pixels, a band of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from processing.bands import bands

#: Share of steps along rows and columns among those of an octagon that is as wide across corners as across sides.
_CROSSES = 2 - math.sqrt(2)
#: Boxes whose repeated average stands for a Gaussian.
_BOXES = 3


def shift_edge(alpha: np.ndarray, pixels: float) -> np.ndarray:
    """Move the edge of an alpha matte out, or in, and keep its softness.

    A grey dilation (erosion) with an octagon, which is near enough to a disc; fractions of a pixel are interpolated
    between the two whole radii.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].
    pixels : float
        How far out; in, if negative.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].

    References
    ----------
    Soille. Morphological image analysis. Springer, 2003, chapter 3.
    """
    whole, fraction = divmod(abs(pixels), 1)
    extreme = np.maximum if pixels > 0 else np.minimum

    def move(rows: np.ndarray) -> np.ndarray:
        for step in range(int(whole)):
            rows = _dilated(rows, step, extreme)
        if fraction:
            rows = rows + np.float32(fraction) * (_dilated(rows, int(whole), extreme) - rows)
        return rows

    return _by_bands(alpha, math.ceil(abs(pixels)), move)


def _dilated(rows: np.ndarray, step: int, extreme: Callable[..., np.ndarray]) -> np.ndarray:
    """Take the largest (or smallest) value around each pixel: of 5 in a cross or of 9 in a square, by turns."""
    is_cross = math.floor((step + 1) * _CROSSES + 0.5) > math.floor(step * _CROSSES + 0.5)
    wide = rows.copy()
    extreme(wide[:, 1:], rows[:, :-1], out=wide[:, 1:])
    extreme(wide[:, :-1], rows[:, 1:], out=wide[:, :-1])
    source = rows if is_cross else wide.copy()
    extreme(wide[1:], source[:-1], out=wide[1:])
    extreme(wide[:-1], source[1:], out=wide[:-1])
    return wide


def feather(alpha: np.ndarray, pixels: float) -> np.ndarray:
    """Soften the edge of an alpha matte.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1]; beyond the frame it is continued by its outermost pixels.
    pixels : float
        How far: the standard deviation of a Gaussian, which three moving averages of odd width stand for. Under about
        0.4 that rounds to nothing.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].

    References
    ----------
    Kovesi. Fast almost-Gaussian filtering. DICTA, 2010.
    """
    radii = _box_radii(pixels)

    def blur(rows: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            for radius in radii:
                rows = _averaged(rows, radius, axis)
        return rows

    return _by_bands(alpha, sum(radii), blur)


def _box_radii(sigma: float) -> list[int]:
    """Choose the half widths of the averages, so that their variances sum to nearly sigma^2."""
    small = int((math.sqrt(12 * sigma**2 / _BOXES + 1) - 1) / 2)
    variance = [((2 * radius + 1) ** 2 - 1) / 12 for radius in (small, small + 1)]
    large = round((sigma**2 - _BOXES * variance[0]) / (variance[1] - variance[0]))
    return [small + (number < large) for number in range(_BOXES)]


def _averaged(rows: np.ndarray, radius: int, axis: int) -> np.ndarray:
    """Average 2 * radius + 1 neighbours along an axis, repeating the outermost."""
    if not radius:
        return rows
    before = [(0, 0), (0, 0)]
    before[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(rows, before, mode="edge"), axis=axis, dtype=np.float64)
    width = 2 * radius + 1
    ends, starts = (sums[width:], sums[:-width]) if axis == 0 else (sums[:, width:], sums[:, :-width])
    return ((ends - starts) / width).astype(np.float32)


def _by_bands(alpha: np.ndarray, reach: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change the rows and columns within `reach` of an edge; where alpha is 0 or 1 all around, nothing happens."""
    result = np.array(alpha, np.float32)
    height, width = result.shape
    if not reach:
        return result
    for rows in bands(height, 4 * width, band_bytes=max(2**20, 16 * width * reach)):
        top, bottom = max(0, rows.start - reach), min(height, rows.stop + reach)
        part = alpha[top:bottom]
        columns = np.flatnonzero(part.min(axis=0) != part.max(axis=0))
        # A column that differs from the one before it has an edge too, though it may be even itself.
        steps = np.flatnonzero(part[0, 1:] != part[0, :-1])
        touched = np.concatenate([columns, steps, steps + 1])
        if not len(touched):
            continue
        left, right = max(0, touched.min() - reach), min(width, touched.max() + 1 + reach)
        outer = slice(max(0, left - reach), min(width, right + reach))
        changed = change(part[:, outer])[rows.start - top : rows.stop - top]
        result[rows, left:right] = np.clip(changed[:, left - outer.start : right - outer.start], 0, 1)
    return result
