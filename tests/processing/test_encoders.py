"""Cutout to file bytes."""

import io

import numpy as np
import pytest
from contracts import AlphaEncoderContract, ColourEncoderContract
from images import ball, camera_exif, noise
from PIL import ExifTags, Image

from processing.composite import over
from processing.encoders import ENCODERS, check_output, encode, encode_preview, find_encoder
from processing.errors import Cancelled, EncodingError, RecipeError


def names(*contents):
    return [name for name, encoder in ENCODERS.items() if encoder.content in contents]


class TestEveryColourEncoder(ColourEncoderContract):
    @pytest.fixture(params=names("cutout"))
    def encoder(self, request):
        return ENCODERS[request.param]


class TestEveryAlphaEncoder(AlphaEncoderContract):
    @pytest.fixture(params=names("mask", "matte"))
    def encoder(self, request):
        return ENCODERS[request.param]


def test_every_encoder_is_under_a_contract():
    assert set(names("cutout", "mask", "matte")) == set(ENCODERS)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def visible(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as `cut_out` makes them: no colour where alpha is 0."""
    pixels[pixels[..., 3] == 0] = 0
    return pixels


@pytest.mark.parametrize(("format", "lossless"), [("png", False), ("tiff", False), ("webp", True)])
def test_lossless_file_keeps_every_pixel(format, lossless):
    cutout = visible(noise(33, 21, channels=4))
    np.testing.assert_array_equal(np.asarray(opened(encode(cutout, format, lossless=lossless).data)), cutout)


def test_mask_is_black_and_white():
    cutout = np.zeros((1, 4, 4), np.uint8)
    cutout[0, :, 3] = [0, 127, 128, 255]
    np.testing.assert_array_equal(np.asarray(opened(encode(cutout, "mask").data)), [[0, 0, 255, 255]])


def test_mask_stays_black_and_white_when_reduced():
    cutout = noise(40, 40, channels=4)
    assert set(np.unique(opened(encode(cutout, "mask", long_side=10).data))) == {0, 255}


def test_matte_keeps_16_bits_of_the_alpha():
    alpha = np.array([[0.0, 1 / 65535, 0.5, 1.0]], np.float32)
    stored = np.asarray(opened(encode(np.zeros((1, 4, 4), np.uint8), "matte", alpha=alpha).data))
    np.testing.assert_array_equal(stored, [[0, 1, 32768, 65535]])


def test_matte_of_a_cutout_alone_has_its_8_bits():
    cutout = np.zeros((1, 3, 4), np.uint8)
    cutout[0, :, 3] = [0, 51, 255]
    np.testing.assert_array_equal(np.asarray(opened(encode(cutout, "matte").data)), [[0, 51 * 257, 65535]])


def test_png_over_a_colour_is_the_composite_exactly():
    cutout = noise(33, 21, channels=4)
    stored = np.asarray(opened(encode(cutout, "png", "#ff8000").data))
    np.testing.assert_array_equal(stored, over(cutout, (255, 128, 0)))


def test_matte_of_every_16_bit_value_is_exact():
    steps = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    alpha = (steps / 65535).astype(np.float32)
    stored = opened(encode(np.zeros((256, 256, 4), np.uint8), "matte", alpha=alpha).data)
    np.testing.assert_array_equal(np.asarray(stored), steps)


def test_matte_of_a_result_has_more_than_its_8_bits(fake_result):
    result = fake_result(mask=[[0.7005]])
    stored = np.asarray(opened(result.encode(format="matte").data))
    np.testing.assert_array_equal(stored, np.rint(result.alpha.astype(np.float64) * 65535))
    assert (stored % 257 != 0).all()  # no multiple of 1/255


def test_reduced_matte_is_the_mean_of_its_pixels():
    alpha = np.array([[0, 1, 1, 1], [0, 0, 1, 1]], np.float32)
    stored = np.asarray(opened(encode(np.zeros((2, 4, 4), np.uint8), "matte", alpha=alpha, long_side=2).data))
    np.testing.assert_array_equal(stored, [[16384, 65535]])


def test_reduced_mask_is_the_majority_of_its_pixels():
    cutout = np.zeros((2, 6, 4), np.uint8)
    cutout[..., 3] = [[0, 255, 255, 255, 0, 0], [0, 0, 255, 255, 255, 255]]
    stored = np.asarray(opened(encode(cutout, "mask", long_side=3).data))
    np.testing.assert_array_equal(stored, [[0, 255, 255]])


@pytest.mark.parametrize("format", names("cutout"))
def test_colour_of_hidden_pixels_never_shows_in_a_reduced_file(format):
    """Hidden pure blue beside a visible red: none of the blue may come into any pixel that shows."""
    cutout = np.zeros((64, 64, 4), np.uint8)
    cutout[:, :33] = (255, 0, 0, 255)
    cutout[:, 33:] = (0, 0, 255, 0)
    encoder = ENCODERS[format]
    background = "transparent" if encoder.keeps_alpha else "red"
    small = np.asarray(opened(encode(cutout, format, background, long_side=16, lossless=True, quality=100).data))
    shown = small[small[..., 3] > 40] if encoder.keeps_alpha else small.reshape(-1, 3)
    assert shown[:, 2].max() < 12
    assert shown[:, 0].min() > 240


@pytest.mark.parametrize("format", names("cutout"))
@pytest.mark.parametrize("background", ["white", "black", "#123", "rebeccapurple"])
def test_every_format_over_a_colour_is_opaque(format, background):
    image = opened(encode(visible(noise(16, 16, channels=4)), format, background).data)
    assert image.mode == "RGB"
    assert not image.has_transparency_data


@pytest.mark.parametrize("format", ENCODERS)
@pytest.mark.parametrize("background", ["transparent", "white"])
def test_what_is_refused_before_the_work_is_refused_by_the_encoder_and_nothing_else(format, background):
    encoder, cutout = ENCODERS[format], np.full((2, 2, 4), 255, np.uint8)
    fits = background == "transparent" if encoder.content != "cutout" else encoder.keeps_alpha or background == "white"
    if fits:
        assert check_output(format, background) is encoder
        assert encode(cutout, format, background).data
    else:
        for refuse in (lambda: check_output(format, background), lambda: encode(cutout, format, background)):
            with pytest.raises(EncodingError, match="transparent"):
                refuse()


def test_avif_without_loss_is_exact_in_alpha_and_near_in_colour():
    cutout = visible(noise(32, 32, channels=4))
    stored = np.asarray(opened(encode(cutout, "avif", lossless=True).data))
    np.testing.assert_array_equal(stored[..., 3], cutout[..., 3])
    shown = cutout[..., 3] > 0
    assert np.abs(stored[shown].astype(int) - cutout[shown]).mean() < 2


@pytest.mark.parametrize("where", ["Exif", "GPSInfo"])
def test_tiff_with_blocks_of_camera_data_keeps_every_pixel(where):
    exif = camera_exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo if where == "Exif" else ExifTags.IFD.Exif).clear()
    cutout = visible(noise(33, 21, channels=4))
    image = opened(encode(cutout, "tiff", exif=exif.tobytes()).data)
    np.testing.assert_array_equal(np.asarray(image), cutout)
    assert image.getexif().get_ifd(ExifTags.IFD[where])


@pytest.mark.parametrize(("format", "side"), [("webp", 16_384), ("avif", 32_769), ("jpeg", 65_501)])
def test_side_beyond_the_format_is_refused_with_one_that_can(format, side):
    title = ENCODERS[format].title
    with pytest.raises(
        EncodingError, match=rf"{title} stores at most {side - 1} .* is 1 x {side}\. Choose the format png"
    ):
        encode(np.zeros((side, 1, 4), np.uint8), format, "white")


@pytest.mark.parametrize(
    ("format", "side"), [("webp", 16_383), ("avif", 32_768), ("jpeg", 65_500), ("png", 70_000), ("tiff", 70_000)]
)
def test_largest_side_of_the_format_can_be_written(format, side):
    assert opened(encode(np.zeros((side, 1, 4), np.uint8), format, "white").data).size == (1, side)


@pytest.mark.parametrize("format", ["gif", "", ".", "..png", "pn"])
def test_unknown_format_is_refused_with_those_that_are_known(format):
    with pytest.raises(EncodingError, match=rf"Unknown output format .*\. Known: {', '.join(ENCODERS)}\."):
        find_encoder(format)


def test_jpeg_is_told_before_the_work_that_it_cannot_be_transparent():
    with pytest.raises(EncodingError, match="Choose a background colour such as white, or the format png or webp"):
        check_output("jpeg", "transparent")
    assert check_output("jpeg", "white").name == "jpeg"


def test_unknown_background_is_told_before_the_work():
    with pytest.raises(RecipeError, match="Unknown background 'nice'"):
        check_output("png", "nice")


# Previews


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((400, 300), (75, 100)),
        ((300, 400), (100, 75)),
        ((50, 30), (30, 50)),
        ((100, 100), (100, 100)),
        ((4000, 1), (1, 100)),
    ],
)
def test_preview_fits_the_long_side_and_is_never_enlarged(shape, size):
    preview = opened(encode_preview(noise(*shape), long_side=100))
    assert preview.format == "WEBP"
    assert preview.size == size


@pytest.mark.parametrize("format", ENCODERS)
@pytest.mark.parametrize("long_side", [0, 300])
def test_encoding_tells_how_far_it_is(format, long_side):
    shares = []
    background = "transparent" if ENCODERS[format].keeps_alpha else "white"
    encode(noise(700, 900, channels=4), format, background, long_side=long_side, tick=shares.append)
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] == 1
    assert len(set(shares)) >= 2


def test_encoding_stops_when_it_is_cancelled():
    def tick(share):
        if share > 0.6:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        encode(noise(700, 900, channels=4), "png", tick=tick)


def test_preview_of_a_photo_is_opaque():
    assert opened(encode_preview(noise(20, 20), long_side=10)).mode == "RGB"


@pytest.mark.parametrize("long_side", [240, 120])
def test_preview_of_a_cutout_keeps_its_alpha(long_side):
    picture, mask = ball(160, 240)
    cutout = np.dstack([picture, mask.astype(np.uint8) * 255])
    small = opened(encode_preview(cutout, long_side=long_side)).getchannel("A")
    expected = Image.fromarray(mask.astype(np.uint8) * 255).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, np.float32) - np.asarray(expected, np.float32)).mean() < 4


def test_preview_does_not_mix_in_the_colour_of_hidden_pixels():
    """White subject on hidden black: an edge pixel stays white however small the preview is."""
    cutout = np.zeros((64, 64, 4), np.uint8)
    cutout[:, 31:] = 255
    small = np.asarray(opened(encode_preview(cutout, long_side=16)))
    assert small[small[..., 3] > 40, :3].min() > 240


def test_preview_leaves_the_pixels_alone():
    pixels = noise(30, 30, channels=4)
    encode_preview(pixels, long_side=10)
    np.testing.assert_array_equal(pixels, noise(30, 30, channels=4))
