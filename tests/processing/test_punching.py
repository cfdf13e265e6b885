"""Holes that the model has filled are opened where the photo shows the background's colour."""

import numpy as np
import pytest
from soft_edges import draw

from processing.cleanup import fill_holes
from processing.cleanup.punching import punch_holes
from processing.finish import finish_matte
from processing.images import SourceImage
from processing.matte import AlphaMatte
from processing.recipe import Recipe

SUBJECT, WALL = np.array([170, 90, 60]), np.array([90, 140, 190])


def ring(side=200, outer=80, inner=50, noise=3, hole=WALL, wall=WALL):
    """Photograph a ring before a wall; `hole` is what can be seen through it. Also return its true alpha."""
    y, x = np.mgrid[:side, :side] - side / 2
    radius = np.hypot(y, x)
    disc, gap = np.clip(outer - radius + 0.5, 0, 1), np.clip(inner - radius + 0.5, 0, 1)
    alpha = (disc - gap).astype(np.float32)
    behind = np.where((radius < (inner + outer) / 2)[..., np.newaxis], hole, wall)
    image = alpha[..., np.newaxis] * SUBJECT + (1 - alpha[..., np.newaxis]) * behind
    image += np.random.default_rng(1).normal(0, noise, image.shape)
    return np.rint(image.clip(0, 255)).astype(np.uint8), alpha, disc.astype(np.float32)


@pytest.mark.parametrize("side", [200, 1500])
def test_a_filled_ring_is_opened_with_a_soft_rim(side):
    """Within a hundredth of the true alpha in the mean, at full size and on cells of two pixels."""
    image, truth, filled = ring(side, 0.4 * side, 0.25 * side)
    punched = punch_holes(image, filled, 100)
    assert np.abs(filled - truth).mean() > 0.15
    assert np.abs(punched - truth).mean() < 0.01
    soft = (truth > 0.1) & (truth < 0.9)
    assert np.abs(punched - truth)[soft].mean() < 0.2
    assert (punched <= filled).all()


def test_it_follows_a_wall_that_grows_darker():
    shade = np.linspace(40, -40, 200)[:, np.newaxis, np.newaxis]
    image, truth, filled = ring(hole=WALL + shade, wall=WALL + shade)
    assert np.abs(punch_holes(image, filled, 100) - truth).mean() < 0.01


def test_a_window_onto_something_else_stays():
    image, _, filled = ring(hole=np.array([200, 200, 40]))
    np.testing.assert_array_equal(punch_holes(image, filled, 100), filled)


def test_only_holes_that_are_large_enough_are_opened():
    image, _, filled = ring(inner=20)
    np.testing.assert_array_equal(punch_holes(image, filled, 1500), filled)
    assert punch_holes(image, filled, 1000)[100, 100] == 0


def test_the_outer_edge_is_left_alone():
    """A matte that reaches over the subject's edge by some pixels is the refinement's affair."""
    image, _, _ = ring(outer=80, inner=50)
    _, _, fat = ring(outer=86, inner=50)
    punched = punch_holes(image, fat, 100)
    outside = np.hypot(*(np.mgrid[:200, :200] - 100)) > 70
    np.testing.assert_array_equal(punched[outside], fat[outside])
    assert punched[100, 100] == 0


@pytest.mark.parametrize("name", ["rings", "lace", "hair", "fur", "vector"])
def test_a_matte_without_filled_holes_stays_as_it_is(name):
    picture = draw(name, 480, 640)
    changed = picture.alpha - punch_holes(picture.image, picture.alpha, 50)
    assert (changed > 0.1).mean() < 2e-3


def test_most_of_what_rings_and_letters_enclose_is_opened_before_a_mottled_wall():
    picture = draw("rings", 480, 640)
    filled = fill_holes(picture.alpha, 1e6)
    holes = filled - picture.alpha > 0.9
    assert holes.sum() > 2000
    punched = punch_holes(picture.image, filled, 50)
    assert punched[holes].mean() < 0.4
    assert (picture.alpha - punched > 0.5).mean() < 2e-3, "nothing of the letters"


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 20)])
def test_every_size_works_and_inputs_stay(shape, level):
    alpha, image = np.full(shape, level, np.float32), np.full((*shape, 3), 90, np.uint8)
    alpha.flags.writeable = image.flags.writeable = False
    np.testing.assert_array_equal(punch_holes(image, alpha, 1), alpha)


def test_a_recipe_opens_holes_before_the_edges_are_refined():
    image, truth, filled = ring()
    source = SourceImage(image, None, b"", "ring", "image/png", ".png")
    coarse = AlphaMatte(filled, filled.shape)
    kept = np.asarray(finish_matte(source, coarse, Recipe(refine="none")))
    assert kept[100, 100] == 1, "nothing is opened behind anybody's back"
    for refine in ("none", "auto"):
        found = np.asarray(finish_matte(source, coarse, Recipe(refine=refine, punch_holes=100)))
        assert np.abs(found - truth).mean() < 0.01
