"""A row of small pictures to pick one from."""

from __future__ import annotations

from pathlib import Path

import param
from panel.custom import JSComponent


class PictureStrip(JSComponent):
    """Small pictures as buttons, in one row that scrolls.

    Parameters
    ----------
    on_pick : callable
        Called with the `key` of the item that was pressed.
    """

    items = param.List(doc="Dicts with 'key', 'title' (plain text) and 'picture' (a data URL).")

    selected = param.String(doc="Key of the item that is marked as shown.")

    disabled = param.Boolean(doc="Whether the pictures cannot be pressed for now.")

    caption = param.String(doc="Names the row for screen readers; plain text.")

    _esm = Path(__file__).parent / "picture_strip.js"
    _stylesheets = [Path(__file__).parent / "picture_strip.css"]

    def __init__(self, on_pick, **params):
        super().__init__(**params)
        self._on_pick = on_pick

    def _handle_msg(self, msg):
        key = msg.get("pick") if isinstance(msg, dict) else None
        if any(item["key"] == key for item in self.items):  # the message is the browser's: only what is offered counts
            self._on_pick(key)
