"""Clean-up of an alpha matte, by name and on request: nothing here happens by itself.

Lengths and areas are in pixels of the photo. Only `threshold` makes a matte binary; every other function leaves soft
edges soft.

Connected parts are found on cells of several pixels where a side is longer than
`processing.cleanup.components.LONGEST_SIDE`: at 12 megapixels a cell has 4 x 4. A cell belongs to a part if one of its
pixels does, so parts closer together than a cell count as one, and a hole behind a wall thinner than a cell is open.
Areas are counted in pixels all the same.
"""

from __future__ import annotations

import numpy as np

from processing.cleanup.components import areas, enlarged, label, reduced
from processing.cleanup.edges import feather, shift_edge
from processing.matte import AlphaMatte

#: Alpha from here on can be seen: it makes parts, and a bounding box. Under it is what models leave everywhere.
VISIBLE = 0.05
#: Alpha from here on is solid: what it encloses is a hole.
SOLID = 0.95

#: So many cells around a part its faint rim is looked for.
_RIM = 16


def clean_up(
    alpha: np.ndarray | AlphaMatte,
    *,
    speck_area: float = 0,
    largest_only: bool = False,
    hole_area: float = 0,
    shift: float = 0,
    softness: float = 0,
    cut: float | None = None,
) -> np.ndarray:
    """Clean an alpha matte up.

    What is asked for is done in this order: drop specks, keep the largest part, fill holes, shift the edge, feather it,
    cut it to a mask. With no option the matte comes back as it is.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W), or AlphaMatte
        Alpha matte in [0, 1].
    speck_area : float
        Parts smaller than this are dropped, in pixels.
    largest_only : bool
        Whether only the largest part is kept.
    hole_area : float
        Holes up to this size are filled, in pixels.
    shift : float
        How far the edge moves out (in, if negative), in pixels.
    softness : float
        How far the edge is feathered, in pixels.
    cut : float, optional
        Alpha from here on becomes 1 and the rest 0.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].
    """
    matte = np.array(alpha, np.float32)
    if speck_area > 0:
        matte = drop_specks(matte, speck_area)
    if largest_only:
        matte = keep_largest(matte)
    if hole_area > 0:
        matte = fill_holes(matte, hole_area)
    if shift:
        matte = shift_edge(matte, shift)
    if softness > 0:
        matte = feather(matte, softness)
    return matte if cut is None else threshold(matte, cut)


def drop_specks(alpha: np.ndarray, area: float) -> np.ndarray:
    """Make connected parts smaller than `area` pixels transparent, with their faint rims.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1]; a part is where it is at least `VISIBLE`, and pixels touch at sides or corners.
    area : float
        In pixels.
    """
    cells = reduced(alpha >= VISIBLE)
    labels, count = label(cells > 0, diagonal=True)
    return _without(alpha, labels, areas(labels, count, cells) < area)


def keep_largest(alpha: np.ndarray) -> np.ndarray:
    """Make all connected parts but the largest transparent, with their faint rims; of equals, keep the topmost.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1]; for parts see `drop_specks`.
    """
    cells = reduced(alpha >= VISIBLE)
    labels, count = label(cells > 0, diagonal=True)
    if not count:
        return alpha.copy()
    dropped = np.ones(count + 1, bool)
    dropped[1 + np.argmax(areas(labels, count, cells)[1:])] = False
    return _without(alpha, labels, dropped)


def _without(alpha: np.ndarray, labels: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """Make the dropped parts transparent, and what is faint and nearer to them than to a part that is kept."""
    dropped[0] = False
    gone = dropped[labels]
    if not gone.any():
        return alpha.copy()
    kept = (labels > 0) & ~gone
    for _ in range(_RIM):
        wider = _grown(gone) & ~kept
        kept |= _grown(kept) & ~wider
        gone = wider
    return np.where(enlarged(gone, _size(alpha)), np.float32(0), alpha)


def _grown(mask: np.ndarray) -> np.ndarray:
    """Add the pixels above, below, left and right."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def fill_holes(alpha: np.ndarray, area: float) -> np.ndarray:
    """Make holes of up to `area` pixels solid.

    A hole is a connected part that is not solid, that solid pixels enclose, and that does not touch the frame of the
    picture. It may be half transparent: a window of glass in a solid wall is a hole too.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1]; solid is what is at least `SOLID`.
    area : float
        In pixels, soft rims included.
    """
    cells = reduced(alpha < SOLID)
    labels, count = label(cells > 0, diagonal=False)
    filled = areas(labels, count, cells) <= area
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        filled[side] = False
    filled[0] = False
    return np.where(enlarged(filled[labels], _size(alpha)), np.float32(1), alpha)


def threshold(alpha: np.ndarray, level: float) -> np.ndarray:
    """Cut an alpha matte to a mask: 1 where it is at least `level`, 0 elsewhere.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].
    level : float
        In [0, 1].
    """
    return (alpha >= np.float32(level)).astype(np.float32)


def bounding_box(alpha: np.ndarray, threshold: float = VISIBLE) -> tuple[slice, slice] | None:
    """Find the rows and columns that hold the subject, or None if there is none.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].
    threshold : float
        Alpha under it does not count: the faint haze that a model leaves would make every box the whole picture.

    Examples
    --------
    >>> import numpy as np
    >>> bounding_box(np.array([[0.01, 0, 0], [0, 0, 1]], np.float32))
    (slice(1, 2, None), slice(2, 3, None))
    """
    seen = alpha >= np.float32(threshold)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _size(alpha: np.ndarray) -> tuple[int, int]:
    return alpha.shape[0], alpha.shape[1]
