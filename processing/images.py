"""Bytes of a photo to upright sRGB pixels: sniff the type, check the limits, decode, turn, convert colours.

`processing.formats` has the table of formats, `processing.colour` the turning and the conversion to sRGB.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from processing.bands import Tick, ignore, within
from processing.colour import srgb_profile, to_srgb
from processing.errors import Cancelled, ImageError
from processing.formats import SUPPORTED, ImageFormat, describe, find_format

#: How Pillow's errors about packed texts and profiles in a PNG begin; it has no class of its own for them.
_BOMBS = ("Decompressed data too large", "Too much memory used in text chunks")


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

    @classmethod
    def from_environment(cls) -> DecodeLimits:
        """Read CUTOUT_MAX_MEGABYTES and CUTOUT_MAX_MEGAPIXELS; 100 each where they are not set.

        Raises
        ------
        ImageError
            If one of them is not a positive number.
        """
        megabytes, megapixels = _read_limit("CUTOUT_MAX_MEGABYTES"), _read_limit("CUTOUT_MAX_MEGAPIXELS")
        return cls(max_bytes=round(megabytes * 1e6), max_megapixels=megapixels)


def _read_limit(name: str) -> float:
    text = os.environ.get(name, "100")
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise ImageError(f"{name} is {text!r}. Give a positive number, such as 100.")
    return limit


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
    remark : str
        A sentence for the user about what was left out, such as further pages; empty if nothing was.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    data: bytes
    name: str
    media_type: str
    suffix: str
    profile: str | None = None
    remark: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def visible(self) -> np.ndarray:
        """The photo with its own transparency: uint8 (H, W, 4), straight alpha; (H, W, 3) if it has none."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def decode(data: bytes, *, name: str = "photo", limits: DecodeLimits | None = None, tick: Tick = ignore) -> SourceImage:
    """Decode a photo to upright sRGB pixels.

    The type is taken from the bytes, not from the name. The EXIF orientation is applied; an embedded colour profile is
    converted to sRGB; of an animation or of several pages the first picture is taken.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name, for messages and records.
    limits : DecodeLimits, optional
        Byte and megapixel limits, checked before pixels are decoded; `DecodeLimits.from_environment()` if None.
    tick : callable, optional
        See `processing.bands`. It is called while JPEG, PNG, BMP and GIF are decoded; the codecs of the other formats
        take the file in one go.

    Returns
    -------
    SourceImage
        Pixels, the file's own transparency, and where they came from.

    Raises
    ------
    ImageError
        If the file is empty, of another type, over a limit or broken.
    """
    image_format, image, remark = open_photo(data, name=name, limits=limits, tick=within(tick, 0.0, 0.8))
    with _explained(name, image_format):
        image.load()
        pixels, alpha, profile = to_srgb(image, name, within(tick, 0.8, 1.0))
    return SourceImage(pixels, alpha, data, name, image_format.media_type, image_format.suffix, profile, remark)


def open_photo(
    data: bytes, *, name: str = "photo", limits: DecodeLimits | None = None, tick: Tick = ignore
) -> tuple[ImageFormat, Image.Image, str]:
    """Open a photo without decoding its pixels, and check it against the limits; parameters and errors as in `decode`.

    Returns
    -------
    image_format : ImageFormat
        What the bytes are.
    image : PIL.Image.Image
        Pillow's image, not loaded yet; `tick` is called while it is.
    remark : str
        See `SourceImage`.
    """
    limits = limits or DecodeLimits.from_environment()
    image_format = sniff(data, name=name, limits=limits)
    with _explained(name, image_format):
        if image_format.read_size is not None and (size := image_format.read_size(data[:512])):
            check_megapixels(size, name, limits)
        image = image_format.open(_WatchedFile(data, tick))
        check_megapixels(image.size, name, limits)
        several = image.format != "MPO" and getattr(image, "is_animated", False)  # MPO: a phone's depth map
    remark = f"{name} is animated or has several pages; only its first picture is used." if several else ""
    return image_format, image, remark


@contextmanager
def _explained(name: str, image_format: ImageFormat) -> Iterator[None]:
    try:
        yield
    except (ImageError, Cancelled):
        raise
    # Pillow's plugins let whatever a broken file provokes escape: struct.error, IndexError, zlib.error and more.
    except Exception as error:
        raise ImageError(_explain(error, name, image_format)) from error


