"""One sentence for the user, with a cross to close it."""

from __future__ import annotations

from pathlib import Path

import param
from panel.custom import JSComponent


class NoticeBar(JSComponent):
    """Shows a sentence as plain text, and perhaps a button beside it.

    Parameters
    ----------
    on_action : callable
        Called without arguments when the button is pressed.

    Panel's and Material UI's alerts render their text as HTML (the latter even undoes an escape first), and our
    sentences hold file names that come from anywhere.
    """

    text = param.String(doc="The sentence, plain text; nothing is shown while it is empty.")

    action = param.String(doc="Text of the button, plain text; there is no button while it is empty.")

    severity = param.Selector(default="info", objects=["error", "warning", "info", "success"], doc="How bad it is.")

    _esm = Path(__file__).parent / "notice_bar.js"
    _stylesheets = [Path(__file__).parent / "notice_bar.css"]

    def __init__(self, on_action, **params):
        super().__init__(**params)
        self._on_action = on_action

    def _handle_msg(self, msg):
        if self.action and msg == "act":
            self._on_action()
