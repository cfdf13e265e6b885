"""The colour of the foreground alone, so that soft edges carry no trace of the old background.

A photo mixes colours where its subject ends softly: image = alpha * foreground + (1 - alpha) * background. A cutout that
keeps the photo's colour there shows a halo of the old background over any other one.

Foreground and background are found from coarse to fine. In a block of pixels that share one foreground colour F and one
background colour B, the equation above is a linear regression of the colour on alpha, whose least squares need five
means: of alpha^2, alpha * (1 - alpha), (1 - alpha)^2, alpha * colour and (1 - alpha) * colour. So each level of a
pyramid of such means has a closed solution, pulled a little towards that of the level above, and nothing iterates.

Below blocks of `TILE` pixels only those are divided further that hold soft pixels. They are stored with their number as
the last axis, shape (channels, y, x, tiles): every operation then runs along rows of memory, however small a block is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.bands import Tick, ignore
from processing.errors import RefinementError
from processing.matte import AlphaMatte

#: Side of the blocks that are kept or passed over as a whole, in pixels; a power of 2.
TILE = 16
#: How much a block is pulled to the colours of the block around it, relative to the weight of its pixels.
PULL = 0.05
#: Alpha from here to one minus it is soft: the rest rounds to 0 or 255 in a file.
SOFT = 0.5 / 255

#: Tiles that are worked on together: what is made of them fits into a core's second cache.
_TOGETHER = 128
#: One in so many rows and columns is looked at in tiles without soft pixels.
_STRIDE = 4


def estimate_foreground(image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> np.ndarray:
    """Estimate the colour that the subject has by itself.

    Only pixels of soft alpha change; all others keep their exact colour. Neither input is changed.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB image.
    alpha : ndarray of float32, shape (H, W), or AlphaMatte
        Alpha matte in [0, 1].
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        Colour of the foreground.

    Raises
    ------
    RefinementError
        If the sizes of `image` and `alpha` differ.

    References
    ----------
    Levin, Lischinski and Weiss. A closed-form solution to natural image matting. IEEE TPAMI, 2008, section 7: the
    compositing equation with a smooth foreground and background. Germer, Uelwer, Conrad and Harmeling. Fast multi-level
    foreground estimation. ICPR, 2020: from coarse to fine. Here a level is solved on means over its blocks in place of
    samples, and smoothness comes from interpolating the coarser level in place of iterations.
    """
    _check_sizes(image, alpha)
    foreground = image.copy()
    tiles, grid = _gather(image, alpha, lambda share: tick(0.4 * share))
    if tiles.count:
        colours = _solve_tiles(tiles, grid, lambda share: tick(0.4 + 0.5 * share))
        tick(0.9)
        _scatter(colours, tiles, foreground)
    return foreground


@dataclass(frozen=True, eq=False)
class _Tiles:
    """The tiles with soft pixels: N of them, in rows from the top."""

    rows: np.ndarray  # int64 (N,): in tiles
    columns: np.ndarray  # int64 (N,)
    image: np.ndarray  # uint8 (3, TILE, TILE, N)
    alpha: np.ndarray  # float32 (TILE, TILE, N)

    @property
    def count(self) -> int:
        return len(self.rows)


def _gather(image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick) -> tuple[_Tiles, np.ndarray]:
    """Collect the tiles with soft pixels, and the means of all others: float32 (9, tile rows, tile columns)."""
    height, width = image.shape[:2]
    across = -(-width // TILE)
    found, means = [], []
    for number, top in enumerate(range(0, height, TILE)):
        tick(top / height)
        matte = _whole_tiles(alpha[top : top + TILE])
        colour = _whole_tiles(image[top : top + TILE])
        soft = ((matte >= SOFT) & (matte <= 1 - SOFT)).any(axis=0).reshape(across, TILE).any(axis=1)
        columns = np.flatnonzero(soft)
        part = np.s_[_STRIDE // 2 :: _STRIDE, _STRIDE // 2 :: _STRIDE]
        # (TILE / STRIDE, across, TILE / STRIDE) to (TILE / STRIDE, TILE / STRIDE, across)
        few = matte[part].reshape(TILE // _STRIDE, across, -1).transpose(0, 2, 1)
        few_colours = colour[part].reshape(TILE // _STRIDE, across, -1, 3).transpose(3, 0, 2, 1)
        means.append(_moments(few_colours, few).mean(axis=(1, 2)))
        found.append(
            (
                np.full(len(columns), number),
                columns,
                colour.reshape(TILE, across, TILE, 3)[:, columns].transpose(3, 0, 2, 1),
                matte.reshape(TILE, across, TILE)[:, columns].transpose(0, 2, 1),
            )
        )
    rows, columns, colours, mattes = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    return _Tiles(rows, columns, colours, mattes), np.stack(means, axis=1)


def _whole_tiles(band: np.ndarray) -> np.ndarray:
    """Repeat the last row and column until the band is one tile high and whole tiles wide."""
    missing = [(0, -band.shape[0] % TILE), (0, -band.shape[1] % TILE)]
    if not missing[0][1] and not missing[1][1]:
        return band
    return np.pad(band, missing + [(0, 0)] * (band.ndim - 2), mode="edge")


def _moments(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Stack alpha^2, alpha * (1 - alpha), (1 - alpha)^2, alpha * colour and (1 - alpha) * colour: float32 (9, ...)."""
    moments = np.empty((9, *alpha.shape), np.float32)
    np.multiply(alpha, alpha, out=moments[0])
    np.subtract(alpha, moments[0], out=moments[1])
    np.subtract(1 - alpha, moments[1], out=moments[2])
    np.multiply(colour, alpha, out=moments[3:6])
    np.subtract(colour, moments[3:6], out=moments[6:9])
    return moments


