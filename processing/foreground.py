"""The colour of the foreground alone, so that soft edges carry no trace of the old background.

A photo mixes colours where its subject ends softly: image = alpha * foreground + (1 - alpha) * background. A cutout
that keeps the photo's colour there shows a halo of the old background over any other one.

Foreground and background are found from coarse to fine. In a block of pixels that share one foreground colour F and one
background colour B, the equation above is a linear regression of the colour on alpha, whose least squares need five
means: of alpha^2, alpha * (1 - alpha), (1 - alpha)^2, alpha * colour and (1 - alpha) * colour. So each level of a
pyramid of such means has a closed solution, pulled a little towards that of the level above, and nothing iterates.
Only tiles with soft pixels (`processing.tiles`) are divided further.
"""

from __future__ import annotations

import math

import numpy as np

from processing.bands import Tick, ignore, within
from processing.errors import RefinementError
from processing.matte import AlphaMatte
from processing.tiles import (
    TILE,
    Tiles,
    doubled,
    framed,
    framed_by_grid,
    framed_by_neighbours,
    gather,
    halved,
    is_soft,
    pick,
    put,
)

#: How much a block is pulled to the colours of the blocks around it: `PULL` / sqrt(side), where its pixels' mean square
#: alpha pulls to their own. The larger the block, the more alphas it has, and the better it knows its colours.
PULL = 0.1
#: How much a pixel is pulled to the colours around it.
PIXEL_PULL = 0.03


