"""The square tiles of a photo that hold soft edges, and pyramids of blocks inside them.

Soft edges are a small part of a photo, and they are thin and crooked. Here they are covered by tiles, which are stored
with their number as the last axis, shape (channels, y, x, tiles): every operation then runs along rows of memory,
however small a block is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from processing.bands import Tick, ignore
from processing.matte import AlphaMatte

#: Side of a tile, in pixels; a power of 2.
TILE = 16
#: Alpha from here to one minus it is soft: the rest rounds to 0 or 255 in a file.
SOFT = 0.5 / 255

#: Tiles that are worked on together: what is made of them fits into a core's second cache.
_TOGETHER = 256
#: One in so many rows and columns is sampled in every tile.
_STRIDE = 4
_SAMPLED = slice(_STRIDE // 2, None, _STRIDE)


@dataclass(frozen=True, eq=False)
class Tiles:
    """The N tiles with soft pixels, in rows from the top; and samples of all tiles, h of them by w.

    Where the photo ends inside a tile, its last row and column are repeated.

    Parameters
    ----------
    rows, columns : ndarray of int64, shape (N,)
        Where each tile is, counted in tiles.
    image : ndarray of uint8, shape (3, TILE, TILE, N)
        Colours of its pixels.
    alpha : ndarray of float32, shape (TILE, TILE, N)
        Their alpha.
    sampled_image : ndarray of uint8, shape (S, 3, h, w)
        Colours of S pixels of each tile of the photo.
    sampled_alpha : ndarray of float32, shape (S, h, w)
        Their alpha.
    """

    rows: np.ndarray
    columns: np.ndarray
    image: np.ndarray
    alpha: np.ndarray
    sampled_image: np.ndarray
    sampled_alpha: np.ndarray

    @property
    def count(self) -> int:
        """Number of tiles with soft pixels."""
        return len(self.rows)

    @property
    def soft(self) -> np.ndarray:
        """Where alpha is soft: bool (TILE, TILE, N)."""
        return is_soft(self.alpha)

    def chunks(self, tick: Tick = ignore) -> Iterator[slice]:
        """Divide the tiles into a few at a time."""
        for first in range(0, self.count, _TOGETHER):
            tick(first / self.count)
            yield slice(first, first + _TOGETHER)

    def neighbours(self) -> np.ndarray:
        """Number the tiles around each tile: int64 (3, 3, N), -1 where none with soft pixels is."""
        height, width = self.sampled_alpha.shape[1:]
        numbers = np.full((height + 2, width + 2), -1)
        numbers[self.rows + 1, self.columns + 1] = np.arange(self.count)
        offsets = np.arange(3)[:, np.newaxis]
        return numbers[(offsets + self.rows)[:, np.newaxis], (offsets + self.columns)[np.newaxis]]


def is_soft(alpha: np.ndarray) -> np.ndarray:
    """Mark the pixels whose alpha rounds neither to 0 nor to 255."""
    return np.asarray((alpha >= SOFT) & (alpha <= 1 - SOFT))


def gather(image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> Tiles:
    """Collect the tiles with soft pixels.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB image.
    alpha : ndarray of float32, shape (H, W), or AlphaMatte
        Alpha matte in [0, 1].
    tick : callable, optional
        See `processing.bands`.
    """
    height = alpha.shape[0]
    found, samples = [], []
    for number, top in enumerate(range(0, height, TILE)):
        tick(top / height)
        matte = _blocks(alpha[top : top + TILE])
        colour = _blocks(image[top : top + TILE, :, :3])
        columns = np.flatnonzero(is_soft(matte).any(axis=(0, 2)))
        found.append((np.full(len(columns), number), columns, _last(colour[:, columns]), _last(matte[:, columns])))
        few = _last(colour[_SAMPLED, :, _SAMPLED]), _last(matte[_SAMPLED, :, _SAMPLED])
        samples.append((few[0].reshape(3, -1, few[0].shape[-1]).swapaxes(0, 1), few[1].reshape(-1, few[1].shape[-1])))
    rows, columns, colours, mattes = (_joined(parts, np.concatenate, -1, tick) for parts in zip(*found, strict=True))
    sampled_image, sampled_alpha = (_joined(parts, np.stack, -2, tick) for parts in zip(*samples, strict=True))
    return Tiles(rows, columns, colours, mattes, sampled_image, sampled_alpha)


def _joined(parts: Sequence[np.ndarray], join: Callable[..., np.ndarray], axis: int, tick: Tick) -> np.ndarray:
    tick(1.0)
    return join(parts, axis=axis)


def pick(image: np.ndarray, tiles: Tiles) -> np.ndarray:
    """Take the same tiles out of another image, uint8 (H, W, C): uint8 (C, TILE, TILE, N)."""
    parts = [_last(_blocks(image[band])[:, tiles.columns[some]]) for band, some in _bands(tiles)]
    return np.concatenate(parts, axis=-1)


def put(colours: np.ndarray, tiles: Tiles, image: np.ndarray, tick: Tick = ignore) -> None:
    """Write the soft pixels of the tiles, uint8 (3, TILE, TILE, N), into `image`, uint8 (H, W, 3), which is changed.

    Of a cutout, uint8 (H, W, 4), pixels whose alpha is 0 keep their colour: there is nothing of the photo in it.
    """
    soft = tiles.soft
    for band, some in _bands(tiles):
        tick(some.start / tiles.count)
        rows, painted = image[band], soft[..., some].transpose(0, 2, 1)
        blocks = _blocks(rows)
        part = blocks[:, tiles.columns[some]]
        if image.shape[2] == 4:
            painted = painted & (part[..., 3] > 0)
        np.copyto(part[..., :3], colours[..., some].transpose(1, 3, 2, 0), where=painted[..., np.newaxis])
        blocks[:, tiles.columns[some]] = part
        if not np.shares_memory(blocks, image):
            rows[:] = blocks.reshape(TILE, -1, image.shape[2])[: rows.shape[0], : rows.shape[1]]


def _bands(tiles: Tiles) -> Iterator[tuple[slice, slice]]:
    """Yield the rows of pixels where tiles are, and which tiles these are."""
    for row in np.unique(tiles.rows):
        first, end = np.searchsorted(tiles.rows, (row, row + 1))
        yield slice(row * TILE, (row + 1) * TILE), slice(first, end)


def _blocks(band: np.ndarray) -> np.ndarray:
    """Divide up to `TILE` rows into tiles: (TILE, w, TILE, ...), a view unless the photo ends inside a tile."""
    missing = [(0, -band.shape[0] % TILE), (0, -band.shape[1] % TILE)]
    if missing[0][1] or missing[1][1]:
        band = np.pad(band, missing + [(0, 0)] * (band.ndim - 2), mode="edge")
    return band.reshape(TILE, -1, TILE, *band.shape[2:])


def _last(blocks: np.ndarray) -> np.ndarray:
    """Move the channels, if any, to the front and the number of the tile to the end."""
    return blocks.transpose(3, 0, 2, 1) if blocks.ndim == 4 else blocks.transpose(0, 2, 1)


def halved(blocks: np.ndarray) -> np.ndarray:
    """Average 2 x 2 blocks: float32 (C, 2n, 2m, ...) to (C, n, m, ...)."""
    rows = blocks[:, 0::2] + blocks[:, 1::2]
    result = rows[:, :, 0::2] + rows[:, :, 1::2]
    result *= np.float32(0.25)
    return np.asarray(result)


def doubled(blocks: np.ndarray) -> np.ndarray:
    """Interpolate linearly to twice the size, without the frame: float32 (C, n + 2, m + 2, ...) to (C, 2n, 2m, ...)."""
    near, far = np.float32(0.75), np.float32(0.25)
    channels, height, width, *rest = blocks.shape
    rows = np.empty((channels, 2 * height - 4, width, *rest), np.float32)
    middle = near * blocks[:, 1:-1]
    rows[:, 0::2] = middle + far * blocks[:, :-2]
    rows[:, 1::2] = middle + far * blocks[:, 2:]
    result = np.empty((channels, 2 * height - 4, 2 * width - 4, *rest), np.float32)
    middle = near * rows[:, :, 1:-1]
    result[:, :, 0::2] = middle + far * rows[:, :, :-2]
    result[:, :, 1::2] = middle + far * rows[:, :, 2:]
    return result


def framed(grid: np.ndarray) -> np.ndarray:
    """Repeat the outermost blocks of a grid around it: (C, h, w) to (C, h + 2, w + 2)."""
    return np.pad(grid, ((0, 0), (1, 1), (1, 1)), mode="edge")


def framed_by_grid(grid: np.ndarray, tiles: Tiles, chunk: slice) -> np.ndarray:
    """Take some tiles and those around them out of a framed grid of all tiles, (C, h + 2, w + 2): (C, 3, 3, tiles)."""
    offsets = np.arange(3)[:, np.newaxis]
    return grid[:, (offsets + tiles.rows[chunk])[:, np.newaxis], (offsets + tiles.columns[chunk])[np.newaxis]]


def framed_by_neighbours(blocks: np.ndarray, neighbours: np.ndarray, chunk: slice) -> np.ndarray:
    """Put a frame of one block around some tiles: float32 (C, n, n, N) to (C, n + 2, n + 2, tiles).

    It comes from the neighbours; where there is none, the tile's own blocks are repeated.
    """
    side = blocks.shape[1]
    own = neighbours[1, 1, chunk]
    result = np.empty((len(blocks), side + 2, side + 2, len(own)), np.float32)
    target = (slice(0, 1), slice(1, -1), slice(-1, None))
    near, opposite = (slice(0, 1), slice(None), slice(-1, None)), (slice(-1, None), slice(None), slice(0, 1))
    for y in range(3):
        for x in range(3):
            there = neighbours[y, x, chunk]
            missing = there < 0
            part = blocks[:, opposite[y], opposite[x]][..., np.where(missing, own, there)]
            if missing.any():
                part[..., missing] = blocks[:, near[y], near[x]][..., own[missing]]
            result[:, target[y], target[x]] = part
    return result
