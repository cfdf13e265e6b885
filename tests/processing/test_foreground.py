"""The colour of the foreground alone, and how much of the old background is left."""

import numpy as np
import pytest

from processing.composite import cut_out
from processing.errors import Cancelled, RefinementError
from processing.foreground import estimate_foreground, fringe
from processing.matte import AlphaMatte
from processing.tiles import SOFT


def scene(height=120, width=200):
    """Return foreground and background of slowly changing colour, and a disc with a soft edge."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    foreground = np.stack([200 - x / 5, 60 + y / 5, 40 + x / 10], axis=-1)
    background = np.stack([30 + y / 5, 180 - x / 5, 220 - y / 5], axis=-1)
    alpha = np.clip((height / 3 - np.hypot(y - height / 2, x - width / 2)) / 12 + 0.5, 0, 1)
    return foreground, background, alpha.astype(np.float32)


def mixed(foreground, background, alpha):
    """Mix colours as a camera does, and round."""
    weight = alpha[..., np.newaxis]
    return np.rint(weight * foreground + (1 - weight) * background).astype(np.uint8)


def error(estimate, foreground, alpha):
    """Return the mean colour error where alpha is between .02 and .98."""
    band = (alpha > 0.02) & (alpha < 0.98)
    return np.abs(estimate[band] - foreground[band]).mean()


#: Levels of 255, as measured when the method was written; the photo's own colour is 67.3 off.
EXPECTED = 0.8126


def test_smooth_colours_are_found():
    foreground, background, alpha = scene()
    image = mixed(foreground, background, alpha)
    assert error(image, foreground, alpha) > 60
    assert error(estimate_foreground(image, alpha), foreground, alpha) <= EXPECTED * 1.01


def test_two_flat_colours_are_found_within_a_level_where_alpha_is_not_tiny():
    alpha = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (40, 1))
    image = mixed(np.array([230.0, 20, 10]), np.array([10.0, 200, 60]), alpha)
    found = estimate_foreground(image, alpha)[alpha > 0.3].astype(int)
    assert np.abs(found - [230, 20, 10]).max() <= 1


def test_all_but_soft_pixels_keep_their_exact_colour():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (70, 90, 3), np.uint8)
    alpha = rng.random((70, 90), np.float32)
    alpha[:, :30], alpha[:, 30:50], alpha[:20] = 0, 1, SOFT / 2
    found = estimate_foreground(image, alpha)
    hard = (alpha < SOFT) | (alpha > 1 - SOFT)
    np.testing.assert_array_equal(found[hard], image[hard])
    assert (found[~hard] != image[~hard]).any()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_matte_without_soft_pixels_changes_nothing(level):
    image = np.random.default_rng(1).integers(0, 256, (33, 50, 3), np.uint8)
    alpha = np.full((33, 50), level, np.float32)
    np.testing.assert_array_equal(estimate_foreground(image, alpha), image)
    assert fringe(image, image, alpha) == 0


def test_evenly_half_transparent_matte_keeps_its_colour():
    """Nothing tells the two colours apart, so both are the photo's."""
    image = np.full((40, 40, 3), 90, np.uint8)
    found = estimate_foreground(image, np.full((40, 40), 0.5, np.float32))
    assert np.abs(found.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (2, 3), (16, 16), (17, 31), (100, 15)])
def test_every_size_works(shape):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    alpha = rng.random(shape, np.float32)
    image.flags.writeable = alpha.flags.writeable = False
    found = estimate_foreground(image, alpha)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert 0 <= fringe(found, image, alpha) <= 1


def test_a_matte_of_the_model_gives_the_same_as_its_array():
    foreground, background, alpha = scene()
    matte = AlphaMatte(alpha[::4, ::4], alpha.shape)
    image = mixed(foreground, background, np.asarray(matte))
    np.testing.assert_array_equal(estimate_foreground(image, matte), estimate_foreground(image, np.asarray(matte)))


def test_estimate_does_not_depend_on_where_the_tiles_lie():
    """Shifted by 5 pixels, other tiles hold the same edge: the difference stays under what can be seen."""
    foreground, background, alpha = scene()
    image = mixed(foreground, background, alpha)
    whole, part = estimate_foreground(image, alpha), estimate_foreground(image[5:, 5:], alpha[5:, 5:])
    visible = np.abs(whole[5:, 5:].astype(float) - part) * alpha[5:, 5:, np.newaxis]
    assert visible.mean() < 0.2


def test_other_size_is_refused():
    with pytest.raises(RefinementError, match=r"\(4, 5\) does not fit an image of shape \(5, 4\)"):
        estimate_foreground(np.zeros((5, 4, 3), np.uint8), np.zeros((4, 5), np.float32))


@pytest.mark.parametrize("measure", [False, True])
def test_work_is_reported_in_order_and_can_be_stopped(measure):
    foreground, background, alpha = scene()
    image = mixed(foreground, background, alpha)
    work = (
        (lambda tick: fringe(image, image, alpha, tick))
        if measure
        else (lambda tick: estimate_foreground(image, alpha, tick))
    )
    shares = []
    work(shares.append)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1

    def stop(share):
        if share > 0.35:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        work(stop)


def test_fringe_is_0_for_the_foreground_1_for_the_photo_and_linear_between():
    foreground, background, alpha = scene()
    image = mixed(foreground, background, alpha)
    clean = np.rint(foreground).astype(np.uint8)
    half = np.rint((foreground + image) / 2).astype(np.uint8)
    assert fringe(clean, image, alpha) == pytest.approx(0, abs=0.02)
    assert fringe(half, image, alpha) == pytest.approx(0.5, abs=0.02)
    assert fringe(image, image, alpha) == 1
    assert fringe(cut_out(image, alpha), image, alpha) == 1
    assert fringe(estimate_foreground(image, alpha), image, alpha) < 0.02


def test_fringe_is_0_where_both_colours_are_one():
    image = np.full((40, 40, 3), 77, np.uint8)
    alpha = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (40, 1))
    assert fringe(image, image, alpha) == 0


def test_fringe_takes_no_notice_of_what_cannot_be_seen():
    foreground, background, alpha = scene()
    image = mixed(foreground, background, alpha)
    cutout = cut_out(image, alpha)
    hidden = np.arange(image.shape[1]) % 2 == 0
    cutout[:, hidden] = 0
    cutout[:, ~hidden, :3] = np.rint(foreground[:, ~hidden])
    assert fringe(cutout, image, alpha) < 0.02
