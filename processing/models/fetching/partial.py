"""The part of a file that has come so far."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processing.errors import ModelError
from processing.models.fetching.failures import OTHER_WAYS, Interruption, shown
from processing.models.folder import explain_unwritable
from processing.models.integrity import find_difference
from processing.models.spec import WeightsFile

if TYPE_CHECKING:
    from requests import Response


def partial_paths(target: Path) -> tuple[Path, Path]:
    """Return where the part of a file lies that has come, and where it is noted what it is a part of."""
    return target.with_name(f".tmp-{target.name}"), target.with_name(f".tmp-{target.name}.json")


class Partial:
    """The part of a file that has come: a file beside the target, with a note of what it is a part of.

    Parameters
    ----------
    target : Path
        Where the whole file is wanted.
    file : WeightsFile
        What is known of it. A part of a file with another checksum is thrown away.

    Raises
    ------
    ModelError
        If the folder cannot be written.
    """

    def __init__(self, target: Path, file: WeightsFile) -> None:
        self.target, self.file = target, file
        self.path, self._note_path = partial_paths(target)
        self.was_resumed = False
        self._note = self._read_note()
        if not self.size or self._note.get("checksum") != self._checksum:
            self.discard()

    @property
    def _checksum(self) -> str:
        return self.file.sha256 or self.file.md5

    @property
    def size(self) -> int:
        """How much has come, in bytes."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def total(self) -> int:
        """How much there is in all, in bytes; 0 if it is not known."""
        return self.file.size_bytes or int(self._note.get("total", 0))

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come."""
        return bool(self.total) and self.size == self.total

    def condition(self, address: str) -> dict[str, str]:
        """Return the headers that ask for the rest; none where it must be fetched from its beginning."""
        validator = self._validator(address)
        if not self.size or not (validator or self._checksum) or (self.total and self.size > self.total):
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        return {**headers, "If-Range": validator} if validator else headers

    def _validator(self, address: str) -> str:
        """Return what the server told the version by; empty if the part came from another server."""
        return str(self._note.get("validator", "")) if self._note.get("address") == shown(address) else ""

    def is_same_version(self, answer: Response, address: str, total: int) -> bool:
        """Whether the rest that a server offers belongs to this part, as far as it can be told."""
        before, now = self._validator(address), validator_of(answer)
        known_bytes = self.total
        return (not before or not now or before == now) and (not known_bytes or not total or known_bytes == total)

    def begin(self, answer: Response, address: str, total: int) -> None:
        """Throw away what there is and note what comes now.

        Raises
        ------
        ModelError
            If the folder cannot be written.
        """
        self.was_resumed = False
        self._note = {
            "checksum": self._checksum,
            "address": shown(address),
            "validator": validator_of(answer),
            "total": total,
        }
        try:
            self.path.write_bytes(b"")
            self._note_path.write_text(json.dumps(self._note), encoding="utf-8")
        except OSError as error:
            raise explain_unwritable(error, self.target) from error

    @contextmanager
    def opened(self) -> Iterator[Callable[[bytes], None]]:
        """Give a function that appends bytes; at the end of the block, however it comes, they are on the disk.

        Raises
        ------
        ModelError
            If they cannot be written.
        """
        out = os.open(self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))

        def write(data: bytes) -> None:
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(out, rest) :]
            except OSError as error:
                raise explain_unwritable(error, self.target) from error

        try:
            yield write
        finally:
            with suppress(OSError):  # a full disk was reported by the write; the checksum finds the rest
                os.fsync(out)
            os.close(out)

    def discard(self) -> None:
        """Throw away what has come."""
        self._note = {}
        try:
            self.path.unlink(missing_ok=True)
            self._note_path.unlink(missing_ok=True)
        except OSError as error:
            raise explain_unwritable(error, self.target) from error

    def finish(self, address: str) -> None:
        """Compare it with its checksum, and give it its name.

        Raises
        ------
        ModelError
            If it is not the file that was wanted: it is deleted then. An `Interruption` where the parts may not have
            belonged together.
        """
        if difference := find_difference(self.path, self.file):
            self.discard()
            what = f"What came from {shown(address)} is not the file in the catalogue: {difference} It was deleted."
            if self.was_resumed:
                raise Interruption(f"{what} It came in parts, which may not belong together. {OTHER_WAYS}")
            raise ModelError(
                f"{what} It may have been damaged on its way, or something answered in the server's place (a proxy, "
                f"the login page of a network). Retry. {OTHER_WAYS}"
            )
        try:
            os.replace(self.path, self.target)
            self._note_path.unlink(missing_ok=True)
            sync_folder(self.target.parent)
        except OSError as error:
            raise explain_unwritable(error, self.target) from error

    def _read_note(self) -> Mapping[str, Any]:
        with suppress(OSError, ValueError):
            note = json.loads(self._note_path.read_text(encoding="utf-8"))
            if isinstance(note, dict) and isinstance(note.get("total"), int):
                return note
        return {}


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder outlast a power cut; Windows has nothing of the kind and needs it not."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def validator_of(answer: Response) -> str:
    """Return the strong ETag or the date of a version; a weak ETag does not promise the same bytes."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
