"""Opening the holes that a model has filled: what the subject encloses and has the background's colour."""

from __future__ import annotations

import numpy as np
from PIL import Image

from processing.cleanup.components import areas, label, reduction
from processing.resizing import shrink
from processing.tiles import doubled, framed, halved

#: Alpha under this is background that the model has found, where the background's colour is learned.
_BACKGROUND = 0.05
#: Differences from the background's colour that count as its own, in levels of 255: at least, at most, and in standard
#: deviations of the background around.
_LEAST, _MOST, _DEVIATIONS = 10.0, 30.0, 3.0
#: So many cells around a hole are its rim, where alpha follows the colours.
_RIM = 2
#: Share of the colours of the block above that a block is mixed with: next to nothing where it has colours of its own.
_FILL = 1e-3


def punch_holes(image: np.ndarray, alpha: np.ndarray, area: float) -> np.ndarray:
    """Make enclosed parts of at least `area` pixels transparent where the photo shows the background's colour.

    The background's colour is averaged from what the matte leaves out, near things counting most; a part that is
    connected with that is no hole, but edge, and stays. So it finds the gap of a handle before an even wall, and finds
    little before a busy one; a part of the subject, or glass, that has the wall's colour by itself is opened too.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB image.
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].
    area : float
        In pixels.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Alpha matte in [0, 1]; nowhere larger than before.
    """
    height, width = alpha.shape
    factor = reduction((height, width))
    size = -(-width // factor), -(-height // factor)
    small = np.asarray(shrink(image, size, Image.Resampling.BOX, gap=1.0), np.float32)
    matte = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))
    background = matte < _BACKGROUND
    if not background.any():
        return alpha.copy()
    behind = _spread(small, background)
    noise = np.sqrt(np.maximum(_spread((small - behind) ** 2, background).mean(-1), 0))
    tolerance = np.clip(_DEVIATIONS * noise, _LEAST, _MOST)
    distance = np.abs(small - behind).max(-1)
    holes = _enclosed((distance <= tolerance) | background, background, area / factor**2)
    if not holes.any():
        return alpha.copy()
    contrast = _spread(distance[..., np.newaxis], ~holes & (distance > tolerance))[..., 0]
    core, rim = ~_grown(~holes, 1), _grown(holes, _RIM)
    punched = alpha.copy()
    for top in np.flatnonzero(rim.any(1)):
        columns = np.flatnonzero(rim[top])
        left, right = columns[0], columns[-1] + 1
        rows, span = slice(top * factor, (top + 1) * factor), slice(left * factor, right * factor)
        part = punched[rows, span]
        cells = [
            values[top : top + 1, left:right].repeat(factor, 0)[: part.shape[0]].repeat(factor, 1)[:, : part.shape[1]]
            for values in (behind, tolerance, contrast, core, rim)
        ]
        colour, own, full, inside, near = cells
        away = np.abs(image[rows, span] - colour).max(-1)
        seen = np.clip((away - own) / np.maximum(full - own, own), 0, 1)
        part[:] = np.where(inside, 0, np.where(near, np.minimum(part, seen), part))
    return punched


def _enclosed(like_background: np.ndarray, background: np.ndarray, area: float) -> np.ndarray:
    """Mark the connected parts of `like_background` that are large enough and hold no cell of the background itself."""
    labels, count = label(like_background, diagonal=False)
    kept = areas(labels, count, np.ones(labels.shape)) >= area
    kept[labels[background]] = False
    kept[0] = False
    return kept[labels]


def _spread(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Average values where they are known, and carry the averages of larger and larger blocks to where they are not.

    float32 (h, w, C) and bool (h, w) to float32 (h, w, C).
    """
    weight = known.astype(np.float32)
    sums = np.concatenate([values.transpose(2, 0, 1) * weight, weight[np.newaxis]])
    return np.ascontiguousarray(_averages(sums).transpose(1, 2, 0))


def _averages(sums: np.ndarray) -> np.ndarray:
    """Turn sums and, last, their weights, (C + 1, h, w), into averages (C, h, w) at every block."""
    height, width = sums.shape[1:]
    if height == width == 1:
        return sums[:-1] / np.maximum(sums[-1:], np.float32(1e-6))
    even = np.pad(sums, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    above = doubled(framed(_averages(halved(even))))[:, :height, :width]
    return (sums[:-1] + _FILL * above) / (sums[-1:] + _FILL)


def _grown(mask: np.ndarray, cells: int) -> np.ndarray:
    """Add the cells around, also at corners."""
    mask = mask.copy()
    for _ in range(cells):
        for turned in (mask, mask.T):
            before = turned.copy()
            turned[1:] |= before[:-1]
            turned[:-1] |= before[1:]
    return mask
