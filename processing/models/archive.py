"""Models as one file, to carry them to a machine without a network.

The file is a zip archive, not compressed (weights hardly shrink). It holds ``MODEL/FILE`` for each file, and last
``manifest.json``::

    {"format": "cutout-models", "version": 1,
     "files": [{"model": ..., "name": ..., "size_bytes": ..., "sha256": ...,
                "catalogue_sha256": ..., "catalogue_md5": ...}]}
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models.download import is_fetched
from processing.models.fetching.lock import lock_model, stop_if_cancelled
from processing.models.fetching.partial import sync_folder
from processing.models.fetching.progress import Callback, Meter
from processing.models.folder import explain_unwritable, locate, model_folder, require_space
from processing.models.integrity import readable_size
from processing.models.spec import ModelSpec, WeightsFile, load_catalogue

_MANIFEST, _FORMAT, _VERSION = "manifest.json", "cutout-models", 1
_MANIFEST_BYTES = 1 << 20
_CHUNK = 1 << 20
_ENCRYPTED = 1  # a bit of zip's flags


@dataclass(frozen=True)
class Entry:
    """A file in an archive: what it is, and its checksums when it was packed and in the packer's catalogue."""

    model: str
    name: str
    size_bytes: int
    sha256: str
    catalogue_sha256: str = ""
    catalogue_md5: str = ""

    @property
    def member(self) -> str:
        """Its name in the archive."""
        return f"{self.model}/{self.name}"


def export_models(
    specs: Sequence[ModelSpec], path: Path, *, progress: Callback | None = None, cancel: CancelToken | None = None
) -> list[Entry]:
    """Write models into one file, after comparing them with their checksums; a file of that name is replaced.

    Parameters
    ----------
    specs : sequence of ModelSpec
        Models that are here.
    path : Path
        The archive; it appears under this name when it is whole.
    progress : callable or None
        Is given a `ProgressReport` a few times a second.
    cancel : CancelToken or None
        Ends it within a moment; nothing is left behind.

    Raises
    ------
    ModelError
        If a model is not here, damaged, built in or the user's own, or if the archive cannot be written.
    Cancelled
        If `cancel` was cancelled.
    """
    specs = list({spec.name: spec for spec in specs}.values())
    if not specs:
        raise ModelError("There is nothing to export: name the models.")
    files = [(spec, file, locate(spec).with_name(file.name)) for spec in specs for file in spec.files]
    for spec, _, there in files:
        _require_exportable(spec, there)
    needed_bytes = sum(there.stat().st_size for *_, there in files)
    temporary = path.with_name(f".tmp-{path.name}")
    entries = []
    try:
        free_bytes = shutil.disk_usage(path.parent).free
        if needed_bytes > free_bytes:
            raise ModelError(
                f"There is too little space for {path}: {readable_size(needed_bytes)} are needed and "
                f"{readable_size(free_bytes)} are free. Give a path on another disk."
            )
        with _deleted_if_it_fails([temporary]):
            with open(temporary, "wb") as out:
                with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
                    done_bytes = 0
                    for spec, file, there in files:
                        meter = Meter(spec.name, progress)
                        meter.total_bytes, meter.base_bytes = needed_bytes, done_bytes
                        entries.append(_pack(archive, spec, file, there, meter, cancel))
                        done_bytes += entries[-1].size_bytes
                    manifest = {"format": _FORMAT, "version": _VERSION, "files": [asdict(entry) for entry in entries]}
                    archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {error.strerror}. Check that its folder exists, that you may write there and "
            "that the disk is not full."
        ) from error
    return entries


def _require_exportable(spec: ModelSpec, there: Path) -> None:
    if not is_fetched(spec):
        why = "comes with the project" if spec.is_built_in else "is a file of your own: copy it yourself"
        raise ModelError(f"{spec.name!r} is not exported: it {why}.")
    if not there.is_file():
        raise ModelError(
            f"{spec.name!r} is not here, so it cannot be exported: {there} is missing. Fetch it first with "
            f"`python -m processing models fetch {spec.name}`."
        )


def _pack(
    archive: zipfile.ZipFile, spec: ModelSpec, file: WeightsFile, there: Path, meter: Meter, cancel: CancelToken | None
) -> Entry:
    meter.stand_at(0)
    meter.begin("Packing", file.name)
    with (
        open(there, "rb") as source,
        archive.open(zipfile.ZipInfo(f"{spec.name}/{file.name}"), "w", force_zip64=True) as to,
    ):
        sha256, md5 = _copy(source, to, meter, cancel)
    size_bytes = archive.getinfo(f"{spec.name}/{file.name}").file_size
    if _differs(file, size_bytes, sha256, md5):
        raise ModelError(
            f"{there} is damaged: it is not the file in the catalogue. Fetch it again with `python -m processing "
            f"models fetch {spec.name}`, then export."
        )
    return Entry(spec.name, file.name, size_bytes, sha256, file.sha256, file.md5)


def _differs(file: WeightsFile, size_bytes: int, sha256: str, md5: str) -> bool:
    """Whether a file is not the one in the catalogue, by what is known of that."""
    if file.size_bytes and size_bytes != file.size_bytes:
        return True
    return sha256 != file.sha256 if file.sha256 else bool(file.md5) and md5 != file.md5


