"""What people reported about other tools, as tests with known answers.

The numbers are those of the reports, for example "rembg 474": issue 474 of danielgatis/rembg. Here single functions are
tested; `test_reported_runs.py` tests whole runs.
"""

import io

import numpy as np
import pytest
from PIL import Image
from soft_edges import disc, photo, pierced

from processing.cleanup import bounding_box, clean_up, drop_specks, fill_holes
from processing.composite import cut_out, over
from processing.encoders import encode
from processing.foreground import estimate_foreground, fringe

BLACK, WHITE, GREEN = (0, 0, 0), (255, 255, 255), (0, 255, 0)


def composite_error(image, alpha, subject, behind):
    """Return the largest error of the cutout over a colour against the same drawn exactly, in levels of 255."""
    cutout = cut_out(estimate_foreground(image, alpha), alpha)
    exact = photo(subject, behind, alpha)
    return np.abs(over(cutout, behind).astype(int) - exact).max()


# 1: dark halo on soft edges (rembg 474, 606)


def test_a_white_disc_over_white_is_white():
    """Multiplying the colour by alpha, as rembg's default cut does, gives 191 here."""
    alpha = disc()
    image = np.full((160, 160, 3), 255, np.uint8)
    cutout = cut_out(estimate_foreground(image, alpha), alpha)
    assert over(cutout, WHITE).min() >= 254


@pytest.mark.parametrize("behind", [BLACK, WHITE, GREEN])
@pytest.mark.parametrize("old", [BLACK, (20, 30, 25), WHITE])
def test_no_dark_halo_is_left_over_any_background(old, behind):
    """A light subject in front of something dark: its edge over the new background is that of an exact drawing."""
    alpha, subject = disc(), (235, 230, 225)
    image = photo(subject, old, alpha)
    assert composite_error(image, alpha, subject, behind) <= 6


# 2: colour of the old background on the edge (rembg 842, DIS 85)


def test_a_red_subject_on_green_has_a_red_edge():
    alpha, red = disc(), (200, 30, 30)
    image = photo(red, (30, 200, 40), alpha)
    edge = (alpha > 0.1) & (alpha < 0.9)
    untouched, clean = image[edge].astype(int), estimate_foreground(image, alpha)[edge].astype(int)
    assert (untouched[:, 1] - untouched[:, 0]).max() > 100  # green where alpha is small
    assert (clean[:, 0] - clean[:, 1]).min() > 120
    assert fringe(cut_out(image, alpha), image, alpha) == 1
    assert fringe(estimate_foreground(image, alpha), image, alpha) < 0.02


# 3: white line or border (transparent-background 74, MODNet-BGRemover 6)


def test_a_dark_subject_from_white_has_no_light_ring_over_black():
    alpha, dark = disc(), (40, 35, 30)
    image = photo(dark, WHITE, alpha)
    ring = over(cut_out(estimate_foreground(image, alpha), alpha), BLACK)
    assert over(cut_out(image, alpha), BLACK).max() > 70  # the line, without estimation
    assert ring.max() <= 42


# 6: the hole of a ring, a frame or a letter stays (rembg 167, 445, 504, 623)


@pytest.mark.parametrize("kind", ["ring", "frame", "letter"])
def test_a_hole_stays_a_hole_with_no_old_background_around_it(kind):
    alpha, subject = pierced(kind), (180, 140, 60)
    image = photo(subject, (20, 90, 200), alpha)
    cutout = cut_out(estimate_foreground(image, alpha), alpha)
    assert cutout[80, 80, 3] == 0
    np.testing.assert_array_equal(cutout[80, 80, :3], 0)
    for behind in (BLACK, WHITE, GREEN):
        assert composite_error(image, alpha, subject, behind) <= 6
    np.testing.assert_array_equal(drop_specks(alpha, 100), alpha)  # clean-up leaves it open, too


@pytest.mark.parametrize("kind", ["ring", "frame", "letter"])
def test_a_hole_is_filled_only_when_it_is_asked_for_and_small_enough(kind):
    alpha = pierced(kind)
    hole = np.count_nonzero(alpha[40:120, 60:100] < 0.5)
    assert fill_holes(alpha, hole / 4)[80, 80] == 0
    filled = fill_holes(alpha, 160 * 160)
    assert filled[80, 80] == 1
    np.testing.assert_array_equal(filled[:15], alpha[:15])  # its outer edge is untouched


# 7: subject partly erased, half transparent body (rembg 18, 292, nukebg 226, imgly 43)


def test_a_body_that_the_model_left_half_transparent_can_be_made_solid():
    alpha = disc()
    alpha[75:85, 70:95] = 0.6
    alpha[60:64, 60:64] = 0
    assert clean_up(alpha)[80, 80] == np.float32(0.6)  # not behind anybody's back
    solid = clean_up(alpha, hole_area=300)
    inside = np.hypot(*(np.mgrid[:160, :160] - 80)) < 43
    assert solid[inside].min() >= 0.99
    outside = np.hypot(*(np.mgrid[:160, :160] - 80)) >= 45
    np.testing.assert_array_equal(solid[outside], alpha[outside])


def test_the_colour_of_a_solid_body_is_the_photo_s():
    alpha = disc()
    image = np.random.default_rng(5).integers(0, 256, (160, 160, 3), np.uint8)
    solid = alpha == 1
    np.testing.assert_array_equal(estimate_foreground(image, alpha)[solid], image[solid])


# 21: alpha near 0 breaks cropping (imgpush 49)


def test_haze_does_not_make_the_crop_the_whole_picture():
    alpha = np.full((100, 120), 0.008, np.float32)  # 2 of 255
    alpha[30:60, 40:90] = 1
    assert np.count_nonzero(np.rint(alpha * 255)) == alpha.size
    assert bounding_box(alpha) == (slice(30, 60), slice(40, 90))
    assert bounding_box(alpha, threshold=0) == (slice(0, 100), slice(0, 120))


# 22: an opaque background leaves an alpha channel (rembg 716)


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize(("name", "colour"), [("black", BLACK), ("white", WHITE), ("#00ff00", GREEN)])
def test_over_an_opaque_colour_no_alpha_channel_is_left(name, colour, format):
    alpha = disc()
    image = photo((200, 30, 30), (30, 200, 40), alpha)
    cutout = cut_out(estimate_foreground(image, alpha), alpha)
    flat = over(cutout, colour)
    assert flat.shape == (160, 160, 3)
    np.testing.assert_array_equal(flat[0, 0], colour)
    with Image.open(io.BytesIO(encode(cutout, format, name).data)) as file:
        assert file.mode == "RGB"
        assert "transparency" not in file.info
