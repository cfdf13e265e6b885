"""From the model's matte to the cutout: edges refined, the matte cleaned up, soft edges freed of the old background."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from processing.bands import Tick, bands, ignore, within
from processing.cleanup import clean_up
from processing.cleanup.punching import punch_holes
from processing.composite import cut_out
from processing.foreground import clean_edges
from processing.images import SourceImage
from processing.matte import AlphaMatte
from processing.recipe import Recipe
from processing.refinement import refine

#: The options of a recipe that matter here.
OPTIONS = (
    "refine",
    "clean_colours",
    "drop_specks",
    "largest_only",
    "fill_holes",
    "punch_holes",
    "shift_edge",
    "feather",
    "threshold",
)

#: Of these, what is measured in pixels of the photo.
_AREAS, _LENGTHS = ("drop_specks", "fill_holes", "punch_holes"), ("shift_edge", "feather")

#: How far making the matte is when it is enlarged, and when it is refined; the rest is clean-up.
_ENLARGED, _REFINED = 0.2, 0.8


def is_finished_alike(recipe: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two recipes, as `Recipe.as_dict` gives them, make the same cutout of the same model's matte."""
    return all(recipe.get(option) == other.get(option) for option in OPTIONS)


def finish_matte(source: SourceImage, coarse: AlphaMatte, recipe: Recipe, tick: Tick = ignore) -> AlphaMatte:
    """Make the cutout's matte of the model's.

    Parameters
    ----------
    source : SourceImage
        The photo.
    coarse : AlphaMatte
        The model's matte.
    recipe : Recipe
        Which refinement, and which clean-up. Where it asks for neither, `coarse` itself comes back.
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    AlphaMatte
        In [0, 1]; the photo's own transparency is taken into account at the end, as it is in `coarse`.
    """
    clean = _clean_up_options(recipe)
    if recipe.refine == "none" and not recipe.punch_holes and not clean:
        return coarse
    seen, alpha = AlphaMatte(coarse.small, coarse.shape), np.empty(coarse.shape, np.float32)
    for rows in bands(len(alpha), alpha[0].nbytes, within(tick, 0.0, _ENLARGED)):
        alpha[rows] = seen[rows]
    if recipe.punch_holes:  # first, so that the edges of holes are refined too
        alpha = punch_holes(source.pixels, alpha, recipe.punch_holes)
    if recipe.refine != "none":
        alpha = refine(source.pixels, alpha, recipe.refine, tick=within(tick, _ENLARGED, _REFINED))
    tick(_REFINED)
    return AlphaMatte(clean_up(alpha, **clean) if clean else alpha, coarse.shape, coarse.opacity)


def _clean_up_options(recipe: Recipe) -> dict[str, Any]:
    """Return what `clean_up` is asked for, without what changes nothing."""
    options = {
        "speck_area": recipe.drop_specks,
        "largest_only": recipe.largest_only,
        "hole_area": recipe.fill_holes,
        "shift": recipe.shift_edge,
        "softness": recipe.feather,
        "cut": recipe.threshold,
    }
    return {name: value for name, value in options.items() if value}


def make_cutout(source: SourceImage, matte: AlphaMatte | np.ndarray, recipe: Recipe, tick: Tick = ignore) -> np.ndarray:
    """Cut the photo out with its finished matte.

    Returns
    -------
    ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    """
    if not recipe.clean_colours:
        return cut_out(source.pixels, matte, tick)
    cutout = cut_out(source.pixels, matte, within(tick, 0.0, 0.3))
    clean_edges(cutout, source.pixels, without_opacity(source, matte), within(tick, 0.3, 1.0))
    return cutout


def without_opacity(source: SourceImage, matte: AlphaMatte | np.ndarray) -> AlphaMatte | np.ndarray:
    """Leave the photo's own transparency out: where that makes a pixel faint, its colour is pure all the same."""
    if source.alpha is None:
        return matte
    if isinstance(matte, AlphaMatte):
        return AlphaMatte(matte.small, matte.shape)
    opacity = source.alpha / np.float32(255)
    return np.divide(matte, opacity, out=np.zeros_like(matte), where=opacity > 0).clip(0, 1)


def draft(
    source: SourceImage, coarse: np.ndarray, recipe: Recipe, size: tuple[int, int], tick: Tick = ignore
) -> np.ndarray:
    """Show on a reduced photo what a recipe would make of the photo itself.

    Parameters
    ----------
    source : SourceImage
        The reduced photo.
    coarse : ndarray of float32, shape (h, w)
        The model's matte at its own resolution, in [0, 1].
    recipe : Recipe
        Its lengths and areas are in pixels of the photo itself; they are scaled here.
    size : tuple of int
        Height and width of the photo itself, in pixels.
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    ndarray of uint8, shape (H, W, 4)
        Cutout of the size of `source`, straight alpha.
    """
    scale = max(source.size) / max(size)
    scaled: dict[str, Any] = {name: math.ceil(getattr(recipe, name) * scale**2) for name in _AREAS}
    scaled |= {name: getattr(recipe, name) * scale for name in _LENGTHS}
    small = Recipe.from_options({**recipe.as_dict(), **scaled})
    matte = finish_matte(source, AlphaMatte(coarse, source.size, source.alpha), small, within(tick, 0.0, 0.6))
    return make_cutout(source, matte, small, within(tick, 0.6, 1.0))
