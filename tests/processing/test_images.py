"""Bytes of a photo to upright sRGB pixels."""

import hashlib
import io
import sys
import warnings
import zlib

import numpy as np
import pytest
from images import (
    ADOBE_PRIMARIES,
    SRGB_PRIMARIES,
    file_of,
    gif_claiming,
    gradient,
    grey_profile,
    jpeg_claiming,
    noise,
    png_claiming,
    png_with,
    rgb_profile,
    seen,
    webp_claiming,
)
from PIL import Image, ImageCms, TiffImagePlugin

from processing.errors import ImageError
from processing.images import DecodeLimits, decode, read_input, sniff

#: Formats that Pillow can write for the tests, which leaves out HEIC: media type and suffix.
FORMATS = {
    "PNG": ("image/png", ".png"),
    "JPEG": ("image/jpeg", ".jpg"),
    "WEBP": ("image/webp", ".webp"),
    "AVIF": ("image/avif", ".avif"),
    "TIFF": ("image/tiff", ".tif"),
    "BMP": ("image/bmp", ".bmp"),
    "GIF": ("image/gif", ".gif"),
}
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}}
WITH_EXIF = {name: options for name, options in LOSSLESS.items() if name != "BMP"}


# Reading


@pytest.mark.parametrize("format", FORMATS)
def test_decode_reads_the_format_by_its_bytes_whatever_the_name_says(format):
    data = file_of(gradient(12, 16), format)
    source = decode(data, name="holiday.svg")
    assert (source.media_type, source.suffix) == FORMATS[format]
    assert source.name == "holiday.svg"
    assert source.size == (12, 16)
    assert source.pixels.dtype == np.uint8
    assert source.alpha is None
    assert np.abs(source.pixels.astype(int) - gradient(12, 16)).mean() < 8


@pytest.mark.parametrize(("format", "options"), LOSSLESS.items())
def test_decode_keeps_the_pixels_of_a_lossless_file(format, options):
    np.testing.assert_array_equal(decode(file_of(noise(5, 7), format, **options)).pixels, noise(5, 7))


def test_decode_keeps_the_file_and_knows_its_sha256():
    data = file_of(noise(2, 2))
    source = decode(data)
    assert source.data is data
    assert source.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("shape", [(1, 1), (4000, 1), (1, 4000)])
def test_decode_reads_the_thinnest_pictures(shape):
    assert decode(file_of(noise(*shape))).size == shape


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF", "TIFF", "GIF", "MPO"])
def test_decode_takes_the_first_picture_of_several_and_remarks_on_it(format):
    first, second = Image.fromarray(gradient(16, 16)), Image.new("RGB", (16, 16), "red")
    source = decode(file_of(first, format, save_all=True, append_images=[second]), name="several")
    assert np.abs(source.pixels.astype(int) - gradient(16, 16)).mean() < 8
    if format == "MPO":  # how phones add a depth map: nobody wants to hear of it
        assert (source.remark, source.media_type) == ("", "image/jpeg")
    else:
        assert source.remark == "several is animated or has several pages; only its first picture is used."


@pytest.mark.parametrize("format", FORMATS)
def test_decode_has_nothing_to_remark_on_a_single_picture(format):
    assert decode(file_of(gradient(8, 8), format)).remark == ""


