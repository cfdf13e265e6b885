"""Photos for tests, made of the bundled samples."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[1] / "dashboard" / "samples"


def phone_photo(scale: int = 1) -> bytes:
    """Return a JPEG as a phone writes it: 3000 x 4000 as seen, times `scale`, stored lying on its side with EXIF
    orientation 6."""
    sample = Image.open(SAMPLES / "astronaut.jpg").convert("RGB")
    upright = Image.new("RGB", (3000, 4000), (196, 188, 180))
    upright.paste(sample.resize((3000, 3000), Image.Resampling.BICUBIC), (0, 1000))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    upright = upright.resize((3000 * scale, 4000 * scale))
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


def heavy_photo() -> bytes:
    """Return a PNG of about 40 MB: noise hardly packs."""
    noise = np.random.default_rng(7).integers(0, 256, (3300, 4040, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=0)
    return file.getvalue()


def flat_photo() -> bytes:
    """Return a plain grey JPEG: nothing in it stands out."""
    file = io.BytesIO()
    Image.new("RGB", (640, 480), (128, 128, 128)).save(file, "JPEG")
    return file.getvalue()
