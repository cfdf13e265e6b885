"""One queue of work for the whole process; pages only look at it."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from processing.cancellation import CancelToken
from processing.errors import Cancelled

logger = logging.getLogger(__name__)

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
FINISHED = (DONE, FAILED, CANCELLED)


class Job:
    """A piece of work in the queue.

    The working thread writes it, any other thread may read it. It always ends in one of `FINISHED`.

    Parameters
    ----------
    number : int
        Its place in the order of arrival.
    task : callable
        The work; it is given this job, so that it can call `report` and look at `cancel_token`.
    """

    def __init__(self, number: int, task: Callable[[Job], Any]) -> None:
        self.number = number
        self.cancel_token = CancelToken()
        self.state = QUEUED
        self.step = "Waiting"
        self.fraction = 0.0
        self.result: Any = None
        self.error: Exception | None = None
        self.future: Future[None] = Future()
        self._task: Callable[[Job], Any] | None = task
        self._started: float | None = None
        self._lock = threading.Lock()

    @property
    def is_finished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in FINISHED

    def report(self, step: str, fraction: float) -> None:
        """Tell which step began and what fraction of the job is done, in [0, 1]."""
        self.step, self.fraction = step, fraction

    def cancel(self) -> None:
        """Ask the job to stop: at once while it is queued, at the next opportunity while it runs."""
        self.cancel_token.cancel()
        with self._lock:
            if self.state == QUEUED:
                self._finish(CANCELLED)

    def time_left_s(self) -> float | None:
        """Guess the seconds that are left from the speed so far; None before there is anything to go by."""
        if self._started is None or self.fraction <= 0:
            return None
        return (time.monotonic() - self._started) * (1 - self.fraction) / self.fraction

    def run(self) -> None:
        """Do the work and keep how it ended. Called by the queue, once."""
        with self._lock:
            if self._task is None:  # cancelled while it was queued
                return
            task = self._task
            self.state, self._started = RUNNING, time.monotonic()
        try:
            self.result = task(self)
            self._finish(DONE)
        except Cancelled:
            self._finish(CANCELLED)
        except Exception as error:  # whatever went wrong, the page must hear of it
            logger.debug("Job %d failed", self.number, exc_info=True)
            self.error = error
            self._finish(FAILED)

    def _finish(self, state: str) -> None:
        self._task = None  # a finished job must not keep the photo alive
        self.fraction, self.state = 1.0, state
        self.future.set_result(None)


class JobQueue:
    """Runs jobs in the order they arrive.

    Parameters
    ----------
    workers : int
        Jobs that run at the same time. One run keeps all cores busy, so one is right for a CPU.
    """

    def __init__(self, workers: int = 1) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[Job] = []

    def submit(self, task: Callable[[Job], Any]) -> Job:
        """Put a piece of work at the end of the queue.

        Parameters
        ----------
        task : callable
            Called with its `Job` in a working thread; what it returns becomes `Job.result`.
        """
        with self._lock:
            job = Job(next(self._numbers), task)
            self._waiting.append(job)
        self._executor.submit(self._run, job)
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs wait before this one; 0 when it is next or no longer waits."""
        with self._lock:
            if job.state != QUEUED:
                return 0
            return sum(other.number < job.number and other.state == QUEUED for other in self._waiting)

    def _run(self, job: Job) -> None:
        with self._lock:
            self._waiting.remove(job)
        job.run()


@cache
def default_queue() -> JobQueue:
    """Return the queue of this process."""
    return JobQueue()
