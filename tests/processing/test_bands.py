"""Big pictures a band of rows at a time: every row once, whatever the sizes."""

import io

import numpy as np
import pytest
from images import P3_CORNERS, file_of, noise, rgb_profile, seen
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from processing.bands import bands
from processing.composite import cut_out, over
from processing.encoders import to_16_bit
from processing.errors import Cancelled
from processing.images import decode
from processing.matte import AlphaMatte
from processing.resizing import shrink


@pytest.mark.parametrize(("height", "row_bytes"), [(1, 1), (1, 10**9), (7, 10), (100, 7), (101, 25), (3, 99)])
def test_bands_have_every_row_once_in_order(height, row_bytes):
    divided = list(bands(height, row_bytes, band_bytes=100))
    assert [row for rows in divided for row in range(rows.start, rows.stop)] == list(range(height))
    assert all((rows.stop - rows.start - 1) * row_bytes < 100 for rows in divided)


def test_tick_comes_before_each_band_and_can_stop_the_work():
    shares = []

    def tick(share):
        shares.append(share)
        if share >= 0.5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        list(bands(8, 1, tick, band_bytes=1))
    assert shares == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8]


# The way by bands gives what the way as a whole does

MATTES = {
    "noise": lambda: noise(40, 30)[..., 0].astype(np.float32) / 255,
    "disc": lambda: np.clip((12 - np.hypot(*np.mgrid[-20:20, -15:15])) / 4, 0, 1).astype(np.float32),
    "corner": lambda: np.pad(np.ones((1, 1), np.float32), ((39, 0), (29, 0))),
    "all": lambda: np.ones((40, 30), np.float32),
    "nothing": lambda: np.zeros((40, 30), np.float32),
    "one pixel": lambda: np.ones((1, 1), np.float32),
    "stripe": lambda: np.repeat([[0.0], [1.0], [1.0], [0.0]], 5, axis=1).astype(np.float32),
}


@pytest.mark.parametrize("name", MATTES)
@pytest.mark.parametrize("shape", [(400, 300), (401, 1007), (3, 2000), (2000, 3), (17, 11), (1, 1), (40, 30)])
@pytest.mark.parametrize("rows", [1, 16, 5000])
def test_matte_by_bands_is_the_matte_as_a_whole(name, shape, rows):
    small = MATTES[name]()
    whole = Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC)
    expected = small if small.shape == shape else np.clip(np.asarray(whole), 0, 1)
    matte = AlphaMatte(small, shape)
    by_bands = np.concatenate([matte[start : start + rows] for start in range(0, shape[0], rows)])
    assert by_bands.dtype == np.float32
    np.testing.assert_allclose(by_bands, expected, atol=1e-5)
    np.testing.assert_allclose(np.asarray(matte), expected, atol=1e-5)


def test_matte_is_multiplied_with_the_opacity_of_the_photo():
    opacity = np.repeat([[0], [51], [255]], 4, axis=1).astype(np.uint8)
    matte = AlphaMatte(np.full((2, 2), 0.5, np.float32), (3, 4), opacity)
    np.testing.assert_allclose(matte[1:], [[0.1] * 4, [0.5] * 4], atol=1e-6)
    np.testing.assert_allclose(np.asarray(matte, np.float64)[:, 0], [0, 0.1, 0.5], atol=1e-6)


def test_matte_as_an_array_is_made_once():
    matte = AlphaMatte(MATTES["disc"](), (80, 60))
    assert np.asarray(matte) is np.asarray(matte)
    assert np.array(matte, copy=True) is not np.asarray(matte)


@pytest.fixture
def in_narrow_bands(monkeypatch):
    monkeypatch.setattr("processing.bands.bands.__kwdefaults__", {"band_bytes": 1000})


@pytest.mark.usefixtures("in_narrow_bands")
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_that_is_turned_by_bands_is_the_photo_turned_as_a_whole(orientation, channels):
    stored = noise(57, 83, channels)
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    photo = decode(file_of(stored, exif=exif))
    expected = seen(stored, orientation)
    np.testing.assert_array_equal(photo.pixels, expected[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, expected[..., 3])


@pytest.mark.usefixtures("in_narrow_bands")
def test_colours_that_are_converted_by_bands_are_those_of_the_whole():
    stored = noise(90, 70)
    profile = rgb_profile("wide", P3_CORNERS, 2.2)
    photo = decode(file_of(stored, icc_profile=profile))
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(Image.fromarray(stored), source, target)
    np.testing.assert_array_equal(photo.pixels, np.asarray(expected))
    assert photo.profile == "wide"


@pytest.mark.usefixtures("in_narrow_bands")
def test_cutout_by_bands_is_the_cutout_as_a_whole():
    image, small = noise(401, 303), MATTES["disc"]()
    alpha = np.asarray(AlphaMatte(small, image.shape[:2]))
    levels = np.rint(alpha * 255).astype(np.uint8)
    expected = np.dstack([np.where(levels[..., None] > 0, image, 0), levels])
    np.testing.assert_array_equal(cut_out(image, alpha), expected)
    by_bands = cut_out(image, AlphaMatte(small, image.shape[:2])).astype(int)
    assert np.abs(by_bands[..., 3] - levels).max() <= 1  # where 8 bits round the other way
    np.testing.assert_array_equal(by_bands[..., :3][levels > 1], image[levels > 1])


@pytest.mark.usefixtures("in_narrow_bands")
def test_background_by_bands_is_the_background_as_a_whole():
    cutout = np.dstack([noise(203, 101), noise(203, 101)[..., 0]])
    alpha = cutout[..., 3:].astype(float) / 255
    expected = np.floor(cutout[..., :3] * alpha + np.array([250, 3, 128]) * (1 - alpha) + 127 / 255 + 1e-9)
    np.testing.assert_array_equal(over(cutout, (250, 3, 128)), expected)


@pytest.mark.usefixtures("in_narrow_bands")
def test_16_bits_by_bands_are_those_of_the_whole():
    matte = AlphaMatte(MATTES["disc"](), (211, 97))
    difference = to_16_bit(matte).astype(int) - to_16_bit(np.asarray(matte))
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("shape", [(1003, 777), (64, 5000), (5000, 64), (90, 80)])
@pytest.mark.parametrize("resample", [Image.Resampling.LANCZOS, Image.Resampling.BICUBIC])
def test_shrinking_by_bands_is_pillows_shrinking(shape, resample, monkeypatch):
    monkeypatch.setattr("processing.resizing.BAND_BYTES", 20_000)
    pixels = noise(*shape)
    expected = Image.fromarray(pixels).resize((60, 50), resample, reducing_gap=2.0)
    np.testing.assert_array_equal(np.asarray(shrink(pixels, (60, 50), resample, gap=2.0)), np.asarray(expected))


def test_hidden_colours_do_not_bleed_in_when_a_cutout_is_shrunk(monkeypatch):
    monkeypatch.setattr("processing.resizing.BAND_BYTES", 20_000)
    cutout = np.zeros((900, 700, 4), np.uint8)
    cutout[:, :333] = (200, 100, 50, 255)
    cutout[:, 333:] = (0, 255, 0, 0)
    small = np.asarray(shrink(cutout, (70, 90), Image.Resampling.LANCZOS, gap=3.0)).astype(int)
    red, green, blue = np.moveaxis(small[small[..., 3] > 20][:, :3], 1, 0)
    assert np.abs(green - red / 2).max() < 3  # the filter may overshoot at the edge; green it must not get
    assert np.abs(blue - red / 4).max() < 3
