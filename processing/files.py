"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

from processing.errors import StoreError

_umask_lock = threading.Lock()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it.

    Readers see the old file or the whole new one; a crash leaves at most a file whose name starts with ``.tmp-``.

    Raises
    ------
    StoreError
        If the folder cannot be written or the disk is full.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}. Check that the folder exists, that you may write there and "
            "that the disk is not full, then retry."
        ) from error


def _umask() -> int:
    with _umask_lock:  # it can only be read by setting it: two threads in turn would leave the wrong one behind
        mask = os.umask(0o022)
        os.umask(mask)
    return mask
