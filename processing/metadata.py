"""What the camera wrote about a photo, for the cutout: nothing unless asked, the place only if asked for again."""

from __future__ import annotations

import io
import logging

from PIL import Image
from PIL.ExifTags import IFD, Base

from processing.formats import find_format

logger = logging.getLogger(__name__)

#: Of a file's own tags only those that describe the photo. The others describe how the old file was laid out; the
#: orientation was applied to the pixels.
_KEPT = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.Copyright,
)

#: Of the shot's tags not the maker's own block, which may hold the place or a name, nor the old size.
_DROPPED = (Base.MakerNote, Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset)


def kept_exif(data: bytes, *, keep_location: bool) -> bytes:
    """Return the EXIF block for a cutout.

    Parameters
    ----------
    data : bytes
        The photo's file, one that `processing.images.decode` has accepted.
    keep_location : bool
        Whether the place (GPS) stays in it.

    Returns
    -------
    bytes
        An EXIF block without orientation, thumbnail and maker's notes; empty if the photo has no such data, or broken
        ones.
    """
    try:
        return _kept_exif(data, keep_location)
    except Exception as error:  # as in `processing.images`: which errors a broken block provokes is not documented
        logger.warning("EXIF data left out: %s", error)
        return b""


def _kept_exif(data: bytes, keep_location: bool) -> bytes:
    image_format = find_format(data[:512])
    if image_format is None:
        return b""
    with image_format.open(io.BytesIO(data)) as image:
        found = image.getexif()
        kept = Image.Exif()
        kept.update({tag: found[tag] for tag in _KEPT if tag in found})
        shot = {tag: value for tag, value in found.get_ifd(IFD.Exif).items() if tag not in _DROPPED}
        place = found.get_ifd(IFD.GPSInfo) if keep_location else {}
    for ifd, values in ((IFD.Exif, shot), (IFD.GPSInfo, place)):
        if values:
            kept.get_ifd(ifd).update(values)
    return kept.tobytes() if any((kept, shot, place)) else b""
