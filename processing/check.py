"""One line of the report of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    subject, finding : str
        What, and what was found.
    ok : bool
        False where something does not work.
    advice : str
        What to do; also what could be better where nothing is wrong.
    """

    subject: str
    ok: bool
    finding: str
    advice: str = ""
