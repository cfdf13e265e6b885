"""Photos in and files out with the browser's own codecs, which are several times faster than Pillow in WebAssembly."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import cutout_bridge as bridge
import numpy as np
from pyodide.ffi import JsException, to_js

from processing.bands import Tick, bands, ignore, within
from processing.encoders import check_output, make_picture
from processing.errors import ImageError
from processing.images import (
    DecodeLimits,
    SourceImage,
    broken,
    check_megapixels,
    open_photo,
    sniff,
)
from processing.images import decode as decode_with_pillow
from processing.png import make_pieces
from processing.recipe import Recipe
from processing.resizing import shrink_to_fit
from processing.result import Result

#: The longest that the event loop waits while pixels are worked on, in seconds; the page answers meanwhile in any case.
_HOLD_S = 0.05

#: Formats whose opaque pictures every browser decodes, with the turning and the colours that Pillow would give.
_COMMON = ("JPEG", "PNG", "WebP", "BMP", "GIF")

#: Formats that the in-browser Pillow cannot open.
_BROWSER_ONLY = ("AVIF", "HEIC")


class Breath:
    """Lets the event loop go on, but not more often than needed: each time costs some milliseconds."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    async def take(self) -> None:
        """Wait for a turn of the event loop if the last one was long ago."""
        if time.perf_counter() - self._last > _HOLD_S:
            await asyncio.sleep(0)
            self._last = time.perf_counter()


async def decode(data: bytes, name: str, limits: DecodeLimits, tick: Tick = ignore) -> SourceImage:
    """Decode a photo as `processing.images.decode` does.

    Photos with transparency of their own go through Pillow, since a canvas keeps 8 bits of colour times alpha: the
    colours of faint pixels would be lost.
    """
    image_format = sniff(data, name=name, limits=limits)
    remark = ""
    if image_format.name not in _BROWSER_ONLY:
        _, image, remark = open_photo(data, name=name, limits=limits)
        if image_format.name not in _COMMON or image.has_transparency_data or image.mode.startswith("I"):
            source = decode_with_pillow(data, name=name, limits=limits, tick=tick)
            return source if _is_srgb(image.info.get("icc_profile")) else _with_remark(source)
    try:
        picture = await bridge.decode(to_js(data), image_format.media_type)
    except JsException as error:
        if image_format.name in _BROWSER_ONLY:
            raise ImageError(
                f"{name} is {image_format.name}, which this browser cannot read. Save it as JPEG and retry."
            ) from error
        raise ImageError(broken(name, image_format)) from error
    try:
        check_megapixels((picture.width, picture.height), name, limits)
        pixels, alpha = await _read(picture, image_format.name in _BROWSER_ONLY, tick)
    finally:
        picture.close()
    return SourceImage(pixels, alpha, data, name, image_format.media_type, image_format.suffix, None, remark)


async def _read(picture: Any, may_be_transparent: bool, tick: Tick) -> tuple[np.ndarray, np.ndarray | None]:
    height, width = picture.height, picture.width
    pixels, alpha, breath = np.empty((height, width, 3), np.uint8), None, Breath()
    for rows in bands(height, 4 * width, tick):
        if may_be_transparent:
            band = np.empty((rows.stop - rows.start, width, 4), np.uint8)
            picture.readRgba(rows.start, rows.stop).assign_to(band)
            pixels[rows] = band[..., :3]
            if alpha is not None or band[..., 3].min() < 255:
                alpha = np.full((height, width), 255, np.uint8) if alpha is None else alpha
                alpha[rows] = band[..., 3]
        else:
            picture.readInto(pixels[rows], rows.start, rows.stop)
        await breath.take()
    return pixels, alpha


def _is_srgb(icc_profile: bytes | None) -> bool:
    # The name is text, in 8 or in 16 bits a character.
    return not icc_profile or b"sRGB" in icc_profile or "sRGB".encode("utf-16-be") in icc_profile


def _with_remark(source: SourceImage) -> SourceImage:
    lost = f"The colour profile of {source.name} was not applied: in the browser that is done for opaque photos only."
    return replace(source, remark=f"{source.remark} {lost}".strip())


async def encode_preview(pixels: np.ndarray, *, long_side: int, tick: Tick = ignore) -> bytes:
    """Encode a small picture for the screen as `processing.encoders.encode_preview` does.

    It is a WebP file, or PNG in a browser that writes no WebP.
    """
    small = np.asarray(shrink_to_fit(pixels, long_side, tick).convert("RGBA"))
    height, width = small.shape[:2]
    encoded = await bridge.encodeWebp(to_js(np.ascontiguousarray(small).reshape(-1)), width, height, 82)
    data: bytes = encoded.data.to_bytes()
    return data


async def encode_file(result: Result, recipe: Recipe, tick: Tick = ignore) -> Any:
    """Encode a cutout as `Result.encode` does.

    Returns
    -------
    JavaScript Blob
        The file. PNG files are written a piece at a time; the other formats by Pillow in one go.
    """
    encoder = check_output(recipe.format, recipe.background)
    if encoder.suffix != ".png":
        encoded = result.encode(tick, **recipe.as_dict())
        return bridge.makeBlob(to_js([to_js(encoded.data)]), encoded.media_type)
    pixels = make_picture(
        result.pixels,
        encoder,
        recipe.background,
        alpha=result.matte,
        long_side=recipe.long_side,
        tick=within(tick, 0.0, 0.2),
    )
    # zlib as WebAssembly at its quickest takes a fifth of the time of the browser's CompressionStream, which has no
    # setting for it. The file is larger where the photo is smooth, smaller where it is noisy; see docs/browser.md.
    pieces, breath = [], Breath()
    for piece in make_pieces(
        pixels,
        icc_profile=encoder.icc_profile,
        exif=result.exif(recipe),
        quick=True,
        tick=within(tick, 0.2, 1.0),
    ):
        pieces.append(to_js(piece))
        await breath.take()
    return bridge.makeBlob(to_js(pieces), encoder.media_type)
