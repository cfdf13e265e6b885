"""Where photos are worked on: a table of `concurrent.futures` executors.

To add a backend: a context manager that opens its executor, and one entry in `BACKENDS`. Left normally, it waits for
its workers; left by an exception, it stops them at once, and an output is still whole or not there.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from processing.batch.worker import start_worker
from processing.errors import ModelError

_GRACE_S = 0.6  # what a worker gets to leave by itself, before it is killed
_MOST_PROCESSES = 61  # Windows cannot wait for more


@dataclass(frozen=True)
class Backend:
    """A kind of executor.

    Parameters
    ----------
    open : callable
        Opens it for a number of workers, the name of a model and the choice of a provider.
    shares_memory : bool
        Whether its workers see the `CancelToken` of the run.
    """

    open: Callable[[int, str, str], AbstractContextManager[Executor]]
    shares_memory: bool


class SerialExecutor(Executor):
    """Does each call when it is submitted, in the same thread: for debuggers and profilers."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _open_serial(workers: int, model: str, provider: str) -> Iterator[Executor]:
    with SerialExecutor() as executor:
        yield executor


@contextmanager
def _open_threads(workers: int, model: str, provider: str) -> Iterator[Executor]:
    executor = ThreadPoolExecutor(workers, thread_name_prefix="batch")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _open_processes(workers: int, model: str, provider: str) -> Iterator[Executor]:
    # Spawned, never forked: onnxruntime and this process have threads, whose locks a fork would copy as they are.
    context, workers = _Context(), min(workers, _MOST_PROCESSES)
    threads = max(1, core_count() // workers)
    executor = ProcessPoolExecutor(workers, context, start_worker, (model, threads, provider))
    started: list[Future[int]] = []
    try:
        with _interrupts_held():
            started += (executor.submit(os.getpid) for _ in range(workers))
        yield executor
    except BaseException as error:
        _end_now(context.processes)
        executor.shutdown()
        has_worked = any(each.done() and each.exception() is None for each in started)
        if isinstance(error, (BrokenProcessPool, OSError)) and not has_worked:
            raise ModelError(
                f"The worker processes cannot be started ({error}). Where memory is short, retry with fewer than "
                f"{workers} workers, or with 1, which needs no process. A script of one's own must call this under "
                'if __name__ == "__main__":'
            ) from error
        raise
    executor.shutdown()


BACKENDS = {
    "serial": Backend(_open_serial, shares_memory=True),
    "threads": Backend(_open_threads, shares_memory=True),
    "processes": Backend(_open_processes, shares_memory=False),
}


def core_count() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Context(SpawnContext):
    """Starts processes and remembers them: a pool of Python 3.11 to 3.13 cannot be told to kill its own."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*args, **kwargs)
        self.processes.append(process)
        return process


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, not even while they load; for this one it comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_now(processes: Sequence[SpawnProcess]) -> None:
    running = [process for process in processes if process.pid is not None]
    for process in running:
        process.terminate()
    until_s = time.monotonic() + _GRACE_S
    while time.monotonic() < until_s and any(process.is_alive() for process in running):
        time.sleep(0.02)
    for process in running:
        process.kill()
