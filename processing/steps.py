"""The steps of a run: timed, reported as they go on, and stopped when somebody asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from processing.bands import Tick
from processing.cancellation import CancelToken

#: Called with the name of the step and the fraction of the whole that is done, in [0, 1]: as a step begins, and at
#: least twice a second while it lasts. A step that cannot tell how far it is repeats itself, from a thread of its own.
Progress = Callable[[str, float], None]

_REPORT_EVERY_S = 0.1
_REPEAT_AFTER_S = 0.3


class Steps:
    """Runs steps one after the other.

    ::

        steps = Steps(progress, cancel)
        with steps("Reading the photo", 0.0, 0.4, "decode") as tick:
            ...  # calls tick(share) where it can

    Parameters
    ----------
    progress : callable, optional
        See `Progress`.
    cancel : CancelToken, optional
        Looked at before each step and at each tick.
    repeat : bool
        Whether a thread repeats what was told last while a step does not tick; False where there are no threads.

    Attributes
    ----------
    progress, cancel
        Those that were given; if no token was, one that nobody sets.
    timings_s : dict of str to float
        Seconds of the steps so far.
    """

    def __init__(
        self, progress: Progress | None = None, cancel: CancelToken | None = None, *, repeat: bool = True
    ) -> None:
        self.cancel = cancel or CancelToken()
        self.timings_s: dict[str, float] = {}
        self.progress = progress
        self._repeat = repeat

    @contextmanager
    def __call__(self, title: str, start: float, end: float, key: str) -> Iterator[Tick]:
        """Do the step that takes the whole from the fraction `start` to `end`; its time is kept under `key`."""
        self.cancel.raise_if_cancelled()
        report = _Report(self.progress, title, start, end, self._repeat) if self.progress else None
        started = time.perf_counter()

        def tick(share: float) -> None:
            self.cancel.raise_if_cancelled()
            if report:
                report.tell(share)

        with report or nullcontext():
            yield tick
        self.timings_s[key] = time.perf_counter() - started


class _Report:
    """Tells how far one step is, neither too often nor too seldom."""

    def __init__(self, progress: Progress, title: str, start: float, end: float, repeat: bool) -> None:
        self._progress, self._title, self._start, self._end = progress, title, start, end
        self._fraction, self._told = start, float("-inf")
        self._over = threading.Event()
        self._repeater = threading.Thread(target=self._repeat, daemon=True) if repeat else None

    def tell(self, share: float) -> None:
        self._fraction = self._start + (self._end - self._start) * share
        if time.perf_counter() - self._told >= _REPORT_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told = time.perf_counter()
        self._progress(self._title, self._fraction)

    def _repeat(self) -> None:
        while not self._over.wait(_REPORT_EVERY_S):
            if time.perf_counter() - self._told >= _REPEAT_AFTER_S:
                self._tell()

    def __enter__(self) -> None:
        self._tell()
        if self._repeater is not None:
            self._repeater.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._repeater is not None:
            self._repeater.join()
