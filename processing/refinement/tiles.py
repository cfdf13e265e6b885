"""Which parts of an alpha matte are uncertain, and the square tiles that cover them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

CELL = 8  # pixels; uncertainty is looked at by cells of this side
REACH = 3  # cells around an uncertain one that may change too: hair is longer than a blurred matte says
CORE, MARGIN = 240, 32  # pixels of a tile that are used, at most, and those around them that it sees besides
SURE = 0.02  # alpha nearer than this to 0 or 1 is certain


def uncertain_cells(alpha: np.ndarray) -> np.ndarray:
    """Mark the cells with an edge in them or near them.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].

    Returns
    -------
    ndarray of bool, shape (ceil(H / CELL), ceil(W / CELL))
        True where some value is neither 0 nor 1, or where both occur, within `REACH` cells.
    """
    height, width = alpha.shape
    padded = np.pad(alpha, ((0, -height % CELL), (0, -width % CELL)), "edge")
    cells = padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL)
    lowest, highest = cells.min(axis=(1, 3)), cells.max(axis=(1, 3))
    # A sharp edge may run between two cells: then one has a neighbour of the other kind.
    near_low, near_high = -spread(-lowest, 1), spread(highest, 1)
    marked = (near_high > SURE) & (near_low < 1 - SURE)
    return spread(marked, REACH)


def cells_of(mask: np.ndarray) -> np.ndarray:
    """Mark the cells that hold a True pixel: bool (H, W) to bool (ceil(H / CELL), ceil(W / CELL))."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)))
    return np.asarray(padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL).any(axis=(1, 3)))


def spread(cells: np.ndarray, reach: int) -> np.ndarray:
    """Give every cell the highest value of the square with `reach` cells on each side."""
    for axis in (0, 1):
        widths = [(reach, reach) if axis == across else (0, 0) for across in (0, 1)]
        padded = np.pad(cells, widths, "edge")
        cells = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis).max(axis=-1)
    return cells


def weights(cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Say how much each pixel may change: 1 inside the cells, fading to 0 towards the others.

    Parameters
    ----------
    cells : ndarray of bool, shape (h, w)
        What `uncertain_cells` marked.
    shape : tuple of int
        Height and width wanted, in pixels.

    Returns
    -------
    ndarray of float32, shape (H, W)
        In [0, 1]; exactly 0 outside the cells.
    """
    inner = ~spread(~cells, 1)  # linear interpolation reaches one cell further
    size = cells.shape[1] * CELL, cells.shape[0] * CELL
    enlarged = Image.fromarray(inner.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(enlarged)[: shape[0], : shape[1]]


def tiles(cells: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Cover the marked cells: give the rows and columns of each tile, in pixels, row by row.

    A tile is at most `CORE` pixels high and wide, and no larger than its marked cells need. The last ones may reach
    over the end of the picture by less than a cell.
    """
    step = CORE // CELL
    for row in range(0, cells.shape[0], step):
        for column in range(0, cells.shape[1], step):
            part = cells[row : row + step, column : column + step]
            down, across = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            if len(down):
                yield _pixels(row, down), _pixels(column, across)


def _pixels(start: int, marked: np.ndarray) -> slice:
    return slice(CELL * int(start + marked[0]), CELL * int(start + marked[-1] + 1))
