"""PNG files: exact, whole, and readable by programs that are not Pillow."""

import io
import logging
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from images import SAMPLES, ball, camera_exif, gradient, noise
from PIL import ExifTags, Image

from processing import png
from processing.colour import srgb_profile
from processing.encoders import encode
from processing.errors import EncodingError

SIZES = [(1, 1), (1, 4000), (4000, 1), (3, 7), (13, 61), (64, 64)]


@pytest.fixture(params=["isal", "zlib"])
def packer(request, monkeypatch):
    """Pack with isal, then as where isal has no package."""
    if request.param == "isal":
        pytest.importorskip("isal", reason="isal has no package for this system")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    png.codec.cache_clear()
    yield request.param
    png.codec.cache_clear()


def random_pixels(shape, dtype):
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def photo(height, width):
    """Return a cutout of a sample photo, enlarged or reduced, with a camera's noise; no colour under alpha 0."""
    with Image.open(SAMPLES[0]) as image:
        colours = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC), np.float32)
    colours = colours + np.random.default_rng(5).normal(0, 2.5, colours.shape)
    alpha = np.asarray(Image.fromarray(ball(60, 80)[1]).convert("L").resize((width, height), Image.Resampling.BICUBIC))
    return np.dstack([np.clip(colours, 0, 255).astype(np.uint8) * (alpha[..., None] > 0), alpha])