# Turning upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format", "options"), WITH_EXIF.items())
def test_decode_turns_image_upright(format, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = noise(3, 5)
    source = decode(file_of(stored, format, exif=exif, **options))
    np.testing.assert_array_equal(source.pixels, seen(stored, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_decode_turns_an_image_with_loss_upright(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = gradient(24, 40)
    source = decode(file_of(stored, format, quality=95, exif=exif))
    upright = seen(stored, orientation)
    assert source.size == upright.shape[:2]
    assert np.abs(source.pixels.astype(int) - upright).mean() < 3


def test_decode_turns_the_transparency_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = noise(3, 5, channels=4)
    np.testing.assert_array_equal(decode(file_of(stored, exif=exif)).alpha, seen(stored, 6)[..., 3])


@pytest.mark.parametrize("exif", [b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", b"Exif\x00\x00nonsense", b"Exif\x00\x00"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remark on the broken block
def test_decode_reads_a_photo_with_broken_exif(exif):
    assert decode(file_of(gradient(8, 8), "JPEG", exif=exif)).size == (8, 8)


# Limits


def test_decode_refuses_too_many_bytes():
    data = file_of(noise(100, 100))
    with pytest.raises(ImageError, match=r"big\.png has 30 MB; at most 20 MB are allowed"):
        decode(data + bytes(30_000_000), name="big.png", limits=DecodeLimits(max_bytes=20_000_000))


def test_decode_accepts_exactly_the_limits():
    data = file_of(noise(10, 100))
    limits = DecodeLimits(max_bytes=len(data), max_megapixels=0.001)
    assert decode(data, limits=limits).size == (10, 100)
    with pytest.raises(ImageError, match="MB"):
        decode(data, limits=DecodeLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png_claiming(30_000, 30_000), "30000 x 30000 pixels"),
        (png_claiming(2**31 - 1, 2**31 - 1), "2147483647 x 2147483647 pixels"),
        (jpeg_claiming(65_500, 65_500), "65500 x 65500 pixels"),
        (jpeg_claiming(20_000, 5_001), r"20000 x 5001 pixels \(100 megapixels\)"),
        (webp_claiming(16_000, 16_000), "16000 x 16000 pixels"),
        (gif_claiming(65_535, 65_535), "65535 x 65535 pixels"),
    ],
    ids=["png", "largest png", "largest jpeg", "just over", "webp", "gif"],
)
def test_decode_refuses_too_many_pixels_by_the_header_alone(data, size, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match=f"{size}.*at most 100 megapixels are allowed"):
        decode(data)


@pytest.mark.parametrize("format", FORMATS)
def test_decode_refuses_over_the_callers_own_limit(format, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match=r"at most 0\.01 megapixels"):
        decode(file_of(gradient(101, 100), format), limits=DecodeLimits(max_megapixels=0.01))


def test_decode_warns_of_nothing_below_its_own_limit():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(
            ImageError, match="broken or cut off"
        ) as refusal:  # 95 megapixels pass; then there is no data
            decode(png_claiming(10_000, 9_500), limits=DecodeLimits(max_megapixels=96))
    assert not isinstance(refusal.value.__cause__, Warning)
    assert caught == []


@pytest.mark.parametrize("format", FORMATS)
def test_decode_does_not_follow_pillows_limit(format, monkeypatch):
    data = file_of(gradient(30, 30), format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # from here on Pillow warns, and a warning is an error here
    assert decode(data).size == (30, 30)


@pytest.mark.parametrize(
    ("format", "options", "size"),
    [
        ("PNG", {"compress_level": 1}, (10_000, 9_990)),
        ("TIFF", {"compression": "group4"}, (10_000, 9_990)),
        ("JPEG", {}, (10_000, 9_000)),
    ],
)
def test_decode_reads_photos_just_below_the_limit_without_a_warning(format, options, size):
    """Pillow's own opener warns from 89.5 megapixels on; a warning is an error here."""
    image = Image.new("L" if format == "JPEG" else "1", size)
    image.paste(255, (size[0] // 2, 0, *size))
    data = file_of(image, format, **options)
    image.close()
    source = decode(data)
    assert source.size == size[::-1]
    assert source.pixels[[0, -1], :: size[0] - 1].ravel().tolist() == [0, 0, 0, 255, 255, 255] * 2


@pytest.mark.parametrize("format", ["PNG", "TIFF", "GIF"])
def test_file_of_a_few_bytes_that_unpacks_to_more_than_the_limit_is_refused(format, monkeypatch):
    options = {"compression": "group4"} if format == "TIFF" else {}
    data = file_of(Image.new("1", (10_001, 10_000)), format, **options)
    assert len(data) < 200_000
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match=r"10001 x 10000 pixels.*at most 100 megapixels are allowed\. Scale it down"):
        decode(data)


PACKED = zlib.compress(bytes(50_000_000), 9)


@pytest.mark.parametrize(
    ("chunk", "head"),
    [(b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0"), (b"iCCP", b"Profile\0\0")],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_texts_or_a_profile_that_unpack_to_a_multiple_are_refused_with_their_own_sentence(chunk, head):
    data = png_with(chunk, head + PACKED)
    assert len(data) < 60_000
    with pytest.raises(ImageError, match=r"me\.png holds texts or a colour profile .* Export it again without them"):
        decode(data, name="me.png")


def test_many_packed_texts_are_refused_together():
    text = zlib.compress(bytes(1_000_000))
    data = png_with(b"zTXt", b"Comment\0\0" + text)
    chunk = data[33 : 33 + 12 + 9 + len(text)]
    with pytest.raises(ImageError, match="holds texts or a colour profile"):
        decode(data[:33] + 70 * chunk + data[33:])


def test_text_of_an_ordinary_length_is_no_bomb():
    assert decode(png_with(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000)))).size == (8, 8)


@pytest.mark.parametrize(
    ("megabytes", "megapixels", "limits"),
    [
        (None, None, DecodeLimits(100_000_000, 100.0)),
        ("20", None, DecodeLimits(20_000_000, 100.0)),
        (None, "0.5", DecodeLimits(100_000_000, 0.5)),
        ("1.5", "250", DecodeLimits(1_500_000, 250.0)),
    ],
)
def test_limits_come_from_the_environment(monkeypatch, megabytes, megapixels, limits):
    for name, value in (("CUTOUT_MAX_MEGABYTES", megabytes), ("CUTOUT_MAX_MEGAPIXELS", megapixels)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert DecodeLimits.from_environment() == limits


@pytest.mark.parametrize("name", ["CUTOUT_MAX_MEGABYTES", "CUTOUT_MAX_MEGAPIXELS"])
@pytest.mark.parametrize("value", ["", "many", "0", "-1", "nan", "inf", "1e999"])
def test_limit_that_is_no_positive_number_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ImageError, match=rf"{name} is '{value}'\. Give a positive number, such as 100"):
        decode(file_of(noise(2, 2)))


def test_decode_follows_the_limits_of_the_environment_unless_given_others(monkeypatch):
    data = file_of(noise(10, 20))
    monkeypatch.setenv("CUTOUT_MAX_MEGAPIXELS", "0.0001")
    with pytest.raises(ImageError, match=r"20 x 10 pixels .* at most 0\.0001 megapixels"):
        decode(data)
    monkeypatch.setenv("CUTOUT_MAX_MEGABYTES", "0.0001")
    with pytest.raises(ImageError, match="MB are allowed"):
        decode(data)
    assert decode(data, limits=DecodeLimits()).size == (10, 20)


def test_read_input_follows_the_limits_of_the_environment(monkeypatch, tmp_path):
    path = tmp_path / "me.png"
    path.write_bytes(file_of(noise(30, 30)))
    monkeypatch.setenv("CUTOUT_MAX_MEGABYTES", "0.001")
    with pytest.raises(ImageError, match="MB are allowed"):
        read_input(path)


# Refusals

DRAWING = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", r"photo\.png is empty \(0 bytes\)"),
        (b"Dear diary,\ntoday I was a photo.", "photo.png is not a photo that can be read"),
        (b"\x89PN", "photo.png is not a photo that can be read"),
        (DRAWING, "photo.png is an SVG drawing"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(40), "photo.png is a video or audio file"),
        (b"8BPS\x00\x01" + bytes(40), "photo.png is a Photoshop document"),
        (b"%PDF-1.7\n", "photo.png is a PDF document"),
        (b"PK\x03\x04" + bytes(40), "photo.png is a ZIP archive or office document"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "photo.png is a web page"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "photo.png is not a photo that can be read"),
    ],
)
def test_decode_says_what_the_file_is_instead(data, sentence):
    with pytest.raises(ImageError, match=sentence) as refusal:
        decode(data, name="photo.png")
    assert "PNG, JPEG" in str(refusal.value)  # what would be right


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_photo_needs_a_package_and_says_which(brand, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # as if it were not installed
    with pytest.raises(ImageError, match="pip install pi-heif"):
        decode(b"\x00\x00\x00\x18ftyp" + brand + bytes(40))


def test_decode_refuses_a_camera_raw_file():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706] = b"\x01\x04\x00\x00"  # DNGVersion
    with pytest.raises(ImageError, match=r"camera raw file.*Export it as JPEG or TIFF"):
        decode(file_of(gradient(8, 8), "TIFF", tiffinfo=tags))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_decode_refuses_a_file_that_is_cut_off(format, share):
    data = file_of(noise(40, 40), format)
    with pytest.raises(ImageError, match=f"photo is broken or cut off: its (?i:{format}) data"):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks on broken blocks
def test_broken_file_ends_in_an_image_error_or_an_image(format):
    """Cut a small file at every byte and damage every byte of it: no other exception ever escapes."""
    data = file_of(noise(6, 6), format)
    broken = [data[:length] for length in range(len(data))]
    broken += [
        data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :] for at in range(len(data)) for flip in (1, 128, 255)
    ]
    refused = 0
    for each in broken:
        try:
            assert decode(each, limits=DecodeLimits(max_megapixels=0.1)).pixels.ndim == 3
        except ImageError:
            refused += 1
    assert refused > len(data) / 2


def test_error_of_a_broken_file_keeps_its_cause():
    with pytest.raises(ImageError) as refusal:
        decode(file_of(noise(40, 40))[:500])
    assert refusal.value.__cause__ is not None


def test_sniff_names_the_format():
    assert sniff(file_of(gradient(2, 2), "WEBP")).name == "WebP"


# Kinds of pixels


def picture_of(mode: str) -> Image.Image:
    return Image.fromarray(gradient(9, 11)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "1"])
def test_decode_makes_rgb_of_every_kind_of_png(mode):
    image = picture_of(mode)
    source = decode(file_of(image))
    np.testing.assert_array_equal(source.pixels, np.asarray(image.convert("RGB")))
    assert source.alpha is None


def test_decode_scales_16_bit_grey():
    steps = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    pixels = decode(file_of(steps)).pixels
    np.testing.assert_array_equal(pixels[0], [[value] * 3 for value in (0, 0, 1, 156, 255)])


def test_decode_reads_cmyk_jpeg():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    assert np.abs(decode(file_of(image, "JPEG")).pixels.astype(int) - (255, 0, 0)).max() <= 2


def test_decode_reads_grey_jpeg():
    assert np.abs(decode(file_of(Image.new("L", (16, 16), 100), "JPEG")).pixels.astype(int) - 100).max() <= 1


# Transparency


def test_decode_splits_the_transparency_off():
    pixels = noise(4, 6, channels=4)
    source = decode(file_of(pixels))
    np.testing.assert_array_equal(source.pixels, pixels[..., :3])
    np.testing.assert_array_equal(source.alpha, pixels[..., 3])


def test_decode_splits_the_transparency_of_a_webp_off():
    pixels = noise(4, 6, channels=4)
    source = decode(file_of(pixels, "WEBP", lossless=True, exact=True))
    np.testing.assert_array_equal(source.pixels, pixels[..., :3])
    np.testing.assert_array_equal(source.alpha, pixels[..., 3])


def test_decode_reads_grey_with_alpha():
    source = decode(file_of(Image.new("LA", (2, 1), (90, 40))))
    np.testing.assert_array_equal(source.pixels, [[[90, 90, 90]] * 2])
    np.testing.assert_array_equal(source.alpha, [[40, 40]])


@pytest.mark.parametrize(
    ("image", "transparency", "alpha"),
    [
        (Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P"), bytes([0, 70, 255]), [[0, 70, 255]]),
        (Image.fromarray(np.array([[0, 1, 2]], np.uint8)), 1, [[255, 0, 255]]),
        (Image.fromarray(np.array([[0, 1]], bool)), 1, [[255, 0]]),
        (Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)), (4, 5, 6), [[255, 0]]),
    ],
    ids=["palette", "grey", "1 bit", "rgb"],
)
def test_decode_understands_a_transparent_colour(image, transparency, alpha):
    np.testing.assert_array_equal(decode(file_of(image, transparency=transparency)).alpha, alpha)


def test_decode_understands_a_transparent_colour_in_16_bit_grey():
    steps = np.array([[0, 40_000]], np.uint16)
    np.testing.assert_array_equal(decode(file_of(steps, transparency=40_000)).alpha, [[255, 0]])


# Colour profiles

ADOBE = rgb_profile("Adobe-like space", ADOBE_PRIMARIES, gamma=563 / 256)
COLOURS = np.array([[[128, 128, 128], [200, 100, 50], [30, 60, 90], [255, 255, 255], [0, 0, 0]]], np.uint8)


def srgb_of(pixels: np.ndarray, primaries, gamma: float) -> np.ndarray:
    """Convert to sRGB by the definition (IEC 61966-2-1), independently of the library that `decode` uses."""
    xyz = (pixels / 255) ** gamma @ np.array(primaries)
    linear = np.clip(xyz @ np.linalg.inv(np.array(SRGB_PRIMARIES)), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    "image",
    [
        COLOURS,
        np.dstack([COLOURS, np.full((1, 5, 1), 77, np.uint8)]),
        Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE, colors=5),
    ],
    ids=["rgb", "rgba", "palette"],
)
def test_decode_converts_a_wider_colour_space_to_srgb_and_names_it(image):
    source = decode(file_of(image, icc_profile=ADOBE))
    assert source.profile == "Adobe-like space"
    expected = srgb_of(COLOURS, ADOBE_PRIMARIES, 563 / 256)
    assert np.abs(expected - COLOURS).max() > 20  # the conversion is no small matter
    assert np.abs(source.pixels - expected).max() <= 1


def test_decode_converts_the_profile_of_a_jpeg():
    plain = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    source = decode(file_of(plain, "JPEG", quality=100, icc_profile=ADOBE))
    assert np.abs(source.pixels.astype(int) - (227, 100, 42)).max() <= 3


GREYS = np.array([[0, 64, 128, 200, 255]], np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREYS),
        pytest.param(Image.merge("LA", [Image.fromarray(GREYS), Image.new("L", (5, 1), 77)]), id="grey with alpha"),
        pytest.param(Image.fromarray(GREYS.astype(np.uint16) * 256), id="16 bits"),
    ],
)
def test_decode_converts_a_grey_profile(image):
    source = decode(file_of(image, icc_profile=grey_profile("Grey gamma 1.0", 1.0)))
    linear = GREYS[0] / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(source.pixels[0, :, 0] - expected).max() <= 1
    assert source.profile == "Grey gamma 1.0"


