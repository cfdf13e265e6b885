"""One queue of work for the whole process; pages only look at it."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ProcessingError, QueueError

logger = logging.getLogger(__name__)

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
FINISHED = (DONE, FAILED, CANCELLED)

#: How much of a job must be done, and how long it must have run, before its end is guessed.
_FAIR_FRACTION, _FAIR_S = 0.1, 2.0


class Job:
    """A piece of work in the queue.

    The working thread writes it, any other thread may read it. It always ends in one of `FINISHED`.

    Parameters
    ----------
    task : callable
        The work; it is given this job, so that it can call `report` and look at `cancel_token`.
    owner : str
        Who asked for it; the queue is fair between owners.
    kind : str
        What sort of work it is, so that a page can find its own again.
    payload : object
        What such a page needs to know about it; dropped when the job is finished.
    """

    def __init__(self, task: Callable[[Job], Any], owner: str = "", kind: str = "", payload: Any = None) -> None:
        self.owner = owner
        self.kind = kind
        self.payload = payload
        self.cancel_token = CancelToken()
        self.state = QUEUED
        self.step = "Waiting"
        self.fraction = 0.0
        self.result: Any = None
        self.early: Any = None
        self.error: BaseException | None = None
        self.future: Future[None] = Future()
        self._task: Callable[[Job], Any] | None = task
        self._started: float | None = None
        self._expected_end = math.inf
        self._lock = threading.RLock()  # a callback of the future may cancel its own job

    @property
    def is_finished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in FINISHED

    def report(self, step: str, fraction: float) -> None:
        """Tell which step began and what fraction of the job is done, in [0, 1]."""
        if fraction > self.fraction:  # a step that repeats itself says nothing about the speed
            self._expect_end(fraction)
        self.step, self.fraction = step, fraction

    def publish(self, value: Any) -> None:
        """Give out as `early` what can be shown while the rest is being done."""
        self.early = value

    def cancel(self) -> None:
        """Ask the job to stop: at once while it is queued, at the next opportunity while it runs."""
        self.cancel_token.cancel()
        with self._lock:
            if self.state == QUEUED:
                self._finish(CANCELLED)

    def time_left_s(self) -> float | None:
        """Guess the seconds that are left from the speed so far; None while there is no fair guess.

        It never rises: the earliest end that was guessed is kept, and once that has passed nothing more is said.
        """
        left = self._expected_end - time.monotonic()
        return left if self.state == RUNNING and 0 <= left < math.inf else None

    def _expect_end(self, fraction: float) -> None:
        if self._started is None:
            return
        elapsed = time.monotonic() - self._started
        if fraction >= _FAIR_FRACTION and elapsed >= _FAIR_S:
            self._expected_end = min(self._expected_end, self._started + elapsed / fraction)

    def run(self) -> None:
        """Do the work and keep how it ended. Called by the queue, once."""
        task = self._begin()
        if task is not None:
            with self._keep_outcome():
                self.result = task(self)

    async def run_async(self) -> None:
        """Do the work of a job whose task is a coroutine function, as `run` does that of others."""
        task = self._begin()
        if task is not None:
            with self._keep_outcome():
                self.result = await task(self)

    def _begin(self) -> Callable[[Job], Any] | None:
        with self._lock:
            if self._task is not None:  # else cancelled while it was queued
                self.state, self._started = RUNNING, time.monotonic()
            return self._task

    @contextmanager
    def _keep_outcome(self) -> Iterator[None]:
        try:
            yield
            self._finish(DONE)
        except Cancelled:
            self._finish(CANCELLED)
        except BaseException as error:  # whatever went wrong, SystemExit too: the page must hear of it
            level = logging.DEBUG if isinstance(error, ProcessingError) else logging.ERROR
            logger.log(level, "A job of kind %r failed", self.kind, exc_info=True)
            self.error = error
            _forget_frames(error)
            self._finish(FAILED)

    def _finish(self, state: str) -> None:
        self._task = self.payload = self.early = None  # a finished job must not keep the photo alive
        self.fraction, self.state = 1.0, state
        self.future.set_result(None)


def _forget_frames(error: BaseException | None) -> None:
    """Drop the frames that an error and its causes hold: they keep the task alive, and the photo with it."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