def _solve(moments: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Fit foreground and background of each block to its pixels and to `prior`.

    Minimises mean((alpha F + (1 - alpha) B - colour)^2) + PULL (|F - F0|^2 + |B - B0|^2), where `prior` holds F0 and B0:
    two equations for each channel, solved for the differences from F0 and B0.

    Parameters
    ----------
    moments : ndarray of float32, shape (9, ...)
        See `_moments`.
    prior : ndarray of float32, shape (6, ...)
        Colours of foreground and background, 0 to 255.

    Returns
    -------
    ndarray of float32, shape (6, ...)
        Colours of foreground and background, 0 to 255.
    """
    cross = moments[1]
    rest_f = moments[3:6] - moments[0] * prior[:3] - cross * prior[3:]
    rest_b = moments[6:9] - cross * prior[:3] - moments[2] * prior[3:]
    a, c = moments[0] + np.float32(PULL), moments[2] + np.float32(PULL)
    inverse = 1 / (a * c - cross * cross)
    a *= inverse
    c *= inverse
    cross = cross * inverse
    solved = np.empty_like(prior)
    np.subtract(c * rest_f, cross * rest_b, out=solved[:3])
    np.subtract(a * rest_b, cross * rest_f, out=solved[3:])
    solved += prior
    return np.clip(solved, 0, 255, out=solved)


def _solve_tiles(tiles: _Tiles, grid: np.ndarray, tick: Tick) -> np.ndarray:
    """Return the colour of the foreground in each tile: uint8 (3, TILE, TILE, N)."""
    chunks = [slice(first, first + _TOGETHER) for first in range(0, tiles.count, _TOGETHER)]
    levels = [np.empty((9, n, n, tiles.count), np.float32) for n in _sides()]
    for chunk in chunks:
        tick(0.5 * chunk.start / tiles.count)
        moments = _moments(tiles.image[..., chunk], tiles.alpha[..., chunk])
        for level in levels:
            moments = _halved(moments)
            level[..., chunk] = moments
    grid[:, tiles.rows, tiles.columns] = levels[-1][:, 0, 0]
    coarse = np.pad(_solve_grid(grid), ((0, 0), (1, 1), (1, 1)), mode="edge")
    neighbours = _neighbours(tiles, grid.shape[1:])
    colours = np.empty(0, np.float32)
    for level in levels[-2::-1]:
        solved = np.empty((6, *level.shape[1:]), np.float32)
        for chunk in chunks:
            around = _around(colours, neighbours, chunk) if colours.size else _cut_out_of(coarse, tiles, chunk)
            solved[..., chunk] = _solve(level[..., chunk], _doubled(around))
        colours = solved
    result = np.empty(tiles.image.shape, np.uint8)
    for chunk in chunks:
        tick(0.5 + 0.5 * chunk.start / tiles.count)
        prior = _doubled(_around(colours, neighbours, chunk))
        result[..., chunk] = _solve_pixels(tiles.image[..., chunk], tiles.alpha[..., chunk], prior)
    return result


def _sides() -> list[int]:
    """List how many blocks a tile is wide, level by level: 8, 4, 2, 1."""
    return [TILE >> shift for shift in range(1, TILE.bit_length())]


def _halved(moments: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2: float32 (C, 2n, 2n, ...) to (C, n, n, ...)."""
    rows = moments[:, 0::2] + moments[:, 1::2]
    halved = rows[:, :, 0::2] + rows[:, :, 1::2]
    halved *= np.float32(0.25)
    return halved


def _doubled(around: np.ndarray) -> np.ndarray:
    """Interpolate linearly to twice the side, without the frame: float32 (C, n + 2, n + 2, ...) to (C, 2n, 2n, ...)."""
    near, far = np.float32(0.75), np.float32(0.25)
    channels, side, _, *rest = around.shape
    rows = np.empty((channels, 2 * side - 4, side, *rest), np.float32)
    middle = near * around[:, 1:-1]
    rows[:, 0::2] = middle + far * around[:, :-2]
    rows[:, 1::2] = middle + far * around[:, 2:]
    doubled = np.empty((channels, 2 * side - 4, 2 * side - 4, *rest), np.float32)
    middle = near * rows[:, :, 1:-1]
    doubled[:, :, 0::2] = middle + far * rows[:, :, :-2]
    doubled[:, :, 1::2] = middle + far * rows[:, :, 2:]
    return doubled


def _solve_grid(grid: np.ndarray) -> np.ndarray:
    """Solve a grid of blocks and, before it, the one of half its size: float32 (9, h, w) to (6, h, w)."""
    height, width = grid.shape[1:]
    if height == width == 1:
        weights = np.stack([grid[0] + grid[1], grid[1] + grid[2]])[:, np.newaxis]
        means = grid[3:].reshape(2, 3, 1, 1) / np.maximum(weights, np.float32(1e-6))
        return _solve(grid, means.reshape(6, 1, 1))
    even = np.pad(grid, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    coarse = np.pad(_solve_grid(_halved(even)), ((0, 0), (1, 1), (1, 1)), mode="edge")
    return _solve(grid, _doubled_grid(coarse)[:, :height, :width])


def _doubled_grid(around: np.ndarray) -> np.ndarray:
    """Do what `_doubled` does for a grid that is no square."""
    near, far = np.float32(0.75), np.float32(0.25)
    for axis in (1, 2):
        lines = np.moveaxis(around, axis, 0)
        doubled = np.empty((2 * len(lines) - 4, *lines.shape[1:]), np.float32)
        doubled[0::2] = near * lines[1:-1] + far * lines[:-2]
        doubled[1::2] = near * lines[1:-1] + far * lines[2:]
        around = np.moveaxis(doubled, 0, axis)
    return around


def _cut_out_of(coarse: np.ndarray, tiles: _Tiles, chunk: slice) -> np.ndarray:
    """Take some tiles and those around them out of a framed grid: float32 (6, 3, 3, tiles)."""
    offsets = np.arange(3)[:, np.newaxis]
    return coarse[:, (offsets + tiles.rows[chunk])[:, np.newaxis], (offsets + tiles.columns[chunk])[np.newaxis]]


def _neighbours(tiles: _Tiles, shape: tuple[int, ...]) -> np.ndarray:
    """Number the tiles around each tile: int64 (3, 3, N), -1 where there is none with soft pixels."""
    numbers = np.full((shape[0] + 2, shape[1] + 2), -1)
    numbers[tiles.rows + 1, tiles.columns + 1] = np.arange(tiles.count)
    offsets = np.arange(3)[:, np.newaxis]
    return numbers[(offsets + tiles.rows)[:, np.newaxis], (offsets + tiles.columns)[np.newaxis]]


def _around(colours: np.ndarray, neighbours: np.ndarray, chunk: slice) -> np.ndarray:
    """Put a frame of one block around some tiles: float32 (6, n, n, N) to (6, n + 2, n + 2, tiles).

    It comes from the neighbours; where there is none, the tile's own blocks are repeated.
    """
    side = colours.shape[1]
    own = neighbours[1, 1, chunk]
    framed = np.empty((len(colours), side + 2, side + 2, len(own)), np.float32)
    target = (slice(0, 1), slice(1, -1), slice(-1, None))
    near, opposite = (slice(0, 1), slice(None), slice(-1, None)), (slice(-1, None), slice(None), slice(0, 1))
    for y in range(3):
        for x in range(3):
            there = neighbours[y, x, chunk]
            missing = there < 0
            part = colours[:, opposite[y], opposite[x]][..., np.where(missing, own, there)]
            if missing.any():
                part[..., missing] = colours[:, near[y], near[x]][..., own[missing]]
            framed[:, target[y], target[x]] = part
    return framed


def _solve_pixels(image: np.ndarray, alpha: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Do what `_solve` does for blocks of one pixel, and for the foreground alone; uint8 (3, ...)."""
    foreground, background = prior[:3], prior[3:]
    rest = image - background
    rest -= alpha * (foreground - background)
    rest *= alpha / (alpha * alpha + (1 - alpha) * (1 - alpha) + np.float32(PULL))
    rest += foreground
    rest += np.float32(0.5)
    return np.clip(rest, 0, 255, out=rest).astype(np.uint8)


def _scatter(colours: np.ndarray, tiles: _Tiles, foreground: np.ndarray) -> None:
    """Put the colours of soft pixels where they belong; `foreground`, uint8 (H, W, 3), is changed."""
    soft = (tiles.alpha >= SOFT) & (tiles.alpha <= 1 - SOFT)
    colours = np.where(soft, colours, tiles.image)
    for row in np.unique(tiles.rows):
        some = slice(*np.searchsorted(tiles.rows, (row, row + 1)))
        band = foreground[row * TILE : (row + 1) * TILE]
        whole = _whole_tiles(band)
        blocks = whole.reshape(TILE, -1, TILE, 3)
        blocks[:, tiles.columns[some]] = colours[..., some].transpose(1, 3, 2, 0)
        if whole is not band:
            band[:] = whole[: band.shape[0], : band.shape[1]]


def _check_sizes(image: np.ndarray, alpha: np.ndarray | AlphaMatte) -> None:
    if image.shape[:2] != alpha.shape:
        raise RefinementError(
            f"An alpha matte of shape {alpha.shape} does not fit an image of shape {image.shape[:2]}. "
            "Both need one (height, width); resample one of them first."
        )