def chunks_of(data):
    """Return [(type, content)] of a file, having checked its signature, lengths and CRCs."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = [], 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + content),)
        chunks.append((kind.decode(), content))
        at += 12 + length
    assert at == len(data)
    return chunks


def unpacked(data):
    """Return the filtered rows of a file."""
    return zlib.decompress(b"".join(content for kind, content in chunks_of(data) if kind == "IDAT"))


def decoded_by_the_book(data):
    """Decode a file with plain loops over the specification's formulas, sections 9.2 and 11.2.1.

    No second PNG decoder is installed with the tests: imageio and scikit-image read PNG through Pillow.
    """
    width, height, depth, colour_type, *rest = struct.unpack(">IIBBBBB", chunks_of(data)[0][1])
    assert rest == [0, 0, 0]
    samples = {0: 1, 2: 3, 6: 4}[colour_type]
    step, length = samples * depth // 8, samples * depth // 8 * width
    stored = unpacked(data)
    assert len(stored) == height * (1 + length)
    rows, above = [], [0] * length
    for y in range(height):
        filter_type, *row = stored[y * (1 + length) : (y + 1) * (1 + length)]
        for x in range(length):
            left = row[x - step] if x >= step else 0
            row[x] = (row[x] + (0, left, above[x], (left + above[x]) // 2)[filter_type]) % 256
        rows.append(row)
        above = row
    values = np.array(rows, np.uint8).view(">u2" if depth == 16 else np.uint8)
    return values.reshape((height, width) if samples == 1 else (height, width, samples))


def read_by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("channels", "dtype"), [((), np.uint8), ((), np.uint16), ((3,), np.uint8), ((4,), np.uint8)])
def test_every_kind_and_size_comes_back_exactly(packer, size, channels, dtype):
    pixels = random_pixels((*size, *channels), dtype)
    data = png.encode_png(pixels)
    np.testing.assert_array_equal(read_by_pillow(data), pixels)
    np.testing.assert_array_equal(decoded_by_the_book(data), pixels)


@pytest.mark.parametrize("filter_type", png.FILTERS)
@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("content", [noise(37, 29, channels=4), gradient(37, 29), photo(37, 29), photo(37, 29)[..., 3]])
def test_every_filter_and_reach_comes_back_exactly(packer, monkeypatch, filter_type, far, content):
    monkeypatch.setattr(png, "choose", lambda pixels: (filter_type, far))
    monkeypatch.setattr(png, "BLOCK_BYTES", 300)  # so that blocks of two or three rows meet
    data = png.encode_png(content)
    np.testing.assert_array_equal(read_by_pillow(data), content)
    np.testing.assert_array_equal(decoded_by_the_book(data), content)
    assert unpacked(data)[0] == filter_type


@pytest.mark.parametrize(
    "content", [noise(37, 29, channels=4), photo(37, 29), noise(37, 29)[..., 0].astype(">u2") * 251]
)
def test_quick_file_tries_nothing_out_and_comes_back_exactly(packer, monkeypatch, content):
    monkeypatch.setattr(png, "choose", lambda pixels: pytest.fail("a sample was packed"))
    monkeypatch.setattr(png, "BLOCK_BYTES", 300)
    data = b"".join(png.make_pieces(content, quick=True))
    np.testing.assert_array_equal(read_by_pillow(data), content)
    np.testing.assert_array_equal(decoded_by_the_book(data), content)


@pytest.mark.parametrize("size", [(1200, 1601), (601, 2400)])
def test_large_photo_comes_back_exactly(packer, size):
    cutout = photo(*size)
    data = png.encode_png(cutout)
    np.testing.assert_array_equal(read_by_pillow(data), cutout)
    assert len([kind for kind, _ in chunks_of(data) if kind == "IDAT"]) > 3


def test_colour_under_alpha_0_is_kept():
    hidden = noise(20, 30, channels=4)
    hidden[..., 3] = 0
    np.testing.assert_array_equal(read_by_pillow(png.encode_png(hidden)), hidden)


def test_16_bit_values_are_stored_with_the_high_byte_first(packer):
    assert unpacked(png.encode_png(np.array([[0x1234]], np.uint16)))[1:] == b"\x12\x34"


@pytest.mark.parametrize("layout", ["strided", "reversed", "fortran", "big-endian", "read-only"])
def test_layout_of_the_array_makes_no_difference(layout):
    base = random_pixels((24, 32), np.uint16)
    if layout == "read-only":
        base.flags.writeable = False
    pixels = {
        "strided": base[::2, 1::3],
        "reversed": base[::-1, ::-1],
        "fortran": np.asfortranarray(base),
        "big-endian": base.astype(">u2"),
        "read-only": base,
    }[layout]
    data = png.encode_png(pixels)
    np.testing.assert_array_equal(read_by_pillow(data), pixels)
    assert data == png.encode_png(np.ascontiguousarray(pixels, np.uint16))


def test_pixels_are_left_alone():
    pixels = noise(50, 40, channels=4)
    png.encode_png(pixels)
    np.testing.assert_array_equal(pixels, noise(50, 40, channels=4))


def test_chunks_come_in_the_order_of_the_specification(packer):
    exif = camera_exif().tobytes()
    kinds = [kind for kind, _ in chunks_of(png.encode_png(photo(300, 400), icc_profile=srgb_profile(), exif=exif))]
    assert kinds[:3] == ["IHDR", "iCCP", "eXIf"]
    assert set(kinds[3:-1]) == {"IDAT"}
    assert kinds[-1] == "IEND"


def test_plain_file_has_no_chunk_but_the_needed():
    assert [kind for kind, _ in chunks_of(png.encode_png(noise(2, 2)))] == ["IHDR", "IDAT", "IEND"]


def test_profile_and_exif_are_read_back():
    exif = camera_exif().tobytes()
    for given in (exif, exif.removeprefix(b"Exif\0\0")):
        data = png.encode_png(noise(2, 2), icc_profile=srgb_profile(), exif=given)
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["icc_profile"] == srgb_profile()
            assert image.getexif()[ExifTags.Base.Make] == camera_exif()[ExifTags.Base.Make]


def test_cutout_mask_and_matte_are_written_by_it(monkeypatch):
    monkeypatch.setattr(png, "SIGNATURE", b"mine")
    for format in ("png", "mask", "matte"):
        assert encode(noise(2, 2, channels=4), format).data.startswith(b"mine")


@pytest.mark.parametrize("far", [False, True])
def test_no_match_reaches_beyond_the_window_that_the_file_announces(packer, far):
    """libpng keeps no more than that of what it has unpacked; a byte at a time, zlib neither."""
    repeats = np.tile(noise(1, 700)[..., 0], (40, 3))
    compressor = png.make_compressor(far)
    data = compressor.compress(repeats) + compressor.flush()
    unpacker, unpacked = zlib.decompressobj(0), b""  # 0: the window of the header
    rest = data
    while not unpacker.eof:
        unpacked += unpacker.decompress(rest, 1)
        rest = unpacker.unconsumed_tail
    assert unpacked == repeats.tobytes()


@pytest.mark.parametrize(
    ("content", "chosen"),
    [
        (photo(400, 600), [3]),
        (np.tile(noise(1, 500), (300, 1, 1)), [2]),
        (np.where(ball(300, 400)[1], 255, 0).astype(np.uint8), [0, 2]),
    ],
    ids=["photo", "equal rows", "mask"],
)
def test_filter_suits_the_picture(packer, content, chosen):
    assert png.choose(content)[0] in chosen


def test_repeats_far_away_are_found_where_there_are_some(packer):
    tiles = np.tile(noise(8, 200), (20, 4, 1))
    assert png.choose(tiles)[1]
    assert len(png.encode_png(tiles)) < tiles.nbytes * 0.6  # nearby there are none: noise as it is


def test_photo_takes_little_more_room_than_pillow_makes_of_it(packer):
    cutout = photo(600, 800)
    file = io.BytesIO()
    Image.fromarray(cutout).save(file, "PNG")
    assert len(png.encode_png(cutout)) < 1.1 * len(file.getvalue())


@pytest.mark.parametrize("shape", [(3000, 1000, 4), (40, 20_000, 4)], ids=str)
def test_memory_beyond_the_file_stays_small(packer, shape):
    pixels = np.zeros(shape, np.uint8)
    pixels[::3] = random_pixels(pixels[::3].shape, np.uint8)
    png.encode_png(pixels[:50])  # what is loaded once does not count
    tracemalloc.start()
    data = png.encode_png(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - len(data) < 3e6


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.int8),
        np.zeros((2, 2), bool),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype} {pixels.shape}",
)
def test_other_arrays_are_refused_before_anything_is_written(pixels):
    file = io.BytesIO()
    with pytest.raises(EncodingError, match=r"cannot be stored as PNG\. Give uint8 of shape"):
        png.write_png(file, pixels)
    assert file.getvalue() == b""


def test_working_without_isal_is_logged_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "isal", None)
    png.codec.cache_clear()
    with caplog.at_level(logging.DEBUG, "processing.png"):
        for _ in range(3):
            png.encode_png(noise(2, 2))
    png.codec.cache_clear()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "packed by zlib, which takes longer than isal" in caplog.text
