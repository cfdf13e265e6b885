"""How a batch stands while it runs, and how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo, or a folder, of which no cutout was made.

    Parameters
    ----------
    input : str
        Its path inside the input folder, with ``/`` between the parts.
    reason : str
        A sentence: what was wrong and what to do.
    """

    input: str
    reason: str


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Parameters
    ----------
    total : int
        Photos in the input folder.
    skipped : int
        Those whose cutouts were there already.
    made, failed : int
        Those that this run has finished.
    seconds : float
        How long it has run.
    """

    total: int
    skipped: int
    made: int
    failed: int
    seconds: float

    @property
    def finished(self) -> int:
        """Photos that need nothing more."""
        return self.skipped + self.made + self.failed

    @property
    def images_per_s(self) -> float:
        """Cutouts made in a second, on average; 0 before the first."""
        return self.made / self.seconds if self.seconds > 0 else 0.0

    @property
    def time_left_s(self) -> float | None:
        """A guess from the speed so far, in seconds; None before there is anything to go by."""
        return (self.total - self.finished) / self.images_per_s if self.images_per_s else None


@dataclass(frozen=True)
class BatchReport:
    """How a batch ended.

    Parameters
    ----------
    input, output : str
        The two folders.
    total : int
        Photos in the input folder: those made, skipped, failed and left add up to it.
    made : int
        Cutouts made by this run.
    skipped : int
        Cutouts that were there already, made of the same photo with the same recipe and weights.
    failures : tuple of Failure
        What could not be made, and why; folders that could not be listed stand here too.
    left : int
        Photos that were not come to, because somebody stopped the run.
    without_subject : tuple of str
        Photos of this run in which no clear subject was found. Their cutouts are made, and empty.
    other_files : int
        Files in the input folder that are hidden or no photos by their names.
    linked_folders : tuple of str
        Links to folders, which were not entered.
    interrupted : bool
        Whether somebody stopped the run.
    backend : str
        Key of `processing.batch.executors.BACKENDS`.
    workers : int
        Photos that were worked on at the same time, at most.
    seconds : float
        How long the run took.
    """

    input: str
    output: str
    total: int
    made: int
    skipped: int
    failures: tuple[Failure, ...]
    left: int
    without_subject: tuple[str, ...]
    other_files: int
    linked_folders: tuple[str, ...]
    interrupted: bool
    backend: str
    workers: int
    seconds: float

    @property
    def images_per_s(self) -> float:
        """Cutouts made in a second, on average."""
        return self.made / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        values = asdict(self)
        rounded = {"seconds": round(self.seconds, 3), "images_per_s": round(self.images_per_s, 3)}
        return {**values, "failed": len(self.failures), "no_subject": len(self.without_subject), **rounded}
