"""Clean-up of an alpha matte: parts, holes, edges."""

import numpy as np
import pytest
from scipy import ndimage

from processing.cleanup import (
    bounding_box,
    clean_up,
    drop_specks,
    fill_holes,
    keep_largest,
    threshold,
)
from processing.cleanup.components import LONGEST_SIDE, label
from processing.cleanup.edges import feather, shift_edge
from processing.matte import AlphaMatte


def matte(*rows):
    """Read a matte from text: a digit is tenths, # is 1 and . is 0."""
    levels = {".": 0.0, "#": 1.0}
    return np.array([[levels.get(c, 0.1 * int(c) if c.isdigit() else 0) for c in row] for row in rows], np.float32)


def disc(size=101, radius=30.0, softness=6.0):
    """Return a disc whose alpha falls linearly over `softness` pixels."""
    y, x = np.mgrid[:size, :size] - size // 2
    return np.clip((radius - np.hypot(y, x)) / softness + 0.5, 0, 1).astype(np.float32)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.2, 0.45, 0.6, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1), (60, 83)])
def test_label_numbers_parts_as_scipy_does(shape, density, diagonal):
    mask = np.random.default_rng(0).random(shape) < density
    labels, count = label(mask, diagonal=diagonal)
    expected, expected_count = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
    assert count == expected_count
    np.testing.assert_array_equal(labels, expected)


def test_label_follows_a_spiral():
    mask = np.zeros((41, 41), bool)
    y = x = 20
    for turn, length in enumerate(np.repeat(np.arange(2, 40, 2), 2)):
        dy, dx = ((0, 1), (1, 0), (0, -1), (-1, 0))[turn % 4]
        for _ in range(length):
            y, x = np.clip(y + dy, 0, 40), np.clip(x + dx, 0, 40)
            mask[y, x] = True
    assert label(mask, diagonal=False)[1] == ndimage.label(mask)[1]


def test_specks_are_dropped_with_their_rims_and_soft_edges_stay():
    alpha = matte("##5.......", "##5...2#2.", "##5.......", "##5......#")
    expected = matte("##5.......", "##5.......", "##5.......", "##5.......")
    np.testing.assert_array_equal(drop_specks(alpha, 4), expected)


