"""The file formats that are read, in the variants that cameras, phones and scanners write."""

import sys

import numpy as np
import pytest
from images import DATA, chart_in, file_of, gradient, noise, png_16_bit, seen, tiff_16_bit
from images import P3_CORNERS as P3
from PIL import Image

from processing.errors import ImageError
from processing.formats import FORMATS, SUPPORTED, describe, find_format
from processing.images import DecodeLimits, decode

PICTURE = gradient(48, 64)  # what the stored HEIC files show

#: File and angle (quarter turns against the clock) that make each EXIF orientation in HEIC, whose own boxes turn it.
HEIC_TURNS = {
    1: ("turned", 0),
    2: ("mirrored", 0),
    3: ("turned", 2),
    4: ("mirrored", 2),
    5: ("mirrored", 3),
    6: ("turned", 3),
    7: ("mirrored", 1),
    8: ("turned", 1),
}


def heic(name: str) -> bytes:
    return (DATA / f"{name}.heic").read_bytes()


def assert_close(pixels: np.ndarray, expected: np.ndarray, most: int = 3) -> None:
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= most


# The table


@pytest.mark.parametrize("image_format", FORMATS, ids=lambda image_format: image_format.name)
def test_format_is_named_for_messages(image_format):
    assert image_format.name in SUPPORTED
    assert image_format.media_type.startswith("image/")
    assert image_format.suffix.startswith(".")


@pytest.mark.parametrize("head", [b"", b"\x00", b"\x00\x00\x00\x08ftyp", b"ftypheic", b"RIFF", b"\xff" * 512])
def test_start_of_no_format_is_found_in_none(head):
    assert find_format(head) is None
    assert describe(head)


def test_heic_named_only_among_the_compatible_brands_is_found():
    head = b"\x00\x00\x00\x1cftypXXXX\x00\x00\x00\x00miafheic"
    assert find_format(head + bytes(40)).name == "HEIC"


def test_avif_that_calls_itself_heif_too_is_avif():
    head = b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00miafavif"
    assert find_format(head + bytes(40)).name == "AVIF"


# HEIC


def test_heic_photo_is_read():
    source = decode(heic("plain"), name="IMG_1.HEIC")
    assert (source.media_type, source.suffix, source.remark) == ("image/heic", ".heic", "")
    assert source.alpha is None
    assert_close(source.pixels, PICTURE)


def test_heic_photo_with_transparency_is_read():
    source = decode(heic("transparent"))
    assert_close(source.pixels, PICTURE)
    assert_close(source.alpha, np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1)))


@pytest.mark.parametrize("orientation", HEIC_TURNS)
def test_heic_photo_is_turned_upright_once_whatever_its_exif_says(orientation):
    name, angle = HEIC_TURNS[orientation]
    data = bytearray(heic(name))
    data[data.index(b"irot") + 4] = angle
    assert_close(decode(bytes(data)).pixels, seen(PICTURE, orientation))


def test_heic_of_several_pictures_gives_the_first_and_a_remark():
    source = decode(heic("several"), name="burst")
    assert_close(source.pixels, PICTURE)
    assert source.remark == "burst is animated or has several pages; only its first picture is used."


def test_thumbnail_in_a_heic_is_no_second_picture():
    assert decode(heic("turned")).remark == ""


def test_heic_in_display_p3_is_converted():
    source = decode(heic("display-p3"))
    assert source.profile == "Display P3"
    chart, expected = chart_in(P3, gamma=None)
    assert np.abs(255 * expected - chart).max() > 20
    assert np.abs(source.pixels[2::4, 2::4] - 255 * expected).max() <= 1


@pytest.mark.parametrize("name", ["plain", "transparent", "turned", "display-p3"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_heic_that_is_cut_off_is_refused(name, share):
    data = heic(name)
    with pytest.raises(ImageError, match="photo is broken or cut off: its HEIC data"):
        decode(data[: int(share * len(data))])


def test_damaged_heic_ends_in_an_image_error_or_an_image():
    data = heic("plain")
    refused = 0
    for at in range(0, len(data), 3):
        try:
            damaged = data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
            assert decode(damaged, limits=DecodeLimits(max_megapixels=0.1)).pixels.ndim == 3
        except ImageError:
            refused += 1
    assert refused > 10


def test_heic_over_the_limit_is_refused_before_its_pixels_are_decoded(monkeypatch):
    monkeypatch.setattr("pi_heif.HeifImageFile.load", lambda image: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match=r"64 x 48 pixels .* at most 0\.003 megapixels"):
        decode(heic("plain"), limits=DecodeLimits(max_megapixels=0.003))


def test_heic_without_its_package_is_refused_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r"Run `pip install pi-heif`, or save the photo as JPEG"):
        decode(heic("plain"))


def test_reading_heic_does_not_change_what_pillow_opens():
    before = dict(Image.OPEN)
    decode(heic("plain"))
    assert before == Image.OPEN


def test_stored_heic_files_are_small_and_listed():
    sources = (DATA / "SOURCES.md").read_text(encoding="utf-8")
    for path in DATA.glob("*.heic"):
        assert path.stat().st_size < 20_000
        assert f"`{path.name}`" in sources


# TIFF


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "tiff_lzw"},
        {"compression": "tiff_adobe_deflate"},
        {"compression": "packbits"},
        {"compression": "zstd"},
        {"compression": "tiff_lzw", "tiffinfo": {317: 2}},  # differences of neighbours
        {"big_tiff": True},
        {"big_tiff": True, "compression": "tiff_lzw"},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "plain",
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_tiff_without_loss_keeps_every_pixel(options, mode):
    image = Image.fromarray(noise(37, 53, channels=4)).convert(mode)
    source = decode(file_of(image, "TIFF", **options))
    np.testing.assert_array_equal(source.pixels, np.asarray(image.convert("RGB")))
    assert (source.alpha is not None) == (mode == "RGBA")
    if mode == "RGBA":
        np.testing.assert_array_equal(source.alpha, np.asarray(image)[..., 3])