class _WatchedFile(io.BytesIO):
    """A file in memory that tells how far it was read: Pillow asks for its pixels' data 64 kB at a time."""

    def __init__(self, data: bytes, tick: Tick) -> None:
        super().__init__(data)
        self._tick, self._length, self._furthest = tick, len(data), 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._furthest = min(max(self._furthest, self.tell()), self._length)
        self._tick(self._furthest / self._length)
        return super().read(size)


def _explain(error: Exception, name: str, image_format: ImageFormat) -> str:
    if str(error).startswith(_BOMBS):
        return (
            f"{name} holds texts or a colour profile that would unpack to far more than a photo has. "
            "Export it again without them and retry."
        )
    return broken(name, image_format)


def broken(name: str, image_format: ImageFormat) -> str:
    """Return the sentence about a file that ends too early or makes no sense."""
    return (
        f"{name} is broken or cut off: its {image_format.name} data cannot be read to the end. "
        "Copy or export the photo again and retry."
    )


def sniff(data: bytes, *, name: str = "photo", limits: DecodeLimits | None = None) -> ImageFormat:
    """Tell the type of a file from its first bytes, after checking its length.

    Raises
    ------
    ImageError
        If the file is empty, over `limits.max_bytes` or not one of `processing.formats.FORMATS`.
    """
    if not data:
        raise ImageError(f"{name} is empty (0 bytes). Choose a photo: {SUPPORTED} are read.")
    check_bytes(len(data), name, limits or DecodeLimits.from_environment())
    image_format = find_format(data[:512])
    if image_format is None:
        raise ImageError(
            f"{name} is {describe(data[:512])}. {SUPPORTED} are read; save or export it as one of these and retry."
        )
    return image_format


def check_bytes(size_bytes: int, name: str, limits: DecodeLimits) -> None:
    """Raise `ImageError` if a file of this length is over the limit."""
    if size_bytes > limits.max_bytes:
        raise ImageError(
            f"{name} has {size_bytes / 1e6:.0f} MB; at most {limits.max_bytes / 1e6:.0f} MB are allowed. "
            "Save it smaller, for example as JPEG, and retry."
        )


def check_megapixels(size: tuple[int, int], name: str, limits: DecodeLimits) -> None:
    """Raise `ImageError` if a picture of this width and height is over the limit."""
    width, height = size
    megapixels = width * height / 1e6
    if megapixels > limits.max_megapixels:
        raise ImageError(
            f"{name} is {width} x {height} pixels ({megapixels:.0f} megapixels); "
            f"at most {limits.max_megapixels:g} megapixels are allowed. Scale it down and retry."
        )


def read_input(
    image: str | Path | bytes | Image.Image | np.ndarray, *, limits: DecodeLimits | None = None
) -> tuple[bytes, str]:
    """Turn what a caller of the library has into the bytes of a file and a name.

    Parameters
    ----------
    image : str, Path, bytes, PIL.Image.Image or ndarray of uint8, shape (H, W, 3) or (H, W, 4)
        A path, the bytes of a file, or pixels, which become a PNG file in memory. Arrays are taken as sRGB; a Pillow
        image is turned upright and converted as a file would be.
    limits : DecodeLimits, optional
        A larger file is refused before it is read.

    Raises
    ------
    ImageError
        If the file cannot be read or is over the limit, or `image` is none of these.
    """
    if isinstance(image, bytes):
        return image, "photo"
    if isinstance(image, (str, Path)):
        return _read_file(Path(image), limits or DecodeLimits.from_environment())
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
            raise ImageError(
                f"An array of {image.dtype} with shape {image.shape} is not a photo. "
                "Give uint8 sRGB pixels of shape (height, width, 3) or (height, width, 4)."
            )
        return _to_png(image), "photo"
    if isinstance(image, Image.Image):
        name = Path(getattr(image, "filename", "") or "photo").name
        try:
            pixels, alpha, _ = to_srgb(image, name)
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{name} cannot be read: {error}. Open or copy the image again and retry.") from error
        return _to_png(pixels if alpha is None else np.dstack([pixels, alpha])), name
    raise ImageError(f"A {type(image).__name__} is not a photo. Give a path, bytes, a Pillow image or a uint8 array.")


def _read_file(path: Path, limits: DecodeLimits) -> tuple[bytes, str]:
    try:
        check_bytes(path.stat().st_size, path.name, limits)
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{path} cannot be read: {reason}. Give the path of a photo.") from error


def _to_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1, icc_profile=srgb_profile())
    return file.getvalue()
