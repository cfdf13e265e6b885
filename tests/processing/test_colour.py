"""Colours of a file to sRGB: measured as the eye sees differences."""

import io

import numpy as np
import pytest
from images import (
    ADOBE_CORNERS,
    ADOBE_PRIMARIES,
    P3_CORNERS,
    P3_PRIMARIES,
    chart_in,
    file_of,
    noise,
    rgb_profile,
    srgb_to_linear,
)
from PIL import Image, ImageCms

from processing.colour import srgb_profile, to_srgb
from processing.encoders import ENCODERS
from processing.errors import ImageError
from processing.images import decode
from processing.store import ArtifactStore

ADOBE_GAMMA = 563 / 256
#: Name, primaries of the profile, chromaticities, and gamma; None is sRGB's curve.
SPACES = (
    ("Display P3", P3_PRIMARIES, P3_CORNERS, None),
    ("Adobe RGB (1998)", ADOBE_PRIMARIES, ADOBE_CORNERS, ADOBE_GAMMA),
)
each_space = pytest.mark.parametrize(("name", "primaries", "corners", "gamma"), SPACES, ids=["p3", "adobe"])


def lab_of(srgb: np.ndarray) -> np.ndarray:
    """Return CIELAB (D65) of sRGB values in [0, 1] (CIE 15; matrix of IEC 61966-2-1)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = srgb_to_linear(srgb) @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def delta_e_2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return CIEDE2000. Sharma, Wu and Dalal, Color Research and Application 30 (2005), equations 2 to 22."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    big_l, big_c = l2 - l1, c2 - c1
    big_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    apart = np.abs(h1 - h2) > 180
    mean_h = np.where(grey, h1 + h2, (h1 + h2 + np.where(apart, np.where(h1 + h2 < 360, 360, -360), 0)) / 2)

    def cosine(degrees: np.ndarray) -> np.ndarray:
        return np.cos(np.radians(degrees))

    t = 1 - 0.17 * cosine(mean_h - 30) + 0.24 * cosine(2 * mean_h)
    t += 0.32 * cosine(3 * mean_h + 6) - 0.20 * cosine(4 * mean_h - 63)
    weight_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    weight_c, weight_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    angle = 60 * np.exp(-(((mean_h - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(np.radians(angle))
    lightness, c, h = big_l / weight_l, big_c / weight_c, big_h / weight_h
    return np.sqrt(lightness**2 + c**2 + h**2 + rotation * c * h)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
        ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_colour_difference_of_these_tests_is_the_published_one(first, second, difference):
    """Pairs of table 1 in the paper."""
    assert delta_e_2000(np.array(first), np.array(second)) == pytest.approx(difference, abs=5e-5)
    assert delta_e_2000(np.array(second), np.array(first)) == pytest.approx(difference, abs=5e-5)


@each_space
def test_chart_in_a_wider_space_looks_the_same_in_srgb(name, primaries, corners, gamma):
    chart, expected = chart_in(corners, gamma)
    source = decode(file_of(chart, icc_profile=rgb_profile(name, primaries, gamma)))
    assert source.profile == name
    assert delta_e_2000(lab_of(source.pixels / 255), lab_of(expected)).max() < 1
    assert delta_e_2000(lab_of(chart / 255), lab_of(expected)).max() > 4  # what ignoring the profile would cost


@each_space
@pytest.mark.parametrize("format", ["TIFF", "WEBP"])
def test_profile_is_found_in_other_formats_too(name, primaries, corners, gamma, format):
    chart, expected = chart_in(corners, gamma)
    options = {"lossless": True} if format == "WEBP" else {}
    source = decode(file_of(chart, format, icc_profile=rgb_profile(name, primaries, gamma), **options))
    assert source.profile == name
    assert delta_e_2000(lab_of(source.pixels / 255), lab_of(expected)).max() < 1


@each_space
@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_profile_is_found_in_formats_with_loss(name, primaries, corners, gamma, format):
    chart, expected = chart_in(corners, gamma)
    patches = np.kron(chart, np.ones((16, 16, 1), np.uint8))
    profile = rgb_profile(name, primaries, gamma)
    source = decode(file_of(patches, format, quality=100, subsampling="4:4:4", icc_profile=profile))
    assert source.profile == name
    assert np.mean(delta_e_2000(lab_of(source.pixels[8::16, 8::16] / 255), lab_of(expected))) < 1


@each_space
def test_record_names_the_profile_of_the_photo(fake_result, artifacts, name, primaries, corners, gamma):
    chart, _ = chart_in(corners, gamma)
    result = fake_result(file_of(chart, icc_profile=rgb_profile(name, primaries, gamma)))
    assert ArtifactStore(artifacts).save(result).source["profile"] == name


def test_record_of_a_photo_without_a_profile_names_none(fake_result, artifacts):
    assert ArtifactStore(artifacts).save(fake_result()).source["profile"] is None


@each_space
@pytest.mark.parametrize("format", [name for name, encoder in ENCODERS.items() if encoder.content == "cutout"])
def test_cutout_of_a_photo_in_a_wider_space_is_tagged_srgb(fake_result, format, name, primaries, corners, gamma):
    chart, _ = chart_in(corners, gamma)
    result = fake_result(file_of(chart, icc_profile=rgb_profile(name, primaries, gamma)), mask=[[1.0]])
    with Image.open(io.BytesIO(result.encode(format=format, background="white").data)) as image:
        assert image.info["icc_profile"] == srgb_profile()


def test_profile_of_the_outputs_is_srgb():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_transparency_is_left_out_of_the_conversion():
    pixels = noise(6, 6, channels=4)
    profile = rgb_profile("Adobe RGB (1998)", ADOBE_PRIMARIES, ADOBE_GAMMA)
    source = decode(file_of(pixels, icc_profile=profile))
    np.testing.assert_array_equal(source.alpha, pixels[..., 3])
    np.testing.assert_array_equal(source.pixels, decode(file_of(pixels[..., :3].copy(), icc_profile=profile)).pixels)


@pytest.mark.parametrize(("mode", "what"), [("I", "32-bit numbers"), ("F", "32-bit numbers"), ("LAB", "Lab colours")])
def test_values_that_are_no_colours_are_refused(mode, what):
    with pytest.raises(ImageError, match=rf"scan\.tif holds {what} \(mode {mode}\).*8 or 16 bits a channel"):
        to_srgb(Image.new(mode, (1, 1)), "scan.tif")