def test_tiff_that_holds_jpeg_is_read():
    assert_close(decode(file_of(PICTURE, "TIFF", compression="jpeg", quality=95)).pixels, PICTURE, most=6)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_tiff_of_a_fax_is_read(compression):
    image = Image.fromarray(noise(20, 40, channels=1)[..., 0] > 127)
    source = decode(file_of(image, "TIFF", compression=compression))
    np.testing.assert_array_equal(source.pixels[..., 0], np.asarray(image) * np.uint8(255))


def test_cmyk_tiff_is_read():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    assert_close(decode(file_of(image, "TIFF", compression="tiff_lzw")).pixels, np.full((8, 8, 3), (255, 0, 0)))


DEEP = np.array([[[0, 255, 256], [40_000, 65_535, 32_768]], [[1, 2, 3], [511, 512, 65_279]]], np.uint16)


@pytest.mark.parametrize(
    "data",
    [tiff_16_bit(DEEP, "<"), tiff_16_bit(DEEP, ">"), png_16_bit(DEEP)],
    ids=["little-endian tiff", "big-endian tiff", "png"],
)
def test_16_bit_colours_keep_their_upper_8_bits(data):
    np.testing.assert_array_equal(decode(data).pixels, DEEP >> 8)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}], ids=str)
def test_16_bit_grey_tiff_is_scaled_not_clipped(options):
    steps = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    pixels = decode(file_of(steps, "TIFF", **options)).pixels
    np.testing.assert_array_equal(pixels[0], [[value] * 3 for value in (0, 0, 1, 156, 255)])


def test_big_endian_16_bit_grey_tiff_is_scaled_not_clipped():
    steps = Image.frombytes("I;16B", (3, 1), b"\x00\x00\x9c\x40\xff\xff")
    np.testing.assert_array_equal(decode(file_of(steps, "TIFF")).pixels[0, :, 0], [0, 156, 255])


def test_tiff_of_numbers_that_are_no_colours_is_refused():
    with pytest.raises(ImageError, match=r"32-bit numbers \(mode F\)"):
        decode(file_of(Image.new("F", (2, 2)), "TIFF"))


# Animations and transparency


def frames_of(format: str) -> bytes:
    first, second = Image.fromarray(gradient(16, 16)), Image.new("RGB", (16, 16), "red")
    options = {} if format == "TIFF" else {"duration": 100, "loop": 0}
    return file_of(first, format, save_all=True, append_images=[second, first], **options)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_animation_gives_its_first_picture_and_a_remark(format):
    source = decode(frames_of(format), name="waving")
    assert np.abs(source.pixels.astype(int) - gradient(16, 16)).mean() < 8
    assert source.remark == "waving is animated or has several pages; only its first picture is used."


def test_animated_png_with_a_hidden_still_shows_the_still():
    still, frame = Image.fromarray(noise(8, 8)), Image.new("RGB", (8, 8), "red")
    data = file_of(still, save_all=True, append_images=[frame, frame.rotate(90)], default_image=True)
    np.testing.assert_array_equal(decode(data).pixels, noise(8, 8))


def test_gif_with_a_transparent_colour_is_read():
    image = Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8), "L").convert("P")
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    source = decode(file_of(image, "GIF", transparency=1))
    np.testing.assert_array_equal(source.alpha, [[255, 0, 255, 0]])
    np.testing.assert_array_equal(source.pixels[0, [0, 2]], [[200, 0, 0], [0, 0, 200]])


def test_transparent_animation_keeps_the_transparency_of_its_first_picture():
    frames = [Image.new("RGBA", (4, 4), (9, 9, 9, alpha)) for alpha in (0, 255)]
    source = decode(file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert (source.alpha == 0).all()


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_transparency_of_every_format_is_read(format):
    ramp = np.tile(np.arange(0, 256, 5, dtype=np.uint8), (8, 1))
    pixels = np.dstack([gradient(8, 52), ramp])
    source = decode(file_of(pixels, format, **({"quality": 100} if format == "AVIF" else {})))
    assert_close(source.alpha, ramp, most=2)


# BMP


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_keeps_every_pixel(mode):
    image = Image.fromarray(noise(7, 9)).convert(mode)
    np.testing.assert_array_equal(decode(file_of(image, "BMP")).pixels, np.asarray(image.convert("RGB")))


def test_formats_are_opened_without_the_limit_that_pillow_has(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # from here on Pillow warns, and a warning is an error here
    assert decode(heic("plain")).size == (48, 64)
    assert decode(frames_of("GIF")).size == (16, 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # twice as much is an error
    assert decode(tiff_16_bit(noise(30, 30).astype(np.uint16))).size == (30, 30)
