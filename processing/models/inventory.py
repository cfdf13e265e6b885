"""Which models are here, whether they are whole, and how to be rid of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from processing.errors import ModelError
from processing.models.download import is_fetched
from processing.models.fetching.lock import lock_model
from processing.models.fetching.partial import partial_paths
from processing.models.folder import locate, model_folder, model_folders
from processing.models.integrity import find_difference
from processing.models.spec import ModelSpec


class Status(StrEnum):
    """What is here of a model."""

    BUILT_IN = "built in"
    HERE = "here"
    MISSING = "missing"
    PARTLY_FETCHED = "partly fetched"
    DAMAGED = "damaged"


def status(spec: ModelSpec, *, compare_hashes: bool = False) -> Status:
    """Tell what is here of a model.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    compare_hashes : bool
        Read the files and compare their checksums; otherwise only their sizes are looked at, which is quick.

    Raises
    ------
    ModelError
        If a file cannot be read.
    """
    path = locate(spec)
    there = [file for file in spec.files if path.with_name(file.name).is_file()]
    for file in there:
        size_bytes = path.with_name(file.name).stat().st_size
        if not size_bytes or (file.size_bytes and size_bytes != file.size_bytes):
            return Status.DAMAGED
        if compare_hashes and find_difference(path.with_name(file.name), file):
            return Status.DAMAGED
    if len(there) == len(spec.files):
        return Status.BUILT_IN if spec.is_built_in else Status.HERE
    return Status.PARTLY_FETCHED if there or _parts(spec) else Status.MISSING


def _parts(spec: ModelSpec) -> list[Path]:
    if not is_fetched(spec):
        return []
    folder = model_folder(spec)
    return [part for file in spec.files for part in partial_paths(folder / file.name) if part.is_file()]


def verify(spec: ModelSpec) -> list[str]:
    """Compare the files of a model with what the catalogue knows of them.

    Returns
    -------
    list of str
        A sentence for each file that is missing or differs; empty if all are whole. Of a model that was converted on
        this machine only the presence can be checked.

    Raises
    ------
    ModelError
        If a file cannot be read.
    """
    path = locate(spec)
    problems = []
    for file in spec.files:
        there = path.with_name(file.name)
        if not there.is_file():
            problems.append(f"{spec.name}: {there} is missing.")
        elif not there.stat().st_size:
            problems.append(f"{spec.name}: {there} is damaged: it is empty.")
        elif difference := find_difference(there, file):
            problems.append(f"{spec.name}: {there} is damaged: {difference}")
    return problems


def remove(spec: ModelSpec) -> int:
    """Delete the files of a model, and what has come of them: those known by name, in rembg's two folders.

    Returns
    -------
    int
        How many bytes were freed; 0 where nothing was here.

    Raises
    ------
    ModelError
        If the model comes with the project or is the user's own, is being fetched at this moment, or if a file cannot
        be deleted.
    """
    if not is_fetched(spec):
        why = "comes with the project" if spec.is_built_in else "is a file of your own; delete it yourself"
        raise ModelError(f"{spec.name!r} is not removed: it {why}. Only models that were fetched are.")
    folder, legacy = model_folders(spec)
    if not folder.is_dir() and not legacy.is_dir():
        return 0
    paths = [each / file.name for each in (folder, legacy) for file in spec.files]
    freed_bytes = 0
    with lock_model(spec):
        for path in (*paths, *_parts(spec)):
            freed_bytes += _delete(path)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return freed_bytes


def _delete(path: Path) -> int:
    if not path.is_file() and not path.is_symlink():
        return 0
    try:
        size_bytes = path.lstat().st_size
        path.unlink()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be deleted: {error.strerror}. Check who may write there, and that nothing uses it."
        ) from error
    return size_bytes
