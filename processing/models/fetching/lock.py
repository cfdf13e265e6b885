"""A lock between processes: while one fetches a model, the others wait for it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.models.folder import explain_unwritable, model_folder
from processing.models.spec import ModelSpec

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.1


def pause(seconds: float, cancel: CancelToken | None) -> None:
    """Wait, and look at the token all the while.

    Raises
    ------
    Cancelled
        Within a moment of `cancel` being cancelled.
    """
    until = time.monotonic() + seconds
    stop_if_cancelled(cancel)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_EVERY_S))
        stop_if_cancelled(cancel)


def stop_if_cancelled(cancel: CancelToken | None) -> None:
    """Raise `Cancelled`, in words that fit a download, once the token was cancelled."""
    if cancel is not None and cancel.is_cancelled:
        raise Cancelled("Cancelled. What has come so far is kept; fetching again goes on from there.")


@contextmanager
def lock_model(
    spec: ModelSpec, on_wait: Callable[[], None] | None = None, cancel: CancelToken | None = None
) -> Iterator[None]:
    """Keep every other process, and thread, from changing the files of a model while the block runs.

    The system frees the lock when the process ends, however it ends. Its file, which is empty, stays.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    on_wait : callable or None
        Called once if somebody else holds the lock, before it is waited for; None refuses to wait.
    cancel : CancelToken or None
        Ends the waiting.

    Raises
    ------
    ModelError
        If the folder cannot be written, or the lock is held and `on_wait` is None.
    Cancelled
        If `cancel` was cancelled.
    """
    folder = model_folder(spec)
    path = folder.with_name(f".{folder.name}.lock")  # beside the folder, which `remove` deletes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise explain_unwritable(error, path.parent) from error
    try:
        if not _try_lock(descriptor):
            if on_wait is None:
                raise ModelError(f"Another process is at work on {spec.name!r} at this moment. Retry when it is done.")
            on_wait()
            while not _try_lock(descriptor):
                pause(_LOOK_EVERY_S, cancel)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int) -> bool:
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except (ImportError, OSError) as error:  # some network disks have no locks; the hash finds what goes wrong
            logger.info("The model is not locked: %s", error)
        return True
