"""The file formats that are read: how their first bytes look, and what opens them.

To add one: an entry in `FORMATS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, cast

from PIL import Image

from processing.errors import ImageError

Size = tuple[int, int]


@dataclass(frozen=True)
class ImageFormat:
    """A file format that `processing.images.decode` reads.

    Parameters
    ----------
    name, media_type, suffix : str
        ``"JPEG"``, ``"image/jpeg"``, ``".jpg"``.
    matches : callable
        Tells from the first 512 bytes of a file whether it has this format.
    open : callable
        Reads the header. Each plugin is opened directly instead of through Image.open: that one compares the size with
        a limit that is global to the process and warns from 89.5 megapixels on, and we have limits of our own.
    read_size : callable or None
        Reads width and height from the first bytes, for plugins that refuse large pictures before they tell a size.
    """

    name: str
    media_type: str
    suffix: str
    matches: Callable[[bytes], bool]
    open: Callable[[io.BytesIO], Image.Image]
    read_size: Callable[[bytes], Size | None] | None = None


def find_format(head: bytes) -> ImageFormat | None:
    """Return the format of a file from its first 512 bytes, or None."""
    return next((image_format for image_format in FORMATS if image_format.matches(head)), None)


def describe(head: bytes) -> str:
    """Say what a file is that is not read, as far as its first 512 bytes tell."""
    return next((what for what, matches in _REFUSED if matches(head)), "not a photo that can be read")


def _plugin(module: str, name: str) -> Callable[[io.BytesIO], Image.Image]:
    """Return what opens files with one of Pillow's plugins; it is imported when the first such file comes."""

    def open(file: io.BytesIO) -> Image.Image:
        image: Image.Image = getattr(import_module(f"PIL.{module}"), name)(file)
        return image

    return open


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of an ISO media file (HEIC, AVIF, MP4); empty for any other file."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _is_avif(head: bytes) -> bool:
    return bool(_brands(head) & {b"avif", b"avis"})


def _is_heic(head: bytes) -> bool:
    heif = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
    return bool(_brands(head) & heif) and not _is_avif(head)


def _open_heic(file: io.BytesIO) -> Image.Image:
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "HEIC photos need the package pi-heif, which is not installed. Run `pip install pi-heif`, or save the "
            "photo as JPEG and retry."
        ) from error
    image: Image.Image = HeifImageFile(file)
    return image


@cache
def _tiff_plugin() -> Any:
    from PIL import TiffImagePlugin

    class TiffImageFile(TiffImagePlugin.TiffImageFile):
        def load_prepare(self) -> None:
            """Make room for the pixels without comparing their number with Pillow's own limit; `decode` has done it."""
            if self._im is None:
                self.im = Image.core.new(self.mode, self._tile_size)
            super().load_prepare()

    return TiffImageFile


def _open_tiff(file: io.BytesIO) -> Image.Image:
    image = _tiff_plugin()(file)
    is_dng, is_thumbnail = 50706 in image.tag_v2, image.tag_v2.get(254, 0) & 1
    if is_dng or is_thumbnail:
        raise ImageError(
            "This is a camera raw file, of which only a thumbnail could be read. Export it as JPEG or TIFF and retry."
        )
    return cast(Image.Image, image)


def _read_webp_size(head: bytes) -> Size | None:
    chunk, data = head[12:16], head[20:30]
    if len(data) < 10:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


def _read_gif_size(head: bytes) -> Size | None:
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


FORMATS = (
    ImageFormat(
        "PNG",
        "image/png",
        ".png",
        lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
        _plugin("PngImagePlugin", "PngImageFile"),
    ),
    ImageFormat(
        "JPEG",
        "image/jpeg",
        ".jpg",
        lambda head: head.startswith(b"\xff\xd8\xff"),
        _plugin("JpegImagePlugin", "jpeg_factory"),
    ),
    ImageFormat(
        "WebP",
        "image/webp",
        ".webp",
        lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
        _plugin("WebPImagePlugin", "WebPImageFile"),
        _read_webp_size,
    ),
    ImageFormat("AVIF", "image/avif", ".avif", _is_avif, _plugin("AvifImagePlugin", "AvifImageFile")),
    ImageFormat("HEIC", "image/heic", ".heic", _is_heic, _open_heic),
    ImageFormat(
        "TIFF",
        "image/tiff",
        ".tif",
        lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        _open_tiff,
    ),
    ImageFormat(
        "BMP", "image/bmp", ".bmp", lambda head: head.startswith(b"BM"), _plugin("BmpImagePlugin", "BmpImageFile")
    ),
    ImageFormat(
        "GIF",
        "image/gif",
        ".gif",
        lambda head: head.startswith((b"GIF87a", b"GIF89a")),
        _plugin("GifImagePlugin", "GifImageFile"),
        _read_gif_size,
    ),
)

#: "PNG, JPEG, ... and GIF", for messages.
SUPPORTED = ", ".join(each.name for each in FORMATS[:-1]) + " and " + FORMATS[-1].name

# What people try and is not read: named, so that the sentence can say what was dropped.
_REFUSED: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("an SVG drawing", lambda head: b"<svg" in head.lower()),
    ("a PDF document", lambda head: head.startswith(b"%PDF")),
    ("a Photoshop document", lambda head: head.startswith(b"8BPS")),
    ("a video or audio file", lambda head: head[4:8] == b"ftyp"),
    ("a ZIP archive or office document", lambda head: head.startswith(b"PK\x03\x04")),
    ("a web page", lambda head: b"<html" in head.lower() or b"<!doctype html" in head.lower()),
)
