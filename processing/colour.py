"""Colours of a file to sRGB, and transparency apart from them."""

from __future__ import annotations

import io
import logging
from functools import cache

import numpy as np
from PIL import Image

from processing.errors import ImageError

logger = logging.getLogger(__name__)


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile that output files are tagged with."""
    from PIL import ImageCms  # not built into every Pillow (the in-browser one lacks it)

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def to_srgb(image: Image.Image, name: str) -> tuple[np.ndarray, np.ndarray | None, str | None]:
    """Split off the transparency of an image and convert its colours to sRGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode whose values are colours; its embedded profile is used.
    name : str
        For the message.

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
    profile_bytes = image.info.get("icc_profile")
    image, alpha = _split_alpha(image, name)
    image, profile = _convert_profile(image, profile_bytes)
    return np.asarray(image.convert("RGB")), alpha, profile


def _split_alpha(image: Image.Image, name: str) -> tuple[Image.Image, np.ndarray | None]:
    """Return the image in mode L, RGB or CMYK, and its transparency."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion of 16-bit grey clips everything over 255 to white.
        values, transparent = np.asarray(image), image.info.get("transparency")
        alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
        return Image.fromarray((values >> 8).astype(np.uint8)), alpha
    if image.mode in ("I", "F", "LAB"):
        what = "Lab colours" if image.mode == "LAB" else "32-bit numbers"
        raise ImageError(
            f"{name} holds {what} (mode {image.mode}), which are not shown as they are by any screen. "
            "Save it with 8 or 16 bits a channel in RGB or grey, and retry."
        )
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        return image.getchannel("R") if grey else image.convert("RGB"), alpha
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if grey else "RGB")
    return image, None


def _convert_profile(image: Image.Image, profile_bytes: bytes | None) -> tuple[Image.Image, str | None]:
    if not profile_bytes:
        return image, None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        description = ImageCms.getProfileDescription(profile).strip()
        if "srgb" in description.lower():
            return image, None
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.warning("Colour profile ignored: %s", error)
        return image, None
    return converted or image, description
