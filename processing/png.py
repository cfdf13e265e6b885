"""Pixels to a PNG file, with a tenth of the CPU of Pillow's default or less; cutouts of photos stay about as large.

Pillow tries every filter on every row, then zlib looks far back for repeats, of which photos have none. Here numpy
filters all rows alike, a block at a time, and isal packs them: a deflate written for today's processors, told not to
look far. Without isal zlib packs; see `make_compressor`. `tests/benchmarks/png.py` measures it.

The format: Portable Network Graphics (PNG) Specification, third edition, https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from processing.bands import Tick, bands, ignore
from processing.errors import EncodingError

logger = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Colour type of the file for (bytes of a sample, samples of a pixel): grey, RGB and RGBA; section 11.2.1.
COLOUR_TYPES = {(1, 1): 0, (2, 1): 0, (1, 3): 2, (1, 4): 6}

#: Bytes that are filtered at a time: block and result stay in the processor's second cache.
BLOCK_BYTES = 2**18

#: Rows on which the filters are tried: so many bands, spread over the height, of so many rows.
SAMPLE_BANDS, SAMPLE_ROWS = 8, 6

#: Called with the bytes, their left neighbours, the ones above and where to put the result; all uint8, equal shapes.
Filter = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], object]


def _less_average(values: np.ndarray, left: np.ndarray, above: np.ndarray, out: np.ndarray) -> None:
    """Subtract (left + above) // 2, whose sum does not fit into 8 bits: the shared bits plus half of the others do."""
    np.bitwise_xor(left, above, out=out)
    out >>= 1
    out += left & above
    np.subtract(values, out, out=out)


UP = 2

#: What is stored of a byte: its difference from those of the pixels to the left and above; None, Sub, Up and Average of
#: section 9. Paeth, the fifth, needs 16-bit numbers and comparisons: alone it takes more CPU than all the rest here.
FILTERS: dict[int, Filter] = {
    0: lambda values, left, above, out: np.copyto(out, values),
    1: lambda values, left, above, out: np.subtract(values, left, out=out),
    UP: lambda values, left, above, out: np.subtract(values, above, out=out),
    3: _less_average,
}


def encode_png(pixels: np.ndarray, *, icc_profile: bytes = b"", exif: bytes = b"", tick: Tick = ignore) -> bytes:
    """Return the PNG file that `write_png` writes."""
    file = io.BytesIO()
    write_png(file, pixels, icc_profile=icc_profile, exif=exif, tick=tick)
    return file.getvalue()


def write_png(
    file: BinaryIO, pixels: np.ndarray, *, icc_profile: bytes = b"", exif: bytes = b"", tick: Tick = ignore
) -> None:
    r"""Write pixels as a PNG file, without loss: colours under alpha 0 too stay what was handed in.

    Beside the pixels and the file it needs a few MB of memory.

    Parameters
    ----------
    file : binary file
        Where to write.
    pixels : ndarray of uint8, shape (H, W), (H, W, 3) or (H, W, 4), or of uint16, shape (H, W)
        Grey, sRGB, sRGB with straight alpha, or 16-bit grey.
    icc_profile : bytes
        Profile of the colours; none is put in if empty.
    exif : bytes
        EXIF block, with or without its leading ``Exif\0\0``; none is put in if empty.
    tick : callable, optional
        See `processing.bands`.

    Raises
    ------
    EncodingError
        If `pixels` has another type or shape.
    """
    for piece in make_pieces(pixels, icc_profile=icc_profile, exif=exif, tick=tick):
        file.write(piece)


def make_pieces(
    pixels: np.ndarray, *, icc_profile: bytes = b"", exif: bytes = b"", quick: bool = False, tick: Tick = ignore
) -> Iterator[bytes]:
    """Yield the file that `write_png` writes, a piece at a time, for who has other things to do in between.

    With `quick`, nothing is tried on a sample: every row takes the filter Up, and repeats are looked for nearby.
    """
    colour_type = _colour_type(pixels)
    height, width = pixels.shape[:2]
    yield SIGNATURE
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colour_type, 0, 0, 0))
    if icc_profile:
        yield _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if exif:
        yield _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    filter_type, far = (UP, False) if quick else choose(pixels)
    compressor = make_compressor(far)
    for rows in bands(height, pixels[0].nbytes, tick, band_bytes=BLOCK_BYTES):
        if packed := compressor.compress(_filtered(pixels, rows.start, rows.stop, filter_type)):
            yield _chunk(b"IDAT", packed)
    yield _chunk(b"IDAT", compressor.flush())
    yield _chunk(b"IEND", b"")


