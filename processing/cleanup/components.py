"""Connected parts of a mask, and of a big matte by way of a smaller mask; numpy alone."""

from __future__ import annotations

import numpy as np

#: Masks are reduced by a whole number until neither side is longer than this.
LONGEST_SIDE = 1024


def label(mask: np.ndarray, *, diagonal: bool) -> tuple[np.ndarray, int]:
    """Number the connected parts of a mask.

    Pixels of a row that touch are one run; runs that touch in neighbouring rows are joined by giving each the smallest
    number that it can reach, and following these numbers to their end, until nothing changes.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        What to divide into parts.
    diagonal : bool
        Whether pixels that touch at a corner are connected.

    Returns
    -------
    labels : ndarray of int64, shape (H, W)
        0 where `mask` is False, otherwise the number of the part, from 1.
    count : int
        Number of parts.

    References
    ----------
    Shiloach and Vishkin. An O(log n) parallel connectivity algorithm. Journal of Algorithms, 1982.
    """
    begins = mask.copy()
    begins[:, 1:] &= ~mask[:, :-1]
    runs = np.cumsum(begins.ravel()).reshape(mask.shape) * mask  # numbered from 1; 0 is no run
    pairs = [(runs[:-1], runs[1:])]
    if diagonal:
        pairs += [(runs[:-1, :-1], runs[1:, 1:]), (runs[:-1, 1:], runs[1:, :-1])]
    count = int(begins.sum())
    edges = np.unique(np.concatenate([_touching(*pair, count) for pair in pairs]))
    above, below = edges // (count + 1), edges % (count + 1)
    roots = np.arange(count + 1)
    while True:
        first, second = roots[above], roots[below]
        if (first == second).all():
            break
        np.minimum.at(roots, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(roots, followed := roots[roots]):
            roots = followed
    numbers = np.cumsum(roots == np.arange(count + 1)) - 1
    return numbers[roots][runs], int(numbers[-1])


def _touching(above: np.ndarray, below: np.ndarray, count: int) -> np.ndarray:
    """List the pairs of runs that touch, each as one number."""
    both = (above > 0) & (below > 0)
    return np.unique(above[both] * (count + 1) + below[both])


def reduction(shape: tuple[int, int]) -> int:
    """Tell how many pixels of a matte of this size are one cell's side."""
    return -(-max(shape) // LONGEST_SIDE)


def reduced(mask: np.ndarray) -> np.ndarray:
    """Count the True pixels in each cell: int64 (h, w); see `reduction`."""
    factor = reduction((mask.shape[0], mask.shape[1]))
    rows = np.add.reduceat(mask, np.arange(0, mask.shape[0], factor), axis=0, dtype=np.uint8)
    return np.add.reduceat(rows, np.arange(0, mask.shape[1], factor), axis=1, dtype=np.int64)


def enlarged(cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Give each pixel the value of its cell: (h, w) to `shape`."""
    factor = reduction(shape)
    return cells.repeat(factor, axis=0)[: shape[0]].repeat(factor, axis=1)[:, : shape[1]]


def areas(labels: np.ndarray, count: int, pixels: np.ndarray) -> np.ndarray:
    """Add up the pixels in the cells of each part: int64 (count + 1,), whose first is that of label 0."""
    return np.bincount(labels.ravel(), weights=pixels.ravel(), minlength=count + 1).astype(np.int64)
