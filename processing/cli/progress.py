"""The progress bar of a batch."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from processing.batch import BatchProgress

_WIDTH = 24


class ProgressBar:
    """Draws how far a batch is: a bar several times a second on a terminal, elsewhere a line every ten seconds.

    Parameters
    ----------
    stream : file
        Where to, as a rule standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._every_s = 0.2 if self._is_terminal else 10.0
        self._next_s = 0.0 if self._is_terminal else time.monotonic() + self._every_s
        self._drawn: BatchProgress | None = None

    def __call__(self, progress: BatchProgress) -> None:
        """Draw, if it is time to."""
        # The end is drawn at once, and once, after anything else was.
        is_end = self._drawn is not None and self._drawn.finished < progress.finished == progress.total
        if time.monotonic() < self._next_s and not is_end:
            return
        self._next_s, self._drawn = time.monotonic() + self._every_s, progress
        if self._is_terminal:
            columns = shutil.get_terminal_size().columns - 1
            self._stream.write("\r" + f"{bar(progress)} {text(progress)}"[:columns].ljust(columns))
        else:
            self._stream.write(text(progress) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the last state of a bar on the screen and begin a new line."""
        if self._is_terminal and self._drawn is not None:
            self._stream.write("\n")
            self._stream.flush()


def bar(progress: BatchProgress) -> str:
    """Return ``[######------]``."""
    filled = _WIDTH * progress.finished // max(progress.total, 1)
    return f"[{'#' * filled}{'-' * (_WIDTH - filled)}]"


def text(progress: BatchProgress) -> str:
    """Return ``12 of 40, 2 failed, 3.1 images per second, 0:09 left``."""
    parts = [f"{progress.finished} of {progress.total}"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.time_left_s is not None:
        parts.append(f"{progress.images_per_s:.1f} images per second")
        parts.append(f"{clock(progress.time_left_s)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return ``0:09`` or ``2:00:09``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