def _colour_type(pixels: np.ndarray) -> int:
    samples = 1 if pixels.ndim == 2 else pixels.shape[2] if pixels.ndim == 3 else 0
    colour_type = COLOUR_TYPES.get((pixels.itemsize, samples)) if pixels.dtype.kind == "u" else None
    if colour_type is None or pixels.size == 0:
        raise EncodingError(
            f"Pixels of type {pixels.dtype} and shape {pixels.shape} cannot be stored as PNG. Give uint8 of shape "
            "(H, W), (H, W, 3) or (H, W, 4), or uint16 of shape (H, W); at least one pixel."
        )
    return colour_type


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc32 = codec().crc32
    return b"".join((struct.pack(">I4s", len(data), kind), data, struct.pack(">I", crc32(data, crc32(kind)))))


def choose(pixels: np.ndarray) -> tuple[int, bool]:
    """Find the filter, and whether to look far for repeats, that pack a sample of the rows best.

    For photos that is Average and near: noise repeats nothing, and a chance match far away costs more than the bytes it
    replaces. Smooth pictures and mattes want Up, masks None, screenshots None and far.

    Parameters
    ----------
    pixels : ndarray
        As in `write_png`.

    Returns
    -------
    filter_type : int
        A key of `FILTERS`.
    far : bool
        For `make_compressor`.
    """
    height, sizes = len(pixels), {}
    starts = sorted({height * band // SAMPLE_BANDS for band in range(SAMPLE_BANDS)})
    for filter_type in FILTERS:
        compressors = {far: make_compressor(far) for far in (False, True)}
        packed = dict.fromkeys(compressors, 0)
        for start in starts:
            band = _filtered(pixels, start, min(start + SAMPLE_ROWS, height), filter_type)
            for far, compressor in compressors.items():
                packed[far] += len(compressor.compress(band))
        for far, compressor in compressors.items():
            sizes[filter_type, far] = packed[far] + len(compressor.flush())
    return min(sizes, key=lambda choice: sizes[choice])


def _filtered(pixels: np.ndarray, start: int, stop: int, filter_type: int) -> np.ndarray:
    """Return the rows from `start` to `stop` as they go into the file: the filter's type, then the filtered bytes.

    ::

        0 0 0 0 | the row above     a zero pixel to the left; zeros above the first row
        0 0 0 0 | row `start`
        0 0 0 0 | ...
    """
    first = max(start - 1, 0)  # also the row above, if there is one
    rows = np.ascontiguousarray(pixels[first:stop], pixels.dtype.newbyteorder(">"))
    rows = rows.view(np.uint8).reshape(len(rows), -1)
    stored = np.empty((stop - start, 1 + pixels[0].nbytes), np.uint8)
    stored[:, 0] = filter_type
    if filter_type == UP and start > 0:  # needs no neighbours to the left, so no copy with room for them
        FILTERS[UP](rows[1:], rows[1:], rows[:-1], stored[:, 1:])
        return stored
    step = pixels[0, 0].nbytes
    padded = np.empty((1 + stop - start, step + pixels[0].nbytes), np.uint8)
    padded[:, :step] = 0
    padded[0] = 0
    padded[first - stop :, step:] = rows
    FILTERS[filter_type](padded[1:, step:], padded[1:, :-step], padded[:-1, step:], stored[:, 1:])
    return stored


def make_compressor(far: bool) -> Any:
    """Return a zlib stream that packs quickly.

    Parameters
    ----------
    far : bool
        Look for repeats 32 kB back, which suits drawings, rather than nearby only, which suits photos: 512 bytes with
        isal; with zlib, which is slow at short matches, runs of one byte.

    Returns
    -------
    object with `compress` and `flush`
        isal's or zlib's.
    """
    if codec() is zlib:
        return zlib.compressobj(1, zlib.DEFLATED, strategy=zlib.Z_DEFAULT_STRATEGY if far else zlib.Z_RLE)
    # Levels 2 and 3 take longer and pack filtered photos no better; 0 leaves out the codes made for the picture.
    return codec().compressobj(1, zlib.DEFLATED, 15 if far else 9)


@cache
def codec() -> ModuleType:
    """Return isal's zlib module, or Python's where isal has no package: slower, and as valid."""
    try:
        from isal import isal_zlib
    except ImportError as error:
        logger.debug("PNG files are packed by zlib, which takes longer than isal: %s", error)
        return zlib
    return isal_zlib
