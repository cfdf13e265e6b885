"""What was made in an output folder, of what, and how: the file `cutout-batch.jsonl` in it.

Each finished photo adds a line with all of `Entry`. Two short kinds of lines stand around it: ``{"begun": OUTPUT}``
before the work, and ``{"failed": OUTPUT, "reason": ...}`` where nothing was made. They tell an output that was written
just before the process was killed from a file that somebody else put there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from processing.errors import StoreError

logger = logging.getLogger(__name__)

JOURNAL = "cutout-batch.jsonl"
_SYNC_EVERY_S = 1.0


@dataclass(frozen=True)
class Origin:
    """All that decides what a cutout looks like.

    Parameters
    ----------
    input : str
        The photo's path inside the input folder.
    input_size_bytes, input_mtime_ns : int
        Its size and when it was last changed, in nanoseconds since 1970.
    recipe : mapping
        `Recipe.as_dict()`.
    model, weights_sha256 : str
        What found the subject.
    """

    input: str
    input_size_bytes: int
    input_mtime_ns: int
    recipe: Mapping[str, Any]
    model: str
    weights_sha256: str

    def digest(self) -> bytes:
        """Return 16 bytes that are the same for the same origin: an open journal holds one for each output."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()[:16]


@dataclass(frozen=True)
class Entry:
    """A finished cutout.

    Parameters
    ----------
    origin : Origin
        What it was made of, and how.
    output : str
        Its path inside the output folder.
    output_size_bytes : int
        Its size.
    subject_found : bool
        False when the cutout is empty.
    seconds : float
        How long it took.
    """

    origin: Origin
    output: str
    output_size_bytes: int
    subject_found: bool
    seconds: float


class State(Enum):
    """What stands at the place of an output."""

    MISSING = "nothing"
    DONE = "the cutout that is wanted"
    OURS = "another cutout that an earlier run made"
    FOREIGN = "a file of somebody else"


class Journal:
    """The journal of an output folder, open for one run at a time.

    Parameters
    ----------
    folder : Path
        The output folder; made if it is not there.

    Raises
    ------
    StoreError
        If the folder cannot be written, or another run is at work in it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self._made: dict[str, tuple[bytes, int]] = {}
        self._begun: set[str] = set()
        self._synced_s = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = _open_alone(self.path)
            self._read()
        except OSError as error:
            raise self._explain(error) from error

    def __enter__(self) -> Journal:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        with suppress(OSError):  # a full disk; what could not be written was reported then
            os.fsync(self._file.fileno())
        self._file.close()

    def state_of(self, output: str, wanted: Origin | None) -> State:
        """Tell what stands at the place of an output; `wanted` is None when the photo cannot be found."""
        try:
            found = (self.path.parent / output).lstat()
        except OSError:
            return State.MISSING
        digest, size_bytes = self._made.get(output, (b"", -1))
        if stat.S_ISREG(found.st_mode) and found.st_size == size_bytes:
            return State.DONE if wanted is not None and digest == wanted.digest() else State.OURS
        return State.OURS if stat.S_ISREG(found.st_mode) and output in self._begun else State.FOREIGN

    def begin(self, output: str) -> None:
        """Note that an output is being made: a file found there from now on is ours."""
        self._append({"begun": output})

    def fail(self, output: str, reason: str) -> None:
        """Note that it was not made."""
        self._append({"failed": output, "reason": reason})

    def finish(self, entry: Entry) -> None:
        """Note that it was made."""
        line = asdict(entry)
        self._append({**line.pop("origin"), **line})

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line).encode("ascii") + b"\n")  # unbuffered: one write, survives a kill
            if time.monotonic() - self._synced_s > _SYNC_EVERY_S:  # and this a power cut
                os.fsync(self._file.fileno())
                self._synced_s = time.monotonic()
        except OSError as error:
            raise self._explain(error) from error

    def _read(self) -> None:
        line = b"\n"
        with open(self.path, "rb") as lines:
            for line in lines:
                self._take(line)
        if not line.endswith(b"\n"):  # torn by a kill or a full disk: the next line must not be glued to it
            self._file.write(b"\n")

    def _take(self, text: bytes) -> None:
        try:
            line = json.loads(text)
            if "begun" in line:
                self._begun.add(line["begun"])
            elif "failed" in line:
                self._begun.discard(line["failed"])
            else:
                origin = Origin(**{name: line.pop(name) for name in Origin.__dataclass_fields__})
                entry = Entry(origin, **line)
                self._made[entry.output] = (origin.digest(), entry.output_size_bytes)
                self._begun.discard(entry.output)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("A line of %s is ignored: %s", self.path, error)

    def _explain(self, error: OSError) -> StoreError:
        return StoreError(
            f"The output folder {self.path.parent} cannot be written ({self.path.name}): {error.strerror}. Check that "
            "you may write there and that the disk is not full, or give another output folder."
        )


def _open_alone(path: Path) -> BinaryIO:
    """Open the journal for appending, so that no second run can; the lock goes with the process, however it ends."""
    if path.is_symlink():
        raise StoreError(f"{path} is a link to {path.resolve()}, which would be written to. Remove the link and retry.")
    file = open(path, "ab", buffering=0)  # noqa: SIM115 - the journal closes it
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StoreError(
            f"Another run is writing to {path.parent} at this moment. Wait for its end, or give another output folder."
        ) from error
    except (ImportError, OSError) as error:  # Windows has no such locks, and some network disks neither
        logger.info("%s is not locked: %s", path, error)
    return file
