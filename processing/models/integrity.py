"""Whether the files of a model are there and whole: asked before they are loaded, and by `models verify`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from processing.errors import ModelError
from processing.models.folder import locate
from processing.models.spec import ModelSpec, WeightsFile


def require_weights(spec: ModelSpec) -> Path:
    """Return the path of a model's weights after its files were compared with their checksums.

    Raises
    ------
    ModelError
        If a file is missing or is not the one that the catalogue describes; the message says what to do.
    """
    path = locate(spec)
    for file in spec.files:
        there = path.with_name(file.name)
        if not there.is_file():
            raise ModelError(f"The weights of {spec.name!r} are not at {there}. {_advice(spec)}")
        if difference := find_difference(there, file):
            raise ModelError(f"The weights of {spec.name!r} at {there} are damaged: {difference} {_advice(spec)}")
    return path


def _advice(spec: ModelSpec) -> str:
    if spec.is_built_in:
        return "Reinstall the project, or run `git checkout -- processing/models/weights`."
    if not spec.url and not spec.made_from:
        return "Put the file there, or change its path in your table of models."
    size = f" ({readable_size(spec.total_bytes)})" if spec.total_bytes else ""
    return f"Fetch them{size} with `python -m processing models fetch {spec.name}`, or under Model in the page."


def find_difference(path: Path, file: WeightsFile) -> str:
    """Compare a file with what is known of it.

    Returns
    -------
    str
        A sentence on the first difference; empty if there is none.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    try:
        size = path.stat().st_size
        if file.size_bytes and size != file.size_bytes:
            return f"they have {size:,} bytes and should have {file.size_bytes:,}."
        for kind, expected in (("sha256", file.sha256), ("md5", file.md5)):
            if expected:
                same = _digest(path, kind) == expected
                return "" if same else f"their {kind.upper()} is not the one in the catalogue."
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Check who may read it.") from error
    return ""


def _digest(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def readable_size(size_bytes: int) -> str:
    """Return ``4.6 MB``, ``973 MB`` or ``1.3 GB``; ``unknown size`` for 0."""
    if size_bytes <= 0:
        return "unknown size"
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1e7 else f"{size_bytes / 1e6:.0f} MB"
