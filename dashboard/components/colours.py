"""Light or dark, as the visitor's system has it."""

from __future__ import annotations

from pathlib import Path

from panel.custom import JSComponent


class Colours(JSComponent):
    """An invisible part of the page that gives it the system's colours and remembers what the page's switch says."""

    _esm = Path(__file__).parent / "colours.js"

    def __init__(self, **params):
        super().__init__(width=0, height=0, margin=0, sizing_mode="fixed", **params)
