"""Cutout to file bytes.

To add a format: one function and one entry in `ENCODERS`; `tests/contracts.py` holds what each entry must do.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from processing.composite import TRANSPARENT, over, parse_background
from processing.errors import EncodingError


@dataclass(frozen=True)
class Encoder:
    """One output format.

    Parameters
    ----------
    name, title : str
        Name in recipes, and name for people.
    media_type, suffix : str
        ``"image/png"``, ``".png"``.
    keeps_alpha : bool
        Whether the format stores transparency.
    max_side : int
        Largest height and width that the format stores, in pixels.
    write : callable
        Writes a Pillow image to a binary file.
    """

    name: str
    title: str
    media_type: str
    suffix: str
    keeps_alpha: bool
    max_side: int
    write: Callable[[Image.Image, io.BytesIO], None]


@dataclass(frozen=True)
class EncodedImage:
    """A file in memory."""

    data: bytes
    media_type: str
    suffix: str


@cache
def _srgb_profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _write_png(image: Image.Image, file: io.BytesIO) -> None:
    # Level 1 takes a third of the time of Pillow's default for about 15 % more bytes on photos.
    image.save(file, "PNG", compress_level=1, icc_profile=_srgb_profile())


def _write_webp(image: Image.Image, file: io.BytesIO) -> None:
    image.save(file, "WEBP", quality=90, method=2, icc_profile=_srgb_profile())


def _write_jpeg(image: Image.Image, file: io.BytesIO) -> None:
    image.save(file, "JPEG", quality=92, optimize=True, icc_profile=_srgb_profile())


ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        Encoder("png", "PNG", "image/png", ".png", True, 2**31 - 1, _write_png),
        Encoder("webp", "WebP", "image/webp", ".webp", True, 16383, _write_webp),
        Encoder("jpeg", "JPEG", "image/jpeg", ".jpg", False, 65500, _write_jpeg),
    )
}


def encode(cutout: np.ndarray, format: str, background: str = TRANSPARENT) -> EncodedImage:
    """Encode a cutout, laid over a background if one is asked for.

    The file has the size of `cutout` and is tagged as sRGB. Over a colour the file has no alpha channel.

    Parameters
    ----------
    cutout : ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    format : str
        A key of `ENCODERS`.
    background : str
        See `processing.composite.parse_background`.

    Returns
    -------
    EncodedImage
        The file's bytes, media type and suffix.

    Raises
    ------
    EncodingError
        If the format is unknown, cannot store transparency that was asked for, or cannot store so large an image.
    RecipeError
        If the background is unknown.
    """
    encoder = check_output(format, background)
    colour = parse_background(background)
    height, width = cutout.shape[:2]
    if max(height, width) > encoder.max_side:
        raise EncodingError(
            f"{encoder.title} stores at most {encoder.max_side} pixels a side; this cutout is {width} x {height}. "
            "Choose the format png."
        )
    file = io.BytesIO()
    encoder.write(Image.fromarray(cutout if colour is None else over(cutout, colour)), file)
    return EncodedImage(file.getvalue(), encoder.media_type, encoder.suffix)


def check_output(format: str, background: str) -> Encoder:
    """Tell before the work whether a format can store what is asked for, and return its encoder.

    Raises
    ------
    EncodingError
        If the format is unknown, or cannot store transparency that was asked for.
    RecipeError
        If the background is unknown.
    """
    encoder = find_encoder(format)
    if parse_background(background) is None and not encoder.keeps_alpha:
        raise EncodingError(
            f"{encoder.title} cannot store a transparent background. "
            "Choose a background colour such as white, or the format png or webp."
        )
    return encoder


def find_encoder(format: str) -> Encoder:
    """Look an output format up by its key or by its file suffix, such as ``"jpeg"`` or ``".jpg"``.

    Raises
    ------
    EncodingError
        If no encoder has that name.
    """
    key = format.lower().removeprefix(".")
    for encoder in ENCODERS.values():
        if key in (encoder.name, encoder.suffix.removeprefix(".")):
            return encoder
    raise EncodingError(f"Unknown output format {format!r}. Known: {', '.join(ENCODERS)}.")


def encode_preview(pixels: np.ndarray, *, long_side: int) -> bytes:
    """Encode a small WebP for the screen.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W, 4)
        Image or cutout.
    long_side : int
        Largest height and width of the preview, in pixels; a smaller image keeps its size.

    Returns
    -------
    bytes
        A WebP file.
    """
    image = Image.fromarray(pixels)
    scale = long_side / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        # Pillow premultiplies RGBA while resizing, so the colour of hidden pixels does not bleed in.
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=82, method=1)
    return file.getvalue()
