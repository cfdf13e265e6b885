"""Every error and hint the page shows, made in one place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from processing import ProcessingError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """A sentence for the user, and perhaps a button beside it.

    Both texts are plain: whoever shows them escapes them.
    """

    severity: Literal["error", "warning", "info", "success"]
    text: str
    action: str = ""


def notice_of(error: BaseException) -> Notice:
    """Turn an error into a sentence that says what to do next."""
    if isinstance(error, ProcessingError):
        return Notice("error", str(error))
    logger.error("Unexpected error", exc_info=error)
    if isinstance(error, MemoryError):
        return Notice(
            "error", "There is not enough memory for this photo. Scale it down, or close other programs, and retry."
        )
    return Notice(
        "error",
        f"Something unexpected went wrong ({type(error).__name__}). Try again; if it happens again, report it with the "
        "details from the log: the server's, or the browser's console.",
    )


NO_SUBJECT = Notice(
    "warning",
    "No clear subject was found in this photo, so there is nothing to cut out. "
    "Try a photo in which one person, animal or thing stands out from its background.",
)

UNDO = "Undo"


def one_of_several(name: str, remark: Notice | None = None) -> Notice:
    """Tell that of several photos only one was taken; `remark` is what is to be said of that one."""
    sentence = (
        f"One photo at a time: {name} was taken. For a folder of photos there is the command line: "
        "python -m processing batch."
    )
    return Notice("info", sentence) if remark is None else Notice(remark.severity, f"{remark.text} {sentence}")


def deleted(name: str) -> Notice:
    """Tell that a result was deleted, with a way back."""
    return Notice("info", f"The result of {name} was deleted.", UNDO)


def gone(name: str) -> Notice:
    """Tell that the result that was shown has been deleted by somebody else."""
    return Notice("info", f"The result of {name} was deleted, perhaps in another tab. Press Run to make it again.")
