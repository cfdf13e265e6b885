"""How far a download, or the packing of models, is: shown on a terminal or as lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from processing.cli.progress import clock
from processing.models.fetching.progress import ProgressReport
from processing.models.integrity import readable_size

_LINE_EVERY_S = 10.0

Display = Callable[[ProgressReport], None]


@contextmanager
def open_display(stream: TextIO | None) -> Iterator[Display | None]:
    """Give a callback that draws a bar on a terminal and writes lines elsewhere; None where there is no stream."""
    if stream is None:
        yield None
    elif stream.isatty():
        display = _Bar(stream)
        try:
            yield display
        finally:
            display.close()
    else:
        yield _Lines(stream)


class _Bar:
    """A bar with speed and time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None
        self._note = ""

    def __call__(self, report: ProgressReport) -> None:
        """Draw."""
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(unit="B", unit_scale=True, file=self._stream, dynamic_ncols=True, miniters=1)
        if report.note and report.note != self._note and report.step == "Waiting":
            self._bar.write(f"{report.model}: {report.note}", file=self._stream)
        self._note = report.note
        self._bar.total = report.total_bytes or None
        self._bar.set_description(f"{report.model}, {report.step.lower()}", refresh=False)
        self._bar.update(report.done_bytes - self._bar.n)  # it may have fallen: the server started over
        self._bar.refresh()

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        if self._bar is not None:
            self._bar.close()


class _Lines:
    """A line at each new step, and every ten seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: tuple[str, str, str] | None = None
        self._next_s = 0.0

    def __call__(self, report: ProgressReport) -> None:
        """Write a line, if it is time to."""
        state = (report.model, report.step, report.note)
        if state == self._drawn and time.monotonic() < self._next_s:
            return
        self._drawn, self._next_s = state, time.monotonic() + _LINE_EVERY_S
        self._stream.write(f"{report.model}: {line(report)}\n")
        self._stream.flush()


def line(report: ProgressReport) -> str:
    """Return ``fetching, 45 MB of 176 MB, 5.1 MB a second, 0:26 left``."""
    parts = [report.step.lower()]
    if report.done_bytes and report.total_bytes:
        parts.append(f"{readable_size(report.done_bytes)} of {readable_size(report.total_bytes)}")
    elif report.done_bytes or report.total_bytes:
        parts.append(readable_size(report.done_bytes or report.total_bytes))
    if report.bytes_per_s:
        parts.append(f"{readable_size(round(report.bytes_per_s))} a second")
    if report.time_left_s is not None:
        parts.append(f"{clock(report.time_left_s)} left")
    return ", ".join(parts) + (f". {report.note}" if report.note else "")
