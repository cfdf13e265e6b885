"""Image and alpha matte to cutout, and a cutout over a background.

A cutout has straight (not premultiplied) alpha: the colour of a half transparent pixel is its own colour, not darkened.
rembg's default cut multiplies the colour by alpha, which leaves a dark halo on light backgrounds (its issue 474).

To add a background that people choose by name: one entry in `BACKGROUNDS`.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from processing.bands import Tick, bands, ignore
from processing.errors import RecipeError
from processing.matte import AlphaMatte

TRANSPARENT = "transparent"

#: Named backgrounds: sRGB colour, or None for transparent.
BACKGROUNDS: dict[str, tuple[int, int, int] | None] = {
    TRANSPARENT: None,
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


def cut_out(image: np.ndarray, alpha: np.ndarray | AlphaMatte, tick: Tick = ignore) -> np.ndarray:
    """Join an image and its alpha matte to a cutout with straight alpha.

    Where alpha rounds to 0 the colour is 0 too: nothing of the old background stays in the file, and it packs better.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB image.
    alpha : ndarray of float32, shape (H, W), or AlphaMatte
        Alpha matte in [0, 1].
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    """
    cutout = np.zeros((*image.shape[:2], 4), np.uint8)
    for rows in bands(len(image), cutout[0].nbytes, tick):
        matte = alpha[rows]
        columns = np.flatnonzero(matte.max(axis=0))
        if not len(columns):
            continue
        span = slice(columns[0], columns[-1] + 1)
        part, levels = cutout[rows, span], np.rint(matte[:, span] * np.float32(255))
        part[..., 3] = levels
        for channel in range(3):  # a channel at a time is faster than all at once, on a server and in a browser
            part[..., channel] = image[rows, span, channel]
        pixel = part.view(np.uint32)[..., 0]
        np.multiply(pixel, levels > 0, out=pixel)
    return cutout


def over(cutout: np.ndarray, colour: tuple[int, int, int], tick: Tick = ignore) -> np.ndarray:
    """Lay a cutout over one colour.

    Parameters
    ----------
    cutout : ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    colour : tuple of int
        sRGB, each 0 to 255.
    tick : callable, optional
        See `processing.bands`.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        Opaque image: alpha * colour of the cutout + (1 - alpha) * `colour`, rounded.
    """
    opaque = np.empty((*cutout.shape[:2], 3), np.uint8)
    for rows in bands(len(cutout), cutout[0].nbytes, tick):
        alpha = cutout[rows, :, 3].astype(np.uint16)
        for channel, value in enumerate(colour):
            # x * a + c * (255 - a) + 127 stays under 65536: 16-bit integers are exact, and half as large as floats.
            mixed = cutout[rows, :, channel] * alpha
            mixed += np.uint16(value) * (255 - alpha)
            mixed += np.uint16(127)
            opaque[rows, :, channel] = mixed // np.uint16(255)
    return opaque


def parse_background(value: str) -> tuple[int, int, int] | None:
    """Turn the name or value of a background into its colour.

    Parameters
    ----------
    value : str
        A name from `BACKGROUNDS`, a CSS colour name, or ``#rgb`` or ``#rrggbb``.

    Returns
    -------
    tuple of int or None
        sRGB colour, or None for transparent.

    Raises
    ------
    RecipeError
        If `value` is none of these.
    """
    if value in BACKGROUNDS:
        return BACKGROUNDS[value]
    unknown = RecipeError(
        f"Unknown background {value!r}. Allowed: {', '.join(BACKGROUNDS)}, a CSS colour name, or #rrggbb."
    )
    try:
        colour = ImageColor.getrgb(value)
    except ValueError as error:
        raise unknown from error
    if len(colour) != 3 or max(colour) > 255:  # half transparent, or outside sRGB: refused rather than bent
        raise unknown
    return colour[0], colour[1], colour[2]
