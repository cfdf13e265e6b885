"""A link that gives a file which the browser has already."""

from __future__ import annotations

from pathlib import Path

import param
from panel.custom import JSComponent


class FileLink(JSComponent):
    """Looks like a button; pressing it saves the file under its name. Nothing is pressed while there is no URL."""

    label = param.String(doc="What stands on it, plain text.")

    href = param.String(doc="A blob: URL; empty while there is no file.")

    filename = param.String(doc="Name that the file is saved under.")

    disabled = param.Boolean(doc="Whether there is nothing to download.")

    _esm = Path(__file__).parent / "file_link.js"
    _stylesheets = [Path(__file__).parent / "file_link.css"]
