"""What a worker does: one photo at a time, from file to file."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ImageError, ModelError, ProcessingError, StoreError
from processing.files import write_atomically
from processing.images import DecodeLimits, read_input
from processing.models import find_model
from processing.pipeline import run
from processing.recipe import Recipe
from processing.sessions.pool import default_pool

logger = logging.getLogger(__name__)

_PATIENCE_S = 5


@dataclass(frozen=True)
class Job:
    """One photo to be cut out; small, because it travels to another process.

    Parameters
    ----------
    input, output : Path
        The photo and its cutout.
    options : mapping
        `Recipe.as_dict()`.
    limits : DecodeLimits
        What is accepted.
    """

    input: Path
    output: Path
    options: Mapping[str, Any]
    limits: DecodeLimits


@dataclass(frozen=True)
class Outcome:
    """What became of a photo; small, because it travels back and thousands of them come.

    Parameters
    ----------
    reason : str
        Why it failed; empty if it did not.
    input_size_bytes, input_mtime_ns : int
        The photo's size and time of change just before it was read.
    output_size_bytes : int
        The cutout's size.
    subject_found : bool
        False when the cutout is empty.
    seconds : float
        How long it took.
    """

    reason: str = ""
    input_size_bytes: int = 0
    input_mtime_ns: int = 0
    output_size_bytes: int = 0
    subject_found: bool = False
    seconds: float = 0.0


def process(job: Job, cancel: CancelToken | None = None) -> Outcome:
    """Cut out one photo and write the cutout; an existing file is replaced only by a whole one.

    Raises
    ------
    Cancelled
        If `cancel` was set before the cutout was made. Whatever else goes wrong is told in the outcome, because the
        rest of the folder must go on.
    """
    try:
        return _cut_out(job, cancel)
    except Cancelled:
        raise
    except ProcessingError as error:
        return Outcome(reason=str(error))
    except MemoryError:
        return Outcome(reason="There is not enough memory for this photo. Retry with fewer workers, or scale it down.")
    except Exception as error:
        logger.exception("%s failed in a way that nobody foresaw", job.input)
        return Outcome(reason=f"{type(error).__name__}: {error}. Please report this, with the photo if you can.")


def _cut_out(job: Job, cancel: CancelToken | None) -> Outcome:
    started = time.perf_counter()
    # Before reading: a photo that changes meanwhile has another time afterwards, and is made again by the next run.
    mtime_ns = _mtime_ns(job.input)
    data, name = read_input(job.input, limits=job.limits)
    result = run(data, Recipe.from_options(job.options), name=name, limits=job.limits, cancel=cancel)
    encoded = result.encode()
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {job.output.parent} cannot be made: {error.strerror}.") from error
    write_atomically(job.output, encoded.data)
    seconds = time.perf_counter() - started
    return Outcome("", len(data), mtime_ns, len(encoded.data), result.subject_found, round(seconds, 4))


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error


def start_worker(model: str, threads: int, provider: str = "best") -> None:
    """Make a new process a worker: it leaves when told to or when its parent is gone, and has the model loaded.

    Parameters
    ----------
    model : str
        Name in the catalogue.
    threads : int
        Threads of one inference.
    provider : str
        What the recipe says about it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent handles it
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read by our sessions and by rembg's
    try:
        default_pool().get(find_model(model), provider)
    except ModelError as error:
        logger.debug("Each photo will tell: %s", error)
    # Last: until here a signal may end the process where it stands.
    signal.signal(signal.SIGTERM, _leave)


def process_in_worker(job: Job) -> Outcome:
    """Do `process` in a process that `start_worker` prepared, and end that process when it was told to leave."""
    try:
        return process(job)
    except SystemExit as leaving:  # the pool would take it for a result and go on with the next photo
        os._exit(int(leaving.code or 0))


def _leave(signal_number: int, frame: object) -> NoReturn:
    """Unwind the stack, so that a file half written is removed; a signal's default would leave it behind."""
    raise SystemExit(128 + signal_number)


def _leave_with_parent() -> None:
    """End this process when its parent was killed: nobody else would, and it would wait for photos for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(1)
