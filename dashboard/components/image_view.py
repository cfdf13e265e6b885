"""A picture on a chosen backdrop."""

from __future__ import annotations

from pathlib import Path

import param
from panel.custom import JSComponent


class ImageView(JSComponent):
    """Shows one picture, or a hint where there is none yet.

    The backdrop lies behind the picture's transparent parts only; changing it costs nothing, no pixel is sent again.
    """

    picture = param.Bytes(default=None, allow_None=True, doc="A WebP file, or None.")

    backdrop = param.String(default="transparent", doc="'transparent' shows a checkerboard; else a CSS colour.")

    title = param.String(doc="Stands over the picture and is its alternative text; plain text.")

    hint = param.String(doc="Shown while there is no picture; plain text.")

    _esm = Path(__file__).parent / "image_view.js"
    _stylesheets = [Path(__file__).parent / "image_view.css"]
