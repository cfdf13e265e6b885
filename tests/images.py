"""Pictures, files and colour profiles, made by the tests themselves."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

DATA = Path(__file__).parent / "data"
SAMPLES = sorted((Path(__file__).parents[1] / "dashboard" / "samples").glob("*.jpg"))

# Red, green, blue and white point of colour spaces as XYZ under D50, as ICC profiles hold them.
# Lindbloom, "RGB/XYZ Matrices", Bradford-adapted: brucelindbloom.com/Eqn_RGB_XYZ_Matrix.html
SRGB_PRIMARIES = (
    (0.4360747, 0.2225045, 0.0139322),
    (0.3850649, 0.7168786, 0.0971045),
    (0.1430804, 0.0606169, 0.7141733),
)
ADOBE_PRIMARIES = (
    (0.6097559, 0.3111242, 0.0194811),
    (0.2052401, 0.6256560, 0.0608902),
    (0.1492240, 0.0632197, 0.7448387),
)
# The same for Display P3, from its chromaticities.
P3_PRIMARIES = (
    (0.5151187, 0.2411892, -0.0010505),
    (0.2919778, 0.6922441, 0.0418791),
    (0.1571035, 0.0665668, 0.7840713),
)
# Red, green and blue as chromaticities x, y. IEC 61966-2-1, Adobe RGB (1998) encoding 4.3.1.1, SMPTE RP 431-2.
Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
SRGB_CORNERS: Corners = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_CORNERS: Corners = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3_CORNERS: Corners = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
D50 = (0.9642, 1.0, 0.8249)


def file_of(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    """Return the bytes of an image file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def gradient(height: int, width: int) -> np.ndarray:
    """Return a picture in which no two rows, columns or turns are alike; smooth, so that JPEG keeps it closely."""
    y, x = np.mgrid[:height, :width]
    channels = (255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1), 96 + 0 * x)
    return np.stack(channels, axis=-1).astype(np.uint8)


def seen(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Return what a viewer shows of stored pixels: the table "orientation" of the EXIF standard, JEITA CP-3451."""
    return {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Return random pixels, the same ones every time."""
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), np.uint8)


def ball(height: int = 240, width: int = 320) -> tuple[np.ndarray, np.ndarray]:
    """Draw a shaded red ball on a pale gradient; return the picture and its exact mask."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    middle_y, middle_x, radius = 0.52 * height, 0.5 * width, 0.3 * height
    mask = np.hypot(y - middle_y, x - middle_x) <= radius
    light = np.hypot(y - middle_y + 0.4 * radius, x - middle_x + 0.4 * radius) / (1.8 * radius)
    light = np.clip(1 - light, 0, 1)
    red = np.stack([60 + 190 * light, 20 + 90 * light, 20 + 50 * light], axis=-1)
    pale = np.stack([120 + 80 * x / width, 150 + 60 * y / height, np.full_like(x, 190)], axis=-1)
    return np.where(mask[..., np.newaxis], red, pale).astype(np.uint8), mask


def figure(height: int = 320, width: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head and shoulders on a pale wall; return the picture and its exact mask."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height, x / width
    head = np.hypot((y - 0.3) / 0.14, (x - 0.5) / 0.19) <= 1
    body = np.hypot((y - 1.0) / 0.52, (x - 0.5) / 0.34) <= 1
    mask = head | body
    person = np.where(head[..., np.newaxis], (224, 172, 140), (40, 60, 120)) * (0.75 + 0.25 * x)[..., np.newaxis]
    wall = np.stack([200 + 30 * x] * 3, axis=-1)
    return np.where(mask[..., np.newaxis], person, wall).astype(np.uint8), mask


def chart_in(corners: Corners, gamma: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return 125 evenly spaced sRGB colours as 8-bit values of a wider space, and what these are in sRGB exactly.

    Computed from chromaticities under D65, so without the numbers of the profiles above. `gamma` None is sRGB's curve.
    """
    levels = np.array([0, 64, 128, 192, 255]) / 255
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(5, 25, 3)
    to_wide = np.linalg.inv(_to_xyz(corners)) @ _to_xyz(SRGB_CORNERS)
    linear = np.clip(srgb_to_linear(colours) @ to_wide.T, 0, 1)
    encoded = linear ** (1 / gamma) if gamma else linear_to_srgb(linear)
    chart = np.rint(255 * encoded).astype(np.uint8)
    linear = (chart / 255) ** gamma if gamma else srgb_to_linear(chart / 255)
    return chart, linear_to_srgb(np.clip(linear @ np.linalg.inv(to_wide).T, 0, 1))