class JobQueue:
    """Runs jobs, fair between owners: each owner that waits gets one job done in turn.

    Parameters
    ----------
    workers : int
        Jobs that run at the same time.
    max_per_owner : int
        Jobs that one owner may have in the queue, those that run included.
    """

    def __init__(self, workers: int = 1, max_per_owner: int = 8) -> None:
        self.max_per_owner = max_per_owner
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._lock = threading.Lock()
        self._running: list[Job] = []
        # Owner to waiting jobs. The order of the owners is the order of their turns.
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()

    def submit(self, task: Callable[[Job], Any], *, owner: str = "", kind: str = "", payload: Any = None) -> Job:
        """Put a piece of work at the end of its owner's line.

        Parameters
        ----------
        task : callable
            Called with its `Job` in a working thread; what it returns becomes `Job.result`.
        owner, kind, payload
            See `Job`.

        Raises
        ------
        QueueError
            If the owner has `max_per_owner` jobs in the queue already.
        """
        job = Job(task, owner, kind, payload)
        with self._lock:
            if len(self._jobs_of(owner)) >= self.max_per_owner:
                raise QueueError(
                    f"You have {self.max_per_owner} jobs in the queue, which is the limit. "
                    "Wait until one is done, or cancel one, and retry."
                )
            self._waiting.setdefault(owner, deque()).append(job)
        self._start_one()
        return job

    def _start_one(self) -> None:
        self._executor.submit(self._run_next)

    def find(self, owner: str, kind: str) -> Job | None:
        """Return the owner's newest unfinished job of a kind, or None."""
        with self._lock:
            return next((job for job in reversed(self._jobs_of(owner)) if job.kind == kind), None)

    def position(self, job: Job) -> int:
        """Return how many jobs start before this one, as things stand; 0 when it is next or no longer waits."""
        with self._lock:
            own = self._line(job.owner)
            if job not in own:
                return 0
            round_number, before_own_turn, ahead = own.index(job), True, own.index(job)
            for owner in self._waiting:
                if owner == job.owner:
                    before_own_turn = False
                else:
                    ahead += min(len(self._line(owner)), round_number + before_own_turn)
            return ahead

    def _line(self, owner: str) -> list[Job]:
        return [job for job in self._waiting.get(owner, ()) if job.state == QUEUED]

    def _jobs_of(self, owner: str) -> list[Job]:
        running = [job for job in self._running if job.owner == owner and not job.is_finished]
        return running + self._line(owner)

    def _run_next(self) -> None:
        with self._next() as job:
            if job is not None:
                job.run()

    @contextmanager
    def _next(self) -> Iterator[Job | None]:
        """Give the job whose turn it is. Asked for as often as `submit`; none where jobs were cancelled meanwhile."""
        with self._lock:
            job = self._take()
            if job is not None:
                self._running.append(job)
        try:
            yield job
        finally:
            if job is not None:
                with self._lock:
                    self._running.remove(job)

    def _take(self) -> Job | None:
        while self._waiting:
            owner, line = self._waiting.popitem(last=False)
            while line and line[0].state != QUEUED:
                line.popleft()
            if line:
                job = line.popleft()
                if line:
                    self._waiting[owner] = line  # its next turn comes after everybody else's
                return job
        return None


class LoopQueue(JobQueue):
    """Runs jobs one after the other on the event loop, for where there are no threads.

    Their tasks are coroutine functions. A task must let the loop go on now and then, or nobody can cancel it.
    """

    def __init__(self, max_per_owner: int = 8) -> None:
        super().__init__(max_per_owner=max_per_owner)
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly

    def _start_one(self) -> None:
        task = asyncio.ensure_future(self._run_next_async())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_next_async(self) -> None:
        async with self._turn:
            with self._next() as job:
                if job is not None:
                    await job.run_async()


@cache
def default_queue() -> JobQueue:
    """Return the queue of this process. Two workers: a short job need not wait for the end of a long one."""
    return JobQueue(workers=2)
