"""Bytes of a photo to upright sRGB pixels: sniff the type, check the limits, decode, turn, convert colours.

To add a format: one entry in `FORMATS` (its signature in the first bytes and the Pillow plugin that opens it).
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from processing.errors import ImageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFormat:
    """A file format that `decode` reads."""

    name: str
    media_type: str
    suffix: str
    matches: Callable[[bytes], bool]
    open: Callable[[io.BytesIO], Image.Image]


# Each plugin is opened directly instead of through Image.open: that one compares the size with a limit that is global
# to the process and warns from 89.5 megapixels on, and we have limits of our own that a caller may set per call.
FORMATS = (
    ImageFormat(
        "PNG", "image/png", ".png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile
    ),
    ImageFormat(
        "JPEG", "image/jpeg", ".jpg", lambda head: head.startswith(b"\xff\xd8\xff"), JpegImagePlugin.jpeg_factory
    ),
    ImageFormat(
        "WebP",
        "image/webp",
        ".webp",
        lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
        WebPImagePlugin.WebPImageFile,
    ),
)

# Types that people try and that are not read: named, so that the sentence can say what was dropped.
_REFUSED = (
    ("an SVG drawing", lambda head: b"<svg" in head.lower()),
    ("a HEIC photo", lambda head: head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")),
    ("an AVIF image", lambda head: head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis")),
    ("a GIF image", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("a TIFF image", lambda head: head.startswith((b"II*\x00", b"MM\x00*"))),
    ("a BMP image", lambda head: head.startswith(b"BM")),
    ("a PDF document", lambda head: head.startswith(b"%PDF")),
    ("a video or audio file", lambda head: head[4:8] == b"ftyp"),
    ("a ZIP archive or office document", lambda head: head.startswith(b"PK\x03\x04")),
    ("a web page", lambda head: b"<html" in head.lower() or b"<!doctype html" in head.lower()),
)

SUPPORTED = "PNG, JPEG and WebP"


@dataclass(frozen=True)
class DecodeLimits:
    """What `decode` accepts; both are checked before a pixel is decoded.

    Parameters
    ----------
    max_bytes : int
        Largest file, in bytes.
    max_megapixels : float
        Largest picture, in millions of pixels.
    """

    max_bytes: int = 100_000_000
    max_megapixels: float = 100.0


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A decoded photo.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        sRGB, upright.
    alpha : ndarray of uint8, shape (H, W), or None
        The file's own transparency, if it has any.
    data : bytes
        The file as it came.
    name : str
        Name of the file, for people; never used as a path.
    media_type, suffix : str
        What the bytes are, whatever the name says: ``"image/jpeg"``, ``".jpg"``.
    profile : str or None
        Description of the embedded colour profile that was converted to sRGB.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    data: bytes
    name: str
    media_type: str
    suffix: str
    profile: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def decode(data: bytes, *, name: str = "photo", limits: DecodeLimits = DEFAULT_LIMITS) -> SourceImage:
    """Decode a photo to upright sRGB pixels.

    The type is taken from the bytes, not from the name. The EXIF orientation is applied; an embedded colour profile is
    converted to sRGB.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name, for messages and records.
    limits : DecodeLimits
        Byte and megapixel limits, checked before pixels are decoded.

    Returns
    -------
    SourceImage
        Pixels, the file's own transparency, and where they came from.

    Raises
    ------
    ImageError
        If the file is empty, of another type, over a limit or broken.
    """
    image_format = sniff(data, name=name, limits=limits)
    try:
        image = image_format.open(io.BytesIO(data))
        _check_megapixels(image.size, name, limits)
        image.load()
    except ImageError:
        raise
    # Pillow's plugins let whatever a broken file provokes escape: struct.error, IndexError, zlib.error and more.
    except Exception as error:
        raise ImageError(
            f"{name} is broken or cut off: its {image_format.name} data cannot be read to the end. "
            "Copy or export the photo again and retry."
        ) from error
    pixels, alpha, profile = _to_srgb(_upright(image))
    return SourceImage(pixels, alpha, data, name, image_format.media_type, image_format.suffix, profile)


def sniff(data: bytes, *, name: str = "photo", limits: DecodeLimits = DEFAULT_LIMITS) -> ImageFormat:
    """Tell the type of a file from its first bytes, after checking its length.

    Raises
    ------
    ImageError
        If the file is empty, over `limits.max_bytes` or not one of `FORMATS`.
    """
    if not data:
        raise ImageError(f"{name} is empty (0 bytes). Choose a {SUPPORTED.replace(' and ', ' or ')} photo.")
    _check_bytes(len(data), name, limits)
    head = data[:512]
    for image_format in FORMATS:
        if image_format.matches(head):
            return image_format
    what = next((title for title, matches in _REFUSED if matches(head)), "not a photo that can be read")
    raise ImageError(f"{name} is {what}. {SUPPORTED} are read; save or export it as one of these and retry.")


def read_input(
    image: str | Path | bytes | Image.Image | np.ndarray, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> tuple[bytes, str]:
    """Turn what a caller of the library has into the bytes of a file and a name.

    Parameters
    ----------
    image : str, Path, bytes, PIL.Image.Image or ndarray of uint8, shape (H, W, 3) or (H, W, 4)
        A path, the bytes of a file, or sRGB pixels, which become a PNG file in memory.
    limits : DecodeLimits
        A larger file is refused before it is read.

    Raises
    ------
    ImageError
        If the file cannot be read or is over the limit, or the array has another shape or type.
    """
    if isinstance(image, bytes):
        return image, "photo"
    if isinstance(image, (str, Path)):
        path = Path(image)
        try:
            _check_bytes(path.stat().st_size, path.name, limits)
            return path.read_bytes(), path.name
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror}. Give the path of a photo.") from error
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
            raise ImageError(
                f"An array of {image.dtype} with shape {image.shape} is not a photo. "
                "Give uint8 sRGB pixels of shape (height, width, 3) or (height, width, 4)."
            )
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue(), Path(getattr(image, "filename", "") or "photo").name


def _check_bytes(size_bytes: int, name: str, limits: DecodeLimits) -> None:
    if size_bytes > limits.max_bytes:
        raise ImageError(
            f"{name} has {size_bytes / 1e6:.0f} MB; at most {limits.max_bytes / 1e6:.0f} MB are allowed. "
            "Save it smaller, for example as JPEG, and retry."
        )


def _check_megapixels(size: tuple[int, int], name: str, limits: DecodeLimits) -> None:
    width, height = size
    megapixels = width * height / 1e6
    if megapixels > limits.max_megapixels:
        raise ImageError(
            f"{name} is {width} x {height} pixels ({megapixels:.0f} megapixels); "
            f"at most {limits.max_megapixels:g} megapixels are allowed. Scale it down and retry."
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (
        Exception
    ) as error:  # a broken EXIF block must not lose the photo; which errors it provokes is not documented
        logger.warning("EXIF orientation ignored: %s", error)
        return image


def _to_srgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, str | None]:
    """Split off the transparency and convert the colours: (H, W, 3), (H, W) or None, profile converted or None."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips 16-bit grey to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    alpha = None
    if image.has_transparency_data:
        profile_bytes = image.info.get("icc_profile")
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        image = image.convert("RGB")
        image.info["icc_profile"] = profile_bytes
    image, profile = _convert_profile(image)
    return np.asarray(image.convert("RGB")), alpha, profile


def _convert_profile(image: Image.Image) -> tuple[Image.Image, str | None]:
    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes:
        return image, None
    from PIL import ImageCms  # not built into every Pillow (the in-browser one lacks it)

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        description = ImageCms.getProfileDescription(profile).strip()
        if "srgb" in description.lower():
            return image, None
        if image.mode not in ("RGB", "CMYK", "L"):
            image = image.convert("RGB")
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.warning("Colour profile ignored: %s", error)
        return image, None
    return converted or image, description
