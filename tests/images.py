"""Pictures, files and colour profiles, made by the tests themselves."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

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


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of about 70 bytes whose header promises that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


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


def rgb_profile(description: str, primaries: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    """Return an ICC profile (version 2) of an RGB space with three primaries and one gamma."""
    tags = {b"desc": _text(description), b"wtpt": _xyz(D50)}
    for channel, primary in zip(b"rgb", primaries, strict=True):
        tags[bytes([channel]) + b"XYZ"] = _xyz(primary)
        tags[bytes([channel]) + b"TRC"] = _curve(gamma)
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
        ">I4xI4s4s4s12s4s24x", start + len(body), 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    header += _fixed(*D50)
    return header.ljust(128, b"\0") + table + body


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _text(text: str) -> bytes:
    ascii_text = text.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + bytes(4 + 4 + 2 + 1 + 67)
