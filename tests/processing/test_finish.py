"""From the model's matte to the cutout: what the options of a recipe ask for, in their order."""

import numpy as np
import pytest
from contracts import PLAIN, FakeSession
from images import ball, file_of, noise

from processing.finish import OPTIONS, finish_matte, is_finished_alike, make_cutout
from processing.images import decode
from processing.matte import AlphaMatte
from processing.pipeline import run
from processing.recipe import Recipe
from processing.sessions.pool import SessionPool


def scene(height=120, width=160):
    """Return a photo of a red ball on green, softly cut, and its true alpha."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    alpha = np.clip((40 - distance) / 8 + 0.5, 0, 1).astype(np.float32)
    red, green = np.float32([200, 40, 40]), np.float32([30, 200, 60])
    photo = alpha[..., np.newaxis] * red + (1 - alpha[..., np.newaxis]) * green
    return decode(file_of(np.rint(photo).astype(np.uint8))), alpha


@pytest.fixture
def source():
    return scene()[0]


@pytest.fixture
def coarse():
    alpha = scene()[1]
    return AlphaMatte(alpha, alpha.shape)


def recipe(**options) -> Recipe:
    return Recipe(**{**PLAIN, **options})


def test_nothing_asked_for_gives_the_models_matte_itself(source, coarse):
    assert finish_matte(source, coarse, recipe()) is coarse


def test_auto_refines_what_the_model_left_coarse(source):
    true = scene()[1]
    steep = np.clip((true - 0.5) * 3 + 0.5, 0, 1)
    refined = np.asarray(finish_matte(source, AlphaMatte(steep, true.shape), recipe(refine="auto")))
    assert np.abs(refined - true).sum() < 0.9 * np.abs(steep - true).sum()


def test_options_of_the_clean_up_reach_it(source, coarse):
    alpha = np.asarray(coarse)
    assert np.asarray(finish_matte(source, coarse, recipe(shift_edge=3.0))).sum() > alpha.sum()
    assert np.asarray(finish_matte(source, coarse, recipe(shift_edge=-3.0))).sum() < alpha.sum()
    soft = np.asarray(finish_matte(source, coarse, recipe(feather=5.0)))
    assert ((soft > 0) & (soft < 1)).sum() > ((alpha > 0) & (alpha < 1)).sum()
    assert set(np.unique(np.asarray(finish_matte(source, coarse, recipe(threshold=0.5))))) == {0, 1}


@pytest.mark.parametrize("options", [{"drop_specks": 200}, {"largest_only": True}])
def test_speck_is_dropped(source, options):
    alpha = scene()[1].copy()
    alpha[4:10, 4:10] = 1
    found = np.asarray(finish_matte(source, AlphaMatte(alpha, alpha.shape), recipe(**options)))
    assert found[4:10, 4:10].max() == 0
    assert found[60, 80] == 1


def test_hole_is_filled(source):
    alpha = scene()[1].copy()
    alpha[58:62, 78:82] = 0
    found = np.asarray(finish_matte(source, AlphaMatte(alpha, alpha.shape), recipe(fill_holes=100)))
    assert found[58:62, 78:82].min() == 1


def test_nothing_makes_a_matte_binary_unasked(source, coarse):
    for options in ({}, {"drop_specks": 50}, {"largest_only": True}, {"fill_holes": 50}, {"refine": "auto"}):
        alpha = np.asarray(finish_matte(source, coarse, recipe(**options)))
        assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 100


def test_own_transparency_of_the_photo_counts_after_everything_else(source, coarse):
    opacity = np.full(coarse.shape, 128, np.uint8)
    found = finish_matte(source, AlphaMatte(coarse.small, coarse.shape, opacity), recipe(fill_holes=100))
    assert np.asarray(found).max() == pytest.approx(128 / 255)


def test_soft_edges_lose_the_old_background(source, coarse):
    cleaned, plain = (make_cutout(source, coarse, recipe(clean_colours=clean)) for clean in (True, False))
    soft = (np.asarray(coarse) > 0.2) & (np.asarray(coarse) < 0.8)
    np.testing.assert_array_equal(cleaned[..., 3], plain[..., 3])
    assert np.abs(cleaned[soft][:, 1].astype(int) - 40).mean() < 8  # red's own green, not the background's
    assert np.abs(plain[soft][:, 1].astype(int) - 40).mean() > 40


@pytest.mark.parametrize("stored", [False, True])
def test_faint_pixels_of_a_transparent_photo_keep_their_colour(stored):
    """Their colours are pure already: nothing of a background is mixed in."""
    photo = np.dstack([noise(60, 80), np.tile(np.linspace(0, 255, 80), (60, 1)).astype(np.uint8)])
    source = decode(file_of(photo))
    matte = AlphaMatte(np.ones((60, 80), np.float32), (60, 80), source.alpha)
    cutout = make_cutout(source, np.asarray(matte) if stored else matte, recipe(clean_colours=True))
    visible = cutout[..., 3] > 0
    np.testing.assert_array_equal(cutout[visible, :3], photo[visible, :3])


def test_cutout_over_another_colour_has_no_halo(source, coarse):
    true = scene()[1][..., np.newaxis]
    for colour in ((0, 0, 0), (255, 255, 255), (0, 255, 0)):
        expected = true * np.float32([200, 40, 40]) + (1 - true) * np.float32(colour)
        cutout = make_cutout(source, coarse, recipe(clean_colours=True)).astype(np.float32)
        alpha = cutout[..., 3:] / 255
        assert np.abs(alpha * cutout[..., :3] + (1 - alpha) * np.float32(colour) - expected).max() < 16


def test_changed_options_are_applied_without_the_model():
    photo, mask = ball(60, 80)
    data = file_of(photo)
    first = run(data, recipe(), pool=SessionPool(lambda spec, provider: FakeSession(mask)))

    def unused(spec, provider):
        pytest.fail("the model was loaded")

    again = run(data, recipe(shift_edge=4.0), previous=first, pool=SessionPool(unused))
    assert again.alpha.sum() > first.alpha.sum()
    assert again.coarse is first.coarse
    back = run(data, recipe(), previous=again, pool=SessionPool(unused))
    np.testing.assert_array_equal(back.alpha, first.alpha)


def test_options_that_matter_are_those_of_the_recipe():
    plain = recipe().as_dict()
    assert set(OPTIONS) <= set(plain)
    assert is_finished_alike(plain, recipe(format="webp", background="white").as_dict())
    assert not is_finished_alike(plain, recipe(feather=1.0).as_dict())


def test_photo_without_a_subject_is_left_alone():
    result = run(file_of(noise(40, 50)), pool=SessionPool(lambda spec, provider: FakeSession(np.zeros((8, 8)))))
    assert not result.subject_found
    assert result.pixels.max() == 0
