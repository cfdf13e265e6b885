"""Image and alpha matte to cutout, and a cutout over a background.

A cutout has straight (not premultiplied) alpha: the colour of a half transparent pixel is its own colour, not darkened.
rembg's default cut multiplies the colour by alpha, which leaves a dark halo on light backgrounds (its issue 474).

To add a background that people choose by name: one entry in `BACKGROUNDS`.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from processing.errors import RecipeError

TRANSPARENT = "transparent"

#: Named backgrounds: sRGB colour, or None for transparent.
BACKGROUNDS: dict[str, tuple[int, int, int] | None] = {
    TRANSPARENT: None,
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


def cut_out(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Join an image and its alpha matte to a cutout with straight alpha.

    Where alpha rounds to 0 the colour is 0 too: nothing of the old background stays in the file, and it packs better.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB image.
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].

    Returns
    -------
    ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    """
    cutout = np.empty((*alpha.shape, 4), np.uint8)
    cutout[..., 3] = np.rint(alpha * np.float32(255))
    visible = cutout[..., 3] > 0
    for channel in range(3):  # a channel at a time is much faster than one masked assignment
        np.multiply(image[..., channel], visible, out=cutout[..., channel])
    return cutout


def over(cutout: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Lay a cutout over one colour.

    Parameters
    ----------
    cutout : ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    colour : tuple of int
        sRGB, each 0 to 255.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        Opaque image: alpha * colour of the cutout + (1 - alpha) * `colour`, rounded.
    """
    alpha = cutout[..., 3:].astype(np.uint16)
    # x * a + c * (255 - a) + 127 stays under 65536: 16-bit integers are exact and take half the memory of floats.
    mixed = cutout[..., :3] * alpha + np.asarray(colour, np.uint16) * (255 - alpha) + 127
    return (mixed // 255).astype(np.uint8)


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
