"""The app's icons: a figure cut out of a chequered square, the sign for transparency."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

_TEAL, _LIGHT, _DARK = "#115e59", "#ffffff", "#ccfbf1"
_UNITS = 16  # the drawing is made on a square of so many units
_OVERSAMPLING = 4


def draw_icon(side: int, *, bleeds: bool = False) -> bytes:
    """Return a square PNG file.

    Parameters
    ----------
    side : int
        Its width and height, in pixels.
    bleeds : bool
        Fill the corners too: systems that cut icons to their own shape ("maskable") want that.
    """
    scale = side * _OVERSAMPLING / _UNITS
    image = Image.new("RGBA", (side * _OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(image)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        return left * scale, top * scale, right * scale - 1, bottom * scale - 1

    draw.rounded_rectangle(box(0, 0, _UNITS, _UNITS), radius=0 if bleeds else 3 * scale, fill=_TEAL)
    for row in range(4):
        for column in range(4):
            colour = _LIGHT if (row + column) % 2 == 0 else _DARK
            draw.rectangle(box(4 + 2 * column, 4 + 2 * row, 6 + 2 * column, 6 + 2 * row), fill=colour)
    draw.ellipse(box(6.25, 4.75, 9.75, 8.25), fill=_TEAL)
    draw.pieslice(box(4.75, 8.75, 11.25, 15.25), 180, 360, fill=_TEAL)
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.BOX).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
