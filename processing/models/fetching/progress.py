"""How far the fetching, packing or unpacking of a model is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_EVERY_S = 0.25
_SMOOTHED_OVER_S = 3.0


@dataclass(frozen=True)
class ProgressReport:
    """What a callback is told, a few times a second.

    Parameters
    ----------
    model : str
        Its name.
    step : str
        What is being done, for people: ``Fetching``, ``Waiting``, ``Checking``, ``Converting``, ``Packing`` or
        ``Unpacking``.
    done_bytes, total_bytes : int
        Of all files that are fetched; a total of 0 means unknown. The first may fall, where a server starts over.
    bytes_per_s : float
        Speed, smoothed over some seconds; 0 before there is anything to go by.
    time_left_s : float or None
        Guessed from the speed, in seconds; None where it cannot be.
    note : str
        A sentence on why it waits or tries again; else empty.
    """

    model: str
    step: str
    done_bytes: int = 0
    total_bytes: int = 0
    bytes_per_s: float = 0.0
    time_left_s: float | None = None
    note: str = ""

    @property
    def fraction(self) -> float:
        """How much is done, in [0, 1]; 0 while the total is not known."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0


Callback = Callable[[ProgressReport], None]


class Meter:
    """Counts bytes and calls back.

    Parameters
    ----------
    model : str
        The model's name.
    callback : callable or None
        Is given a `ProgressReport` at each new step, and a few times a second within one.
    clock : callable
        Returns seconds.

    Attributes
    ----------
    total_bytes : int
        Of all files; 0 while unknown.
    base_bytes : int
        Of the files that are done.
    """

    def __init__(self, model: str, callback: Callback | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._model, self._callback, self._clock = model, callback, clock
        self.total_bytes = self.base_bytes = 0
        self._done = self._measured = 0  # bytes; how many of them the speed accounts for
        self._speed = self._weight = 0.0
        self._reported_s = self._measured_s = clock()
        self._step, self._note = "", ""

    def begin(self, step: str, note: str = "") -> None:
        """Tell of a new step at once."""
        self._step, self._note = step, note
        self._report()

    def stand_at(self, done_bytes: int) -> None:
        """Say how much of this file is there without having come just now: it must not count as speed."""
        self._done = self._measured = self.base_bytes + done_bytes
        self._measured_s = self._clock()

    def add(self, size_bytes: int) -> None:
        """Count what has come; 0 where nothing came for a moment."""
        self._done += size_bytes
        if self._clock() - self._reported_s >= _EVERY_S:
            self._measure()
            self._report()

    def _measure(self) -> None:
        now = self._clock()
        seconds = now - self._measured_s
        if seconds <= 0:
            return
        fade = math.exp(-seconds / _SMOOTHED_OVER_S)
        self._speed = fade * self._speed + (1 - fade) * (self._done - self._measured) / seconds
        self._weight = fade * self._weight + (1 - fade)  # nears 1; dividing by it takes the zero at the start out again
        self._measured, self._measured_s = self._done, now

    def _report(self) -> None:
        self._reported_s = self._clock()
        if self._callback is None:
            return
        speed = self._speed / self._weight if self._weight else 0.0
        left = max(0, self.total_bytes - self._done)
        time_left_s = left / speed if self.total_bytes and speed >= 1 else None
        self._callback(
            ProgressReport(self._model, self._step, self._done, self.total_bytes, speed, time_left_s, self._note)
        )
