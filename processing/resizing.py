"""Pictures made smaller: whole blocks of pixels are averaged first, a band of rows at a time, then Pillow resizes.

The averaging does nine tenths of the work at a fraction of the cost, and by bands the picture is never copied as a
whole.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from processing.bands import BAND_BYTES, Tick, bands, ignore


def shrink(
    pixels: np.ndarray, size: tuple[int, int], resample: Image.Resampling, *, gap: float, tick: Tick = ignore
) -> Image.Image:
    """Resize a picture, as `PIL.Image.Image.resize` does with `reducing_gap`.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W, 4), or of float32, shape (H, W)
        Image, or cutout with straight alpha: colours count by their alpha, so that hidden ones do not bleed in; or
        alpha matte.
    size : tuple of int
        Width and height wanted, in pixels.
    resample : PIL.Image.Resampling
        Filter of the last step.
    gap : float
        How many times larger than wanted the picture stays after the averaging; the larger the more exact.
    tick : callable, optional
        See `processing.bands`.
    """
    height, width = pixels.shape[:2]
    across, down = max(1, int(width / size[0] / gap)), max(1, int(height / size[1] / gap))
    averaged = _average(pixels, across, down, tick)
    return _straight(averaged.resize(size, resample, (0, 0, width / across, height / down)))


def shrink_to_fit(pixels: np.ndarray, long_side: int, tick: Tick = ignore) -> Image.Image:
    """Make a picture for the screen, whose height and width are at most `long_side`; a smaller one keeps its size.

    Where whole blocks give at least two thirds of that, averaging them is all: it is fast, and never rings.
    """
    height, width = pixels.shape[:2]
    ratio = max(height, width) / long_side
    if ratio <= 1:
        return Image.fromarray(pixels)
    if ratio > 2:
        return _straight(_average(pixels, math.ceil(ratio), math.ceil(ratio), tick))
    size = max(1, round(width / ratio)), max(1, round(height / ratio))
    return shrink(pixels, size, Image.Resampling.BICUBIC, gap=2.0, tick=tick)


def _average(pixels: np.ndarray, across: int, down: int, tick: Tick) -> Image.Image:
    """Average blocks of so many pixels; of a cutout the result is premultiplied with alpha (mode RGBa)."""
    row_bytes, premultiplied = pixels[0].nbytes, pixels.shape[2:] == (4,)
    whole_blocks = max(1, BAND_BYTES // row_bytes // down) * down * row_bytes
    parts = []
    for rows in bands(len(pixels), row_bytes, tick, band_bytes=whole_blocks):
        part = Image.fromarray(pixels[rows])
        part = part.convert("RGBa") if premultiplied else part
        parts.append(part.reduce((across, down)) if (across, down) != (1, 1) else part)
    averaged = Image.new(parts[0].mode, (parts[0].width, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        averaged.paste(part, (0, top))
        top += part.height
    return averaged


def _straight(image: Image.Image) -> Image.Image:
    return image.convert("RGBA") if image.mode == "RGBa" else image
