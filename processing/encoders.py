"""Cutout to file bytes.

To add a format: one function and one entry in `ENCODERS`; `tests/contracts.py` holds what each entry must do.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD

from processing.bands import Tick, bands, ignore, within
from processing.colour import srgb_profile
from processing.composite import TRANSPARENT, over, parse_background
from processing.errors import EncodingError
from processing.matte import AlphaMatte
from processing.png import write_png
from processing.resizing import shrink, shrink_to_fit


@dataclass(frozen=True)
class Settings:
    """How a file is written, beyond its pixels; `tick` is told how far it is, see `processing.bands`."""

    quality: int
    lossless: bool
    exif: bytes
    tick: Tick


@dataclass(frozen=True)
class Encoder:
    """One output format.

    Parameters
    ----------
    name, title : str
        Name in recipes, and name for people.
    media_type, suffix : str
        ``"image/png"``, ``".png"``.
    content : str
        What the file holds: ``"cutout"``, the binary ``"mask"`` or the alpha ``"matte"``.
    keeps_alpha : bool
        Whether the format stores transparency.
    max_side : int
        Largest height and width that the format stores, in pixels.
    write : callable
        Writes pixels to a binary file: a cutout as uint8, shape (H, W, 4) or (H, W, 3), a mask as uint8 and a matte as
        uint16, shape (H, W).
    has_quality, has_lossless : bool
        Whether `Settings.quality` and `Settings.lossless` make a difference.
    """

    name: str
    title: str
    media_type: str
    suffix: str
    content: Literal["cutout", "mask", "matte"]
    keeps_alpha: bool
    max_side: int
    write: Callable[[np.ndarray, io.BytesIO, Settings], None]
    has_quality: bool = False
    has_lossless: bool = False

    @property
    def icc_profile(self) -> bytes:
        """The profile that its files carry. A matte is no picture: with a profile, viewers would change its values."""
        return srgb_profile() if self.content == "cutout" else b""


@dataclass(frozen=True)
class EncodedImage:
    """A file in memory; `size` is the height and width of its picture, in pixels."""

    data: bytes
    media_type: str
    suffix: str
    size: tuple[int, int]


def _write_png(pixels: np.ndarray, file: io.BytesIO, settings: Settings) -> None:
    write_png(file, pixels, icc_profile=srgb_profile(), exif=settings.exif, tick=settings.tick)


def _write_webp(pixels: np.ndarray, file: io.BytesIO, settings: Settings) -> None:
    # Without loss, quality means effort; 20 is fast and costs little size.
    quality = 20 if settings.lossless else settings.quality
    Image.fromarray(pixels).save(
        file,
        "WEBP",
        quality=quality,
        lossless=settings.lossless,
        exact=settings.lossless,  # else colours that nobody sees change too
        method=1 if settings.lossless else 2,
        icc_profile=srgb_profile(),
        exif=settings.exif,
    )


def _write_avif(pixels: np.ndarray, file: io.BytesIO, settings: Settings) -> None:
    # Quality 100 without colour subsampling is as near to lossless as Pillow's AVIF comes: exact alpha, colours within
    # a step or two. Speed 8 of 10: 12 megapixels in seconds.
    Image.fromarray(pixels).save(
        file,
        "AVIF",
        quality=100 if settings.lossless else settings.quality,
        subsampling="4:4:4" if settings.lossless else "4:2:0",
        speed=8,
        icc_profile=srgb_profile(),
        exif=settings.exif,
    )


def _write_tiff(pixels: np.ndarray, file: io.BytesIO, settings: Settings) -> None:
    # libtiff, which compresses, cannot write the blocks for the shot and the place: with them the pixels lie plain.
    exif = Image.Exif()
    exif.load(settings.exif)
    compression = "raw" if IFD.Exif in exif or IFD.GPSInfo in exif else "tiff_adobe_deflate"
    Image.fromarray(pixels).save(file, "TIFF", compression=compression, icc_profile=srgb_profile(), exif=settings.exif)


def _write_jpeg(pixels: np.ndarray, file: io.BytesIO, settings: Settings) -> None:
    Image.fromarray(pixels).save(
        file, "JPEG", quality=settings.quality, optimize=True, icc_profile=srgb_profile(), exif=settings.exif
    )


def _write_matte(pixels: np.ndarray, file: io.BytesIO, settings: Settings) -> None:
    # Not a picture: no colour profile, which would make viewers change the values.
    write_png(file, pixels, tick=settings.tick)


_ANY_SIDE = 2**31 - 1
_LIBAVIF_SIDE = 32768  # libavif writes larger pictures, but refuses to read them again by default

ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        Encoder("png", "PNG", "image/png", ".png", "cutout", True, _ANY_SIDE, _write_png),
        Encoder("webp", "WebP", "image/webp", ".webp", "cutout", True, 16383, _write_webp, True, True),
        Encoder("avif", "AVIF", "image/avif", ".avif", "cutout", True, _LIBAVIF_SIDE, _write_avif, True, True),
        Encoder("tiff", "TIFF", "image/tiff", ".tif", "cutout", True, _ANY_SIDE, _write_tiff),
        Encoder("jpeg", "JPEG", "image/jpeg", ".jpg", "cutout", False, 65500, _write_jpeg, True),
        Encoder("mask", "Mask (black and white PNG)", "image/png", ".png", "mask", True, _ANY_SIDE, _write_matte),
        Encoder("matte", "Matte (16-bit grey PNG)", "image/png", ".png", "matte", True, _ANY_SIDE, _write_matte),
    )
}


def encode(
    cutout: np.ndarray,
    format: str,
    background: str = TRANSPARENT,
    *,
    alpha: np.ndarray | AlphaMatte | None = None,
    quality: int = 90,
    lossless: bool = False,
    long_side: int = 0,
    exif: bytes = b"",
    tick: Tick = ignore,
) -> EncodedImage:
    """Encode a cutout, laid over a background if one is asked for.

    Colour files are tagged as sRGB. Over a colour the file has no alpha channel.

    Parameters
    ----------
    cutout : ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    format : str
        A key of `ENCODERS`.
    background : str
        See `processing.composite.parse_background`.
    alpha : ndarray of float32, shape (H, W), or AlphaMatte, optional
        Alpha matte in [0, 1], for the format ``"matte"``; the cutout's 8 bits if None.
    quality : int
        1 to 100, for formats with loss.
    lossless : bool
        Write WebP without loss, and AVIF with as little as it can.
    long_side : int
        Height or width to reduce to, whichever is larger, in pixels; 0 and anything larger keep the size.
    exif : bytes
        EXIF block to put in; see `processing.metadata`.
    tick : callable, optional
        See `processing.bands`. While a PNG file is written it is called all the time; the codecs of the other formats
        take the picture in one go.

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
    pixels = make_picture(cutout, encoder, background, alpha=alpha, long_side=long_side, tick=within(tick, 0.0, 0.5))
    file = io.BytesIO()
    tick(0.5)
    encoder.write(pixels, file, Settings(quality, lossless, exif, within(tick, 0.5, 1.0)))
    tick(1.0)
    return EncodedImage(file.getvalue(), encoder.media_type, encoder.suffix, (pixels.shape[0], pixels.shape[1]))