def srgb_to_linear(encoded: np.ndarray) -> np.ndarray:
    """Return sRGB values in [0, 1] as light (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Return light in [0, 1] as sRGB values (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _to_xyz(corners: Corners) -> np.ndarray:
    """Return the matrix from light in an RGB space to XYZ, both under D65 (SMPTE RP 177)."""
    x, y = np.array([*corners, (0.3127, 0.3290)]).T
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])


def camera_exif(orientation: int = 1) -> Image.Exif:
    """Return what a phone writes: camera, date, author, exposure, a maker's note and the place."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model], exif[Base.Software] = "Acme", "Acme One", "Acme Camera 7"
    exif[Base.DateTime], exif[Base.Artist], exif[Base.Copyright] = "2024:05:06 07:08:09", "Anna", "(c) Anna"
    exif[Base.Orientation] = orientation
    exif.get_ifd(IFD.Exif).update(
        {
            Base.DateTimeOriginal: "2024:05:06 07:08:09",
            Base.ExposureTime: IFDRational(1, 250),
            Base.MakerNote: b"SECRET-NOTE" * 4,
            Base.ExifImageWidth: 4000,
            Base.ExifImageHeight: 3000,
        }
    )
    exif.get_ifd(IFD.GPSInfo).update(
        {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: tuple(IFDRational(each) for each in (48, 51, 30))}
    )
    return exif


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of about 70 bytes whose header promises that many pixels."""
    return _png(width, height, bits=8, rows=bytes(10))


def png_with(chunk_type: bytes, data: bytes) -> bytes:
    """Return a small PNG with one more chunk."""
    png = file_of(gradient(8, 8))
    after_header = 8 + 4 + 4 + 13 + 4
    return png[:after_header] + _chunk(chunk_type, data) + png[after_header:]


def png_16_bit(pixels: np.ndarray) -> bytes:
    """Return a PNG of uint16 RGB pixels, which Pillow does not write."""
    height, width, _ = pixels.shape
    return _png(width, height, bits=16, rows=b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))


def _png(width: int, height: int, bits: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff_16_bit(pixels: np.ndarray, order: str = "<") -> bytes:
    """Return a TIFF of uint16 RGB pixels, which Pillow does not write; byte order as in `struct`."""
    height, width, _ = pixels.shape
    data = pixels.astype(order + "u2").tobytes()
    start = 8 + 2 + 10 * 12 + 4  # of the three bits-per-sample; the pixels follow
    numbers = ((256, width), (257, height), (258, None), (259, 1), (262, 2), (273, start + 6), (277, 3), (278, height))
    tags = b""
    for tag, value in (*numbers, (279, len(data)), (284, 1)):
        kind, count, stored = (3, 3, start) if value is None else (4, 1, value)
        tags += struct.pack(order + "HHII", tag, kind, count, stored)
    header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 10)
    return header + tags + bytes(4) + struct.pack(order + "HHH", 16, 16, 16) + data


def jpeg_claiming(width: int, height: int) -> bytes:
    """Return a small JPEG whose frame header promises that many pixels."""
    data = bytearray(file_of(gradient(8, 8), "JPEG"))
    start = data.index(b"\xff\xc0") + 5  # marker, length (2), bits; then height and width
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    """Return a small WebP whose header promises that many pixels."""
    data = bytearray(file_of(gradient(8, 8), "WEBP"))
    start = data.index(b"\x9d\x01\x2a") + 3  # the start code of a VP8 frame; then width and height
    data[start : start + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_claiming(width: int, height: int) -> bytes:
    """Return a small GIF whose header promises that many pixels."""
    data = bytearray(file_of(gradient(8, 8), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def rgb_profile(description: str, primaries: tuple[tuple[float, ...], ...], gamma: float | None) -> bytes:
    """Return an ICC profile (version 2) of an RGB space with three primaries and one gamma, or sRGB's curve if None."""
    tags = {b"desc": _text(description), b"wtpt": _xyz(D50)}
    for channel, primary in zip(b"rgb", primaries, strict=True):
        tags[bytes([channel]) + b"XYZ"] = _xyz(primary)
        tags[bytes([channel]) + b"TRC"] = _curve(gamma) if gamma else _srgb_curve()
    return _profile(b"RGB ", tags)


def grey_profile(description: str, gamma: float) -> bytes:
    """Return an ICC profile (version 2) of a grey space."""
    return _profile(b"GRAY", {b"desc": _text(description), b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


# ICC.1:2001-04: header (clause 6.1), tag table (6.2) and the three tag types used here (6.5.17, 6.5.26, 6.5.3).
def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4xI4s4s4s12s4s28x", start + len(body), 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    header += _fixed(*D50)
    return header.ljust(128, b"\0") + table + body


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _srgb_curve() -> bytes:
    """Return a table of 1024 values, as profiles of version 2 hold sRGB's curve (IEC 61966-2-1)."""
    linear = srgb_to_linear(np.linspace(0, 1, 1024))
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.rint(linear * 65535).astype(">u2").tobytes()


def _text(text: str) -> bytes:
    ascii_text = text.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + bytes(4 + 4 + 2 + 1 + 67)
