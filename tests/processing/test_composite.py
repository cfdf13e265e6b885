"""Image and alpha matte to cutout, and a cutout over a background."""

import numpy as np
import pytest

from processing.composite import BACKGROUNDS, cut_out, over, parse_background
from processing.errors import RecipeError

IMAGE = np.array([[[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8)


def test_cut_out_keeps_the_colour_of_a_half_transparent_pixel():
    alpha = np.array([[1.0, 0.5, 0.25]], np.float32)
    expected = [[[10, 20, 30, 255], [40, 50, 60, 128], [70, 80, 90, 64]]]
    np.testing.assert_array_equal(cut_out(IMAGE, alpha), np.array(expected, np.uint8))


def test_cut_out_leaves_no_colour_where_alpha_rounds_to_0():
    alpha = np.array([[0.0, 0.0019, 0.002]], np.float32)  # 0.4845 and 0.51 of 255
    expected = [[[0, 0, 0, 0], [0, 0, 0, 0], [70, 80, 90, 1]]]
    np.testing.assert_array_equal(cut_out(IMAGE, alpha), np.array(expected, np.uint8))


def test_cut_out_gives_every_stored_alpha_back():
    levels = np.arange(256, dtype=np.uint8)[np.newaxis]
    image = np.full((1, 256, 3), 200, np.uint8)
    np.testing.assert_array_equal(cut_out(image, levels.astype(np.float32) / 255)[..., 3], levels)


def test_cut_out_leaves_its_inputs_alone():
    image, alpha = IMAGE.copy(), np.zeros((1, 3), np.float32)
    image.flags.writeable = alpha.flags.writeable = False
    cut_out(image, alpha)
    np.testing.assert_array_equal(image, IMAGE)


def test_over_is_rounded_exactly():
    """All 256 x 256 pairs of colour and alpha over seven backgrounds, against the same in floating point."""
    colour, alpha = np.mgrid[:256, :256]
    cutout = np.stack([colour, colour, colour, alpha], axis=-1).astype(np.uint8)
    for behind in (0, 1, 100, 127, 128, 254, 255):
        exact = (colour * alpha + behind * (255 - alpha)) / 255
        expected = np.floor(exact + 0.5).astype(np.uint8)  # a sum of whole 255ths is never halfway
        mixed = over(cutout, (behind, behind, behind))
        assert mixed.dtype == np.uint8
        np.testing.assert_array_equal(mixed, np.repeat(expected[..., np.newaxis], 3, axis=-1))


def test_over_mixes_each_channel_with_its_own():
    cutout = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [100, 100, 100, 51]]], np.uint8)
    expected = [[[200, 0, 255], [10, 20, 30], [180, 20, 224]]]
    np.testing.assert_array_equal(over(cutout, (200, 0, 255)), np.array(expected, np.uint8))


def test_over_leaves_its_input_alone():
    cutout = np.full((2, 2, 4), 100, np.uint8)
    cutout.flags.writeable = False
    over(cutout, (0, 0, 0))
    assert (cutout == 100).all()


@pytest.mark.parametrize(
    ("value", "colour"),
    [
        ("transparent", None),
        ("white", (255, 255, 255)),
        ("black", (0, 0, 0)),
        ("rebeccapurple", (102, 51, 153)),
        ("RebeccaPurple", (102, 51, 153)),
        ("#0f8", (0, 255, 136)),
        ("#00Ff88", (0, 255, 136)),
    ],
)
def test_background_is_a_name_or_a_colour(value, colour):
    assert parse_background(value) == colour


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_named_background_can_be_laid_under_a_cutout(name):
    colour = parse_background(name)
    if colour is None:
        assert name == "transparent"
    else:
        cutout = np.zeros((1, 1, 4), np.uint8)
        np.testing.assert_array_equal(over(cutout, colour)[0, 0], colour)


@pytest.mark.parametrize("value", ["", "nice", "#12", "#12345g", "12 34 56", "#" + "0" * 200])
def test_unknown_background_is_refused_with_what_is_allowed(value):
    with pytest.raises(
        RecipeError, match=r"Unknown background.*transparent, white, black, a CSS colour name, or #rrggbb"
    ):
        parse_background(value)


@pytest.mark.parametrize("value", ["rgb(300, 0, 0)", "rgb(0, 0, 65536)", "rgb(200%, 0%, 0%)"])
def test_colour_outside_srgb_is_refused(value):
    with pytest.raises(RecipeError, match="Unknown background"):
        parse_background(value)


@pytest.mark.parametrize("value", ["#ff000080", "#f008", "rgba(255, 0, 0, 128)"])
def test_half_transparent_background_is_refused_rather_than_made_opaque(value):
    with pytest.raises(RecipeError, match="Unknown background"):
        parse_background(value)