def test_decode_leaves_a_picture_tagged_srgb_bit_equal():
    tag = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = decode(file_of(noise(20, 20), icc_profile=tag))
    np.testing.assert_array_equal(source.pixels, noise(20, 20))
    assert source.profile is None


@pytest.mark.parametrize(
    "profile",
    [b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), grey_profile("Grey", 1.8)],
    ids=["nonsense", "of another space", "grey on colours"],
)
def test_decode_keeps_the_photo_when_its_profile_cannot_be_used_and_logs_it(profile, caplog):
    source = decode(file_of(COLOURS, icc_profile=profile))
    np.testing.assert_array_equal(source.pixels, COLOURS)
    assert source.profile is None
    assert "Colour profile ignored" in caplog.text


# What a caller of the library may hand in


def test_read_input_takes_a_path_as_text_or_path(tmp_path):
    path = tmp_path / "me.png"
    path.write_bytes(file_of(noise(2, 2)))
    assert read_input(path) == read_input(str(path)) == (path.read_bytes(), "me.png")


def test_read_input_passes_bytes_through():
    assert read_input(b"as they are") == (b"as they are", "photo")


@pytest.mark.parametrize("channels", [3, 4])
def test_read_input_keeps_the_pixels_of_an_array(channels):
    pixels = noise(3, 5, channels)
    source = decode(read_input(pixels)[0])
    np.testing.assert_array_equal(source.pixels, pixels[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(source.alpha, pixels[..., 3])


def test_read_input_keeps_name_and_pixels_of_a_pillow_image(tmp_path):
    path = tmp_path / "me.png"
    path.write_bytes(file_of(noise(3, 5)))
    with Image.open(path) as image:
        data, name = read_input(image)
    assert name == "me.png"
    np.testing.assert_array_equal(decode(data).pixels, noise(3, 5))
    assert read_input(Image.fromarray(noise(3, 5)))[1] == "photo"


def test_read_input_keeps_the_profile_of_a_pillow_image():
    with Image.open(io.BytesIO(file_of(COLOURS, icc_profile=ADOBE))) as image:
        pixels = decode(read_input(image)[0]).pixels
    assert np.abs(pixels - srgb_of(COLOURS, ADOBE_PRIMARIES, 563 / 256)).max() <= 1


def test_read_input_keeps_a_pillow_image_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(file_of(noise(3, 5), exif=exif))) as image:
        np.testing.assert_array_equal(decode(read_input(image)[0]).pixels, seen(noise(3, 5), 6))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_read_input_takes_every_mode_of_pillow(mode):
    image = Image.new("RGB", (2, 2), (200, 0, 0)).convert("L" if mode == "LA" else "RGB").convert(mode)
    assert np.abs(decode(read_input(image)[0]).pixels.astype(int) - np.asarray(image.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_read_input_refuses_a_mode_whose_values_are_no_colours(mode):
    with pytest.raises(ImageError, match=mode):
        read_input(Image.new(mode, (2, 2)))


def test_read_input_refuses_a_large_file_before_reading_it(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(100_000_001)  # sparse: takes no space
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: pytest.fail("the file was read"))
    with pytest.raises(ImageError, match=r"huge\.png has 100 MB; at most 100 MB"):
        read_input(path)


@pytest.mark.parametrize("name", ["missing.png", "folder", "file/inside.png"])
def test_read_input_refuses_a_path_that_cannot_be_read(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot be read: .+\. Give the path of a photo"):
        read_input(tmp_path / name)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((2, 2, 3), np.float32),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_read_input_refuses_an_array_that_is_no_photo(array):
    with pytest.raises(ImageError, match=r"is not a photo\. Give uint8 sRGB pixels") as refusal:
        read_input(array)
    assert str(array.shape) in str(refusal.value)


@pytest.mark.parametrize("value", [None, 7, ["photo.png"], io.BytesIO(b"x")], ids=lambda value: type(value).__name__)
def test_read_input_refuses_what_is_no_image_at_all(value):
    with pytest.raises(ImageError, match=f"{type(value).__name__}"):
        read_input(value)


def test_read_input_refuses_a_pillow_image_that_is_cut_off():
    with Image.open(io.BytesIO(file_of(noise(60, 60))[:-2000])) as image, pytest.raises(ImageError):
        read_input(image)