def test_faint_rim_goes_with_the_part_it_is_nearer_to():
    alpha = np.array([[1, 1, 1, 0.04, 0.03, 0, 0, 0, 0.02, 1, 0.02]], np.float32)
    expected = np.array([[1, 1, 1, 0.04, 0.03, 0, 0, 0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(drop_specks(alpha, 2), expected)


def test_a_part_of_exactly_the_area_stays():
    alpha = matte("##..#")
    np.testing.assert_array_equal(drop_specks(alpha, 2), matte("##..."))
    np.testing.assert_array_equal(drop_specks(alpha, 3), matte("....."))


def test_largest_is_kept_and_corners_connect():
    alpha = matte("#....##", ".#.....", "..#....", ".......")
    np.testing.assert_array_equal(keep_largest(alpha), matte("#......", ".#.....", "..#....", "......."))
    np.testing.assert_array_equal(keep_largest(np.zeros((3, 4), np.float32)), np.zeros((3, 4)))


def test_holes_are_filled_up_to_an_area():
    alpha = matte("########", "#5.5####", "####..##", "####..##", "########")
    np.testing.assert_array_equal(fill_holes(alpha, 7), np.ones((5, 8)))
    np.testing.assert_array_equal(fill_holes(alpha, 2), alpha)
    small = fill_holes(alpha, 3)  # a corner does not join the two
    np.testing.assert_array_equal(small[1], np.ones(8))
    np.testing.assert_array_equal(small[2:4, 4:6], 0)


def test_a_bay_at_the_frame_and_the_outside_are_no_holes():
    alpha = matte("##.##", "##.##", "#####")
    np.testing.assert_array_equal(fill_holes(alpha, 100), alpha)
    np.testing.assert_array_equal(fill_holes(np.zeros((5, 5), np.float32), 100), np.zeros((5, 5)))


def test_a_hole_is_closed_by_corners_too():
    alpha = matte(".###.", "#...#", ".###.")
    np.testing.assert_array_equal(fill_holes(alpha, 3)[1], np.ones(5))


def test_parts_of_a_large_matte_are_measured_in_its_pixels():
    side = 3 * LONGEST_SIDE
    alpha = np.zeros((60, side), np.float32)
    alpha[5:25, 100:1000] = 1
    alpha[10:15, 300:310] = 0  # a hole of 50
    alpha[40:47, 2000:2010] = 0.5  # a speck of 70
    assert drop_specks(alpha, 70)[43, 2005] == 0.5
    assert drop_specks(alpha, 71).sum() == alpha[5:25].sum()
    assert fill_holes(alpha, 49)[12, 305] == 0
    np.testing.assert_array_equal(fill_holes(alpha, 50)[5:25, 100:1000], 1)
    np.testing.assert_array_equal(keep_largest(alpha)[:30], alpha[:30])


@pytest.mark.parametrize("pixels", [-8.0, -2.5, -1.0, -0.25, 0.0, 0.25, 1.0, 2.5, 8.0])
def test_edge_moves_by_the_pixels_asked_for(pixels):
    """The radius of a disc of the same area moves as asked, within the tenth that an octagon is off a disc."""
    alpha = disc()
    before, after = (np.sqrt(matte.sum() / np.pi) for matte in (alpha, shift_edge(alpha, pixels)))
    assert after - before == pytest.approx(pixels, abs=0.01 + 0.1 * abs(pixels))


def test_shifted_edge_is_as_soft_as_before():
    alpha = np.clip((np.arange(40, dtype=np.float32) - 10) / 8, 0, 1)[np.newaxis].repeat(5, axis=0)
    expected = np.clip((np.arange(40, dtype=np.float32) - 10 + 3.5) / 8, 0, 1)
    np.testing.assert_allclose(shift_edge(alpha, 3.5)[2], expected, atol=0.07)  # bends at the ends of the ramp only
    np.testing.assert_allclose(shift_edge(alpha, 3.5)[2, 8:12], expected[8:12], atol=1e-6)


def test_shrinking_is_growing_of_the_background():
    alpha = disc()
    np.testing.assert_allclose(shift_edge(alpha, -3.3), 1 - shift_edge(1 - alpha, 3.3), atol=1e-6)


def test_shift_moves_one_pixel_to_a_cross_and_a_hard_edge_by_a_fraction():
    alpha = matte(".....", ".....", "..#..", ".....", ".....")
    np.testing.assert_array_equal(shift_edge(alpha, 1), matte(".....", "..#..", ".###.", "..#..", "....."))
    row = np.array([[0, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(shift_edge(row, 0.25), [[0, 0.25, 1, 1]])
    np.testing.assert_allclose(shift_edge(row, -0.25), [[0, 0, 0.75, 1]])


def test_a_subject_at_the_frame_does_not_shrink_there():
    alpha = np.ones((5, 6), np.float32)
    alpha[:, 4:] = 0
    np.testing.assert_array_equal(shift_edge(alpha, -2)[:, :2], 1)
    np.testing.assert_array_equal(shift_edge(alpha, -2)[:, 2:], 0)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.0, 12.0])
def test_feather_is_nearly_a_gaussian(sigma):
    alpha = disc(softness=1)
    exact = ndimage.gaussian_filter(alpha, sigma, mode="nearest")
    np.testing.assert_allclose(feather(alpha, sigma), exact, atol=0.05)


def test_feather_keeps_the_sum_and_0_changes_nothing():
    alpha = disc()
    np.testing.assert_allclose(feather(alpha, 4).sum(), alpha.sum(), rtol=1e-5)
    np.testing.assert_array_equal(feather(alpha, 0), alpha)


@pytest.mark.parametrize("change", [lambda a: feather(a, 3), lambda a: shift_edge(a, 4.5), lambda a: shift_edge(a, -4)])
def test_bands_of_rows_leave_no_seam(change, monkeypatch):
    alpha = np.random.default_rng(3).random((90, 50)).astype(np.float32)
    alpha[:, :15] = 0
    alpha[40:60] = 1
    whole = change(alpha)
    bands = [slice(i, i + 7) for i in range(0, 84, 7)] + [slice(84, 90)]
    monkeypatch.setattr("processing.cleanup.edges.bands", lambda height, *_, **__: bands)
    np.testing.assert_allclose(change(alpha), whole, atol=1e-6)


def test_threshold_is_inclusive():
    np.testing.assert_array_equal(threshold(np.array([[0.49, 0.5, 1]], np.float32), 0.5), [[0, 1, 1]])


def test_clean_up_with_no_option_returns_the_same_matte():
    alpha = disc()
    np.testing.assert_array_equal(clean_up(alpha), alpha)
    np.testing.assert_array_equal(clean_up(AlphaMatte(alpha, alpha.shape)), alpha)


OPTIONS = {
    "speck_area": 50.0,
    "largest_only": True,
    "hole_area": 50.0,
    "shift": 1.5,
    "softness": 2.0,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_is_binarised_unless_asked(name):
    alpha = disc()
    alpha[2, 2], alpha[50, 50] = 0.3, 0
    cleaned = clean_up(alpha, **{name: OPTIONS[name]})
    soft = (cleaned > 0.01) & (cleaned < 0.99)
    assert soft.sum() > 0.9 * ((alpha > 0.01) & (alpha < 0.99)).sum()
    assert set(np.unique(clean_up(alpha, **{name: OPTIONS[name]}, cut=0.5))) == {0, 1}


def test_clean_up_works_in_the_documented_order():
    alpha = disc()
    alpha[2, 2], alpha[50, 50] = 0.3, 0
    step = drop_specks(alpha, 50)
    step = fill_holes(keep_largest(step), 50)
    step = threshold(feather(shift_edge(step, 1.5), 2), 0.4)
    np.testing.assert_array_equal(clean_up(alpha, **OPTIONS, cut=0.4), step)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 20)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, None])
def test_every_size_and_level_works_and_inputs_stay(shape, level):
    alpha = np.random.default_rng(4).random(shape).astype(np.float32) if level is None else np.full(shape, level, "f4")
    alpha.flags.writeable = False
    cleaned = clean_up(alpha, **OPTIONS)
    assert cleaned.shape == shape
    assert cleaned.dtype == np.float32
    assert cleaned.min() >= 0
    assert cleaned.max() <= 1


def test_bounding_box_of_nothing_is_none():
    assert bounding_box(np.full((4, 4), 0.04, np.float32)) is None


def test_bounding_box_holds_what_can_be_seen():
    alpha = matte("......", "..2#..", "..#...", "......")
    assert bounding_box(alpha) == (slice(1, 3), slice(2, 4))
    assert bounding_box(alpha, threshold=0.5) == (slice(1, 3), slice(2, 4))
    assert bounding_box(alpha[:2], threshold=0.5) == (slice(1, 2), slice(3, 4))