def estimate_foreground(image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> np.ndarray:
    """Estimate the colour that the subject has by itself.

    Only pixels of soft alpha change; all others keep their exact colour. Neither input is changed.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB image.
    alpha : ndarray of float32, shape (H, W), or AlphaMatte
        Alpha matte in [0, 1]; soft is what rounds neither to 0 nor to 1 in 8 bits.
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
    foreground = image.copy()
    clean_edges(foreground, image, alpha, tick)
    return foreground


def clean_edges(cutout: np.ndarray, image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> None:
    """Give the soft edges of a cutout the colour that `estimate_foreground` finds, in place: no second image is made.

    Parameters
    ----------
    cutout : ndarray of uint8, shape (H, W, 4) or (H, W, 3)
        Cutout with straight alpha, whose colours are changed where `alpha` is soft and its own alpha is not 0.
    image, alpha, tick
        See `estimate_foreground`, also for the errors.
    """
    _check_sizes(image, alpha)
    _check_sizes(cutout, alpha)
    tiles = gather(image, alpha, within(tick, 0.0, 0.4))
    if not tiles.count:
        return
    levels = _tile_moments(tiles, within(tick, 0.4, 0.6))
    grid = _solve_grid(_grid_moments(tiles, levels.pop()))
    colours = _solve_tiles(tiles, levels, grid, within(tick, 0.6, 0.9))
    put(colours, tiles, cutout, within(tick, 0.9, 1.0))


def fringe(cutout: np.ndarray, image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> float:
    """Measure how much of the old background is left in the soft edges of a cutout.

    0 is none, 1 is as much as in the photo itself. With F and B the colours of foreground and background around each
    pixel, averaged over about `TILE` pixels, C the cutout's colour and I the photo's, it is

        sum(w (C - F) . (B - F)) / sum(w (I - F) . (B - F)),    w = alpha (1 - alpha),

    cut to [0, 1]: how far the colours lean from F towards B, relative to the photo's. Where there is no soft edge, or
    foreground and background have one colour, it is 0. F and B are coarser than what `estimate_foreground` gives, so
    its own result is not 0 by definition; and an edge whose own colour leans to one side moves the number by .1 or so.

    Parameters
    ----------
    cutout : ndarray of uint8, shape (H, W, 4) or (H, W, 3)
        Cutout with straight alpha; where its own alpha is 0 nothing is looked at, elsewhere the colour.
    image : ndarray of uint8, shape (H, W, 3)
        The photo it was cut out of, sRGB.
    alpha : ndarray of float32, shape (H, W), or AlphaMatte
        Alpha matte in [0, 1].
    tick : callable, optional
        See `processing.bands`.

    Raises
    ------
    RefinementError
        If the sizes of `cutout`, `image` and `alpha` differ.
    """
    _check_sizes(image, alpha)
    _check_sizes(cutout, alpha)
    tiles = gather(image, alpha, within(tick, 0.0, 0.5))
    if not tiles.count:
        return 0.0
    coarsest = _tile_moments(tiles, within(tick, 0.5, 0.7))[-1]
    grid = _solve_grid(_grid_moments(tiles, coarsest))
    cut = pick(cutout, tiles)
    left = whole = total = 0.0
    for chunk in tiles.chunks(within(tick, 0.7, 1.0)):
        part = tiles.alpha[..., chunk]
        here = grid[:, tiles.rows[chunk], tiles.columns[chunk]][:, np.newaxis, np.newaxis]
        weight = part * (1 - part) * is_soft(part)
        if len(cut) == 4:
            weight *= cut[3, ..., chunk] > 0
        direction = (here[3:] - here[:3]) * weight
        left += float(np.sum((cut[:3, ..., chunk] - here[:3]) * direction, dtype=np.float64))
        whole += float(np.sum((tiles.image[..., chunk] - here[:3]) * direction, dtype=np.float64))
        total += float(np.sum(weight, dtype=np.float64))
    # Less than a level of 255 between the photo and its foreground is no fringe but rounding.
    return min(1.0, max(0.0, left / whole)) if whole > total else 0.0


def _moments(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Stack alpha^2, alpha * (1 - alpha), (1 - alpha)^2, alpha * colour and (1 - alpha) * colour: float32 (9, ...)."""
    moments = np.empty((9, *alpha.shape), np.float32)
    np.multiply(alpha, alpha, out=moments[0])
    np.subtract(alpha, moments[0], out=moments[1])
    np.subtract(1 - alpha, moments[1], out=moments[2])
    np.multiply(colour, alpha, out=moments[3:6])
    np.subtract(colour, moments[3:6], out=moments[6:9])
    return moments


def _tile_moments(tiles: Tiles, tick: Tick) -> list[np.ndarray]:
    """Average the moments over the blocks of each tile: float32 (9, n, n, N) for n = 8, 4, 2, 1."""
    levels = [
        np.empty((9, TILE >> shift, TILE >> shift, tiles.count), np.float32) for shift in range(1, TILE.bit_length())
    ]
    for chunk in tiles.chunks(tick):
        moments = _moments(tiles.image[..., chunk], tiles.alpha[..., chunk])
        for level in levels:
            moments = halved(moments)
            level[..., chunk] = moments
    return levels


def _grid_moments(tiles: Tiles, exact: np.ndarray) -> np.ndarray:
    """Average the moments over every tile of the photo: float32 (9, h, w).

    They are exact, float32 (9, 1, 1, N), in tiles with soft pixels; the others do with samples.
    """
    grid = np.zeros((9, *tiles.sampled_alpha.shape[1:]), np.float32)
    for colour, alpha in zip(tiles.sampled_image, tiles.sampled_alpha, strict=True):
        grid += _moments(colour, alpha)
    grid /= len(tiles.sampled_alpha)
    grid[:, tiles.rows, tiles.columns] = exact[:, 0, 0]
    return grid


def _solve_grid(grid: np.ndarray, side: int = TILE) -> np.ndarray:
    """Solve a grid of blocks and, before it, the one of half its size: float32 (9, h, w) to (6, h, w)."""
    height, width = grid.shape[1:]
    if height == width == 1:
        weights = np.stack([grid[0] + grid[1], grid[1] + grid[2]])[:, np.newaxis]
        means = grid[3:].reshape(2, 3, 1, 1) / np.maximum(weights, np.float32(1e-6))
        return _solve(grid, means.reshape(6, 1, 1), side)
    even = np.pad(grid, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return _solve(grid, doubled(framed(_solve_grid(halved(even), 2 * side)))[:, :height, :width], side)


def _solve_tiles(tiles: Tiles, levels: list[np.ndarray], grid: np.ndarray, tick: Tick) -> np.ndarray:
    """Return the colour of the foreground in each tile: uint8 (3, TILE, TILE, N).

    `levels` are the moments of its blocks, from fine to coarse, and are used up; `grid`, float32 (6, h, w), has the
    colours of all tiles.
    """
    neighbours, grid = tiles.neighbours(), framed(grid)

    def prior(coarser: np.ndarray | None, chunk: slice) -> np.ndarray:
        if coarser is None:
            return doubled(framed_by_grid(grid, tiles, chunk))
        return doubled(framed_by_neighbours(coarser, neighbours, chunk))

    colours, done = None, 0.0
    while levels:
        level = levels.pop()
        finer = np.empty((6, *level.shape[1:]), np.float32)
        for chunk in tiles.chunks(within(tick, done, done + 0.1)):
            finer[..., chunk] = _solve(level[..., chunk], prior(colours, chunk), TILE // level.shape[1])
        colours, done = finer, done + 0.1
        del level  # the last one takes more memory than all that is left to do
    result = np.empty(tiles.image.shape, np.uint8)
    for chunk in tiles.chunks(within(tick, done, 1.0)):
        result[..., chunk] = _solve_pixels(tiles.image[..., chunk], tiles.alpha[..., chunk], prior(colours, chunk))
    return result


def _solve(moments: np.ndarray, prior: np.ndarray, side: int) -> np.ndarray:
    """Fit foreground and background of each block to its pixels and to `prior`.

    Minimises mean((alpha F + (1 - alpha) B - colour)^2) + pull (|F - F0|^2 + |B - B0|^2), `prior` being F0 and B0: two
    equations for each channel, solved for the differences from F0 and B0.

    Parameters
    ----------
    moments : ndarray of float32, shape (9, ...)
        See `_moments`.
    prior : ndarray of float32, shape (6, ...)
        Colours of foreground and background, 0 to 255.
    side : int
        Side of a block, in pixels.

    Returns
    -------
    ndarray of float32, shape (6, ...)
        Colours of foreground and background, 0 to 255.
    """
    cross = moments[1]
    rest_f = moments[3:6] - moments[0] * prior[:3] - cross * prior[3:]
    rest_b = moments[6:9] - cross * prior[:3] - moments[2] * prior[3:]
    pull = np.float32(PULL / math.sqrt(side))
    a, c = moments[0] + pull, moments[2] + pull
    inverse = 1 / (a * c - cross * cross)
    a *= inverse
    c *= inverse
    cross = cross * inverse
    solved = np.empty_like(prior)
    np.subtract(c * rest_f, cross * rest_b, out=solved[:3])
    np.subtract(a * rest_b, cross * rest_f, out=solved[3:])
    solved += prior
    return np.clip(solved, 0, 255, out=solved)


def _solve_pixels(image: np.ndarray, alpha: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Do what `_solve` does for blocks of one pixel, and for the foreground alone; uint8 (3, ...)."""
    foreground, background = prior[:3], prior[3:]
    rest = image - background
    rest -= alpha * (foreground - background)
    rest *= alpha / (alpha * alpha + (1 - alpha) * (1 - alpha) + np.float32(PIXEL_PULL))
    rest += foreground
    rest += np.float32(0.5)
    return np.clip(rest, 0, 255, out=rest).astype(np.uint8)


def _check_sizes(image: np.ndarray, alpha: np.ndarray | AlphaMatte) -> None:
    if image.shape[:2] != alpha.shape:
        raise RefinementError(
            f"An alpha matte of shape {alpha.shape} does not fit an image of shape {image.shape[:2]}. "
            "Both need one (height, width); resample one of them first."
        )
