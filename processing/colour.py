"""Pillow's image of a file to arrays: upright, colours in sRGB, transparency apart from them."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from processing.bands import Tick, bands, ignore
from processing.errors import ImageError

logger = logging.getLogger(__name__)


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile that output files are tagged with.

    LittleCMS made it; it is kept in a file because not every Pillow has LittleCMS (the in-browser one lacks it), and
    because the date in a new one would make two files of the same cutout differ.
    """
    return (Path(__file__).parent / "srgb.icc").read_bytes()


@dataclass(frozen=True)
class Turn:
    """How stored rows come to lie upright, by the EXIF orientation of the file.

    Parameters
    ----------
    orientation : int
        1 to 8, see CIPA DC-008 (Exif 2.32), tag 274: from 5 on rows become columns.
    """

    orientation: int = 1

    @classmethod
    def of(cls, image: Image.Image) -> Turn:
        """Read the orientation of an image; a broken EXIF block must not lose the photo."""
        try:
            orientation = image.getexif().get(Base.Orientation, 1)
        except Exception as error:  # which errors a broken block provokes is not documented
            logger.warning("EXIF orientation ignored: %s", error)
            orientation = 1
        return cls(orientation if orientation in range(2, 9) else 1)

    def upright(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the upright picture for those of the stored one."""
        return (width, height) if self.orientation >= 5 else (height, width)

    def place(self, rows: slice, height: int) -> tuple[slice, slice]:
        """Return where stored rows lie in the upright picture."""
        from_the_end = self.orientation in (3, 4, 6, 7)
        lines = slice(height - rows.stop, height - rows.start) if from_the_end else rows
        return (slice(None), lines) if self.orientation >= 5 else (lines, slice(None))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Turn stored rows, shape (n, W) or (n, W, 3)."""
        if self.orientation >= 5:
            rows = rows.swapaxes(0, 1)
        down = -1 if self.orientation in (3, 4, 7, 8) else 1
        across = -1 if self.orientation in (2, 3, 6, 7) else 1
        return rows[::down, ::across]


def to_srgb(image: Image.Image, name: str, tick: Tick = ignore) -> tuple[np.ndarray, np.ndarray | None, str | None]:
    """Turn an image upright, split off its transparency and convert its colours to sRGB.

    All of it happens to a band of rows at a time, on the way from Pillow's memory into the arrays that are returned: a
    photo of 48 megapixels that lies on its side and is in Display P3 is copied once, not four times.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode whose values are colours; its EXIF orientation and its embedded profile are used.
    name : str
        For the message.
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    pixels : ndarray of uint8, shape (H, W, 3)
        sRGB.
    alpha : ndarray of uint8, shape (H, W), or None
        Transparency.
    profile : str or None
        Description of the profile that was converted; None if the image was sRGB or said nothing.

    Raises
    ------
    ImageError
        If the values are no colours (32-bit numbers, Lab).
    """
    if image.mode in ("I", "F", "LAB"):
        what = "Lab colours" if image.mode == "LAB" else "32-bit numbers"
        raise ImageError(
            f"{name} holds {what} (mode {image.mode}), which are not shown as they are by any screen. "
            "Save it with 8 or 16 bits a channel in RGB or grey, and retry."
        )
    width, height = image.size
    turn = Turn.of(image)
    convert, profile = _find_conversion(image)
    pixels = np.empty((*turn.upright(height, width), 3), np.uint8)
    alpha: np.ndarray | None = None
    for rows in bands(height, 4 * width, tick):
        band = image.crop((0, rows.start, width, rows.stop))
        colours, transparency = _split_alpha(band)
        place = turn.place(rows, height)
        pixels[place] = turn.apply(np.asarray(convert(colours).convert("RGB")))
        if transparency is not None:
            alpha = np.empty(pixels.shape[:2], np.uint8) if alpha is None else alpha
            alpha[place] = turn.apply(transparency)
    return pixels, alpha, profile


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Return the image in mode L, RGB or CMYK, and its transparency."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion of 16-bit grey clips everything over 255 to white.
        values, transparent = np.asarray(image), image.info.get("transparency")
        alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
        return Image.fromarray((values >> 8).astype(np.uint8)), alpha
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        return image.getchannel("R") if grey else image.convert("RGB"), alpha
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if grey else "RGB")
    return image, None


def _find_conversion(image: Image.Image) -> tuple[Callable[[Image.Image], Image.Image], str | None]:
    """Return what converts bands of an image, once their transparency is split off, to sRGB; and the profile's name."""
    if not image.info.get("icc_profile"):
        return lambda band: band, None
    from PIL import ImageCms

    mode = _split_alpha(image.crop((0, 0, 1, 1)))[0].mode
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        description = ImageCms.getProfileDescription(profile).strip()
        if "srgb" in description.lower():
            return lambda band: band, None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError) as error:  # ImportError: a Pillow without LittleCMS
        logger.warning("Colour profile ignored: %s", error)
        return lambda band: band, None
    return lambda band: ImageCms.applyTransform(band, transform) or band, description