def make_picture(
    cutout: np.ndarray,
    encoder: Encoder,
    background: str,
    *,
    alpha: np.ndarray | AlphaMatte | None,
    long_side: int,
    tick: Tick = ignore,
) -> np.ndarray:
    """Return the pixels that go into a file, as `Encoder.write` takes them; parameters and errors as in `encode`."""
    pixels = _lay_out(encoder, cutout, alpha, background, within(tick, 0.0, 0.6))
    pixels = _reduce(pixels, long_side, within(tick, 0.6, 1.0))
    height, width = pixels.shape[:2]
    if max(height, width) > encoder.max_side:
        raise EncodingError(
            f"{encoder.title} stores at most {encoder.max_side} pixels a side; this cutout is {width} x {height}. "
            "Choose the format png, or a smaller size."
        )
    return pixels


def _lay_out(
    encoder: Encoder, cutout: np.ndarray, alpha: np.ndarray | AlphaMatte | None, background: str, tick: Tick
) -> np.ndarray:
    if encoder.content == "mask":
        return np.where(cutout[..., 3] > 127, np.uint8(255), np.uint8(0))
    if encoder.content == "matte":
        if alpha is None:
            alpha = cutout[..., 3].astype(np.float32) / np.float32(255)
        return to_16_bit(alpha, tick)
    colour = parse_background(background)
    return cutout if colour is None else over(cutout, colour, tick)


def to_16_bit(alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> np.ndarray:
    """Return an alpha matte (float32, in [0, 1]) in steps of 1/65535, as uint16."""
    levels = np.empty(alpha.shape, np.uint16)
    for rows in bands(len(levels), 2 * levels[0].nbytes, tick):
        levels[rows] = np.rint(alpha[rows] * np.float32(65535))
    return levels


def _reduce(pixels: np.ndarray, long_side: int, tick: Tick) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = long_side / max(height, width)
    if not 0 < scale < 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if pixels.ndim == 3:
        return np.asarray(shrink(pixels, size, Image.Resampling.LANCZOS, gap=3.0, tick=tick))
    image = Image.fromarray(pixels)
    if image.mode == "I;16":  # Pillow resizes it only as 32-bit numbers
        return np.rint(np.asarray(image.convert("F").resize(size, Image.Resampling.BOX))).astype(np.uint16)
    grey = np.asarray(image.resize(size, Image.Resampling.BOX))
    return np.where(grey > 127, np.uint8(255), np.uint8(0))  # a mask stays a mask


def check_output(format: str, background: str) -> Encoder:
    """Tell before the work whether a format can store what is asked for, and return its encoder.

    Raises
    ------
    EncodingError
        If the format is unknown, cannot store transparency that was asked for, or has no place for a background.
    RecipeError
        If the background is unknown.
    """
    encoder = find_encoder(format)
    colour = parse_background(background)
    if colour is None and not encoder.keeps_alpha:
        raise EncodingError(
            f"{encoder.title} cannot store a transparent background. "
            "Choose a background colour such as white, or the format png or webp."
        )
    if colour is not None and encoder.content != "cutout":
        raise EncodingError(f"A {encoder.content} has no background. Leave the background transparent.")
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


def format_of(path: Path, preferred: str) -> str:
    """Return the format for a path: the preferred one if its files end like that, else the one of the suffix.

    Raises
    ------
    EncodingError
        If no format has that suffix.
    """
    if find_encoder(path.suffix).suffix == find_encoder(preferred).suffix:
        return preferred
    return find_encoder(path.suffix).name


def encode_preview(pixels: np.ndarray, *, long_side: int, tick: Tick = ignore) -> bytes:
    """Encode a small WebP for the screen.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W, 4)
        Image or cutout.
    long_side : int
        Largest height and width of the preview, in pixels; a smaller image keeps its size.
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    bytes
        A WebP file.
    """
    image = shrink_to_fit(pixels, long_side, tick)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=82, method=0)  # a tenth larger than method 1, in half the time
    return file.getvalue()