def _copy(source: IO[bytes], to: IO[bytes], meter: Meter, cancel: CancelToken | None) -> tuple[str, str]:
    """Copy to the end, and return SHA-256 and MD5 of what was copied."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    while chunk := source.read(_CHUNK):
        stop_if_cancelled(cancel)
        sha256.update(chunk)
        md5.update(chunk)
        to.write(chunk)
        meter.add(len(chunk))
    return sha256.hexdigest(), md5.hexdigest()


def import_models(
    path: Path, *, progress: Callback | None = None, cancel: CancelToken | None = None
) -> list[ModelSpec]:
    """Take models out of a file that `export_models` wrote.

    Each file is compared with its checksums in the archive and in the catalogue of this machine before it gets its
    name. Of a model whose files are not all right nothing is changed.

    Parameters
    ----------
    path : Path
        The archive.
    progress, cancel
        As for `export_models`.

    Returns
    -------
    list of ModelSpec
        The models in the archive.

    Raises
    ------
    ModelError
        If the archive is broken or was tampered with, holds a model that the catalogue does not know, or if the models'
        folder cannot be written.
    Cancelled
        If `cancel` was cancelled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _read_manifest(archive, path)
            wanted = _match(entries, archive, path)
            total_bytes = sum(entry.size_bytes for entry in entries)
            done_bytes = 0
            for spec, own in wanted:
                meter = Meter(spec.name, progress)
                meter.total_bytes, meter.base_bytes = total_bytes, done_bytes
                _unpack(archive, path, spec, own, meter, cancel)
                done_bytes += sum(entry.size_bytes for entry in own)
    except (zipfile.BadZipFile, EOFError) as error:
        raise _broken(path, str(error).rstrip(".")) from error
    except OSError as error:  # of reading: those of writing were translated
        raise ModelError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    return [spec for spec, _ in wanted]


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is no whole archive of models: {why}. Nothing of it is used. Export it again.")


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> list[Entry]:
    names = archive.namelist()
    if names.count(_MANIFEST) != 1 or archive.getinfo(_MANIFEST).file_size > _MANIFEST_BYTES:
        raise _broken(path, f"it has no {_MANIFEST}; `models export` writes one")
    if any(
        member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED for member in archive.infolist()
    ):
        raise _broken(path, "what it holds is compressed or encrypted")
    try:
        manifest = json.loads(archive.read(_MANIFEST))
        if manifest["format"] != _FORMAT or manifest["version"] != _VERSION:
            raise _broken(path, "another version of this project wrote it")
        entries = [Entry(**values) for values in manifest["files"]]
        if not all(isinstance(entry.size_bytes, int) and isinstance(entry.model, str) for entry in entries):
            raise TypeError("of another type")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _broken(path, f"its {_MANIFEST} cannot be understood") from error
    # Whatever else lies in it was not packed here; a name with a way out of the folder is of that kind.
    if sorted(names) != sorted([_MANIFEST, *(entry.member for entry in entries)]):
        raise _broken(path, f"what it holds is not what its {_MANIFEST} says")
    return entries


def _match(entries: Iterable[Entry], archive: zipfile.ZipFile, path: Path) -> list[tuple[ModelSpec, list[Entry]]]:
    """Find the models in the catalogue; only names that stand there become names of files."""
    catalogue = load_catalogue()
    wanted: dict[str, list[Entry]] = {}
    for entry in entries:
        spec = catalogue.get(entry.model)
        if spec is None or not is_fetched(spec) or entry.name not in [file.name for file in spec.files]:
            raise ModelError(
                f"{path} holds {entry.member!r}, which is no file of a model in the catalogue of this machine. Install "
                "the same version of the project on both machines. Nothing of it is used."
            )
        member = archive.getinfo(entry.member)
        if member.file_size != entry.size_bytes:
            raise _broken(path, f"{entry.member} is not as its {_MANIFEST} says")
        wanted.setdefault(entry.model, []).append(entry)
    for name, own in wanted.items():
        if sorted(entry.name for entry in own) != sorted(file.name for file in catalogue[name].files):
            raise _broken(path, f"files of {name} are missing")
    return [(catalogue[name], own) for name, own in wanted.items()]


def _unpack(
    archive: zipfile.ZipFile,
    path: Path,
    spec: ModelSpec,
    entries: list[Entry],
    meter: Meter,
    cancel: CancelToken | None,
) -> None:
    """Unpack the files of one model beside their places, check them all, then give them their names."""
    folder = model_folder(spec)
    files = {file.name: file for file in spec.files}
    with lock_model(spec, lambda: meter.begin("Waiting", "Another process is at work on it."), cancel):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            require_space(folder, sum(entry.size_bytes for entry in entries))
        except OSError as error:
            raise explain_unwritable(error, folder) from error
        pairs = [(folder / f".tmp-import-{entry.name}", folder / entry.name) for entry in entries]
        with _deleted_if_it_fails([temporary for temporary, _ in pairs]):
            meter.begin("Unpacking")
            for entry, (temporary, _) in zip(entries, pairs, strict=True):
                sha256, md5 = _unpack_one(archive, entry, temporary, meter, cancel)
                if sha256 != entry.sha256 or _differs(files[entry.name], entry.size_bytes, sha256, md5):
                    raise _broken(path, f"{entry.member} does not have the checksum it should have")
            try:
                for temporary, target in pairs:
                    os.replace(temporary, target)
                sync_folder(folder)
            except OSError as error:
                raise explain_unwritable(error, folder) from error


def _unpack_one(
    archive: zipfile.ZipFile, entry: Entry, temporary: Path, meter: Meter, cancel: CancelToken | None
) -> tuple[str, str]:
    """Unpack one file and return its SHA-256 and MD5."""
    with archive.open(entry.member) as source:
        try:
            out = open(temporary, "wb")  # noqa: SIM115 - the next line closes it
            with out:
                checksums = _copy(source, out, meter, cancel)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise explain_unwritable(error, temporary) from error
    return checksums


@contextmanager
def _deleted_if_it_fails(paths: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            with suppress(OSError):
                path.unlink()
        raise
