"""What is stored about one result: the content of its `record.json`."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from processing.result import Result
from processing.sessions.providers import RUNTIME_WHEELS

logger = logging.getLogger(__name__)

RECORD = "record.json"
RECORD_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")

_VERSIONED = ("cutout-dashboard", "numpy", "pillow", "isal", *RUNTIME_WHEELS, "panel")


@dataclass(frozen=True)
class ArtifactRecord:
    """The content of a `record.json`.

    Parameters
    ----------
    id : str
        Name of the folder: time in UTC, then its microseconds and three random characters in hexadecimal, so that
        names sort by time and two processes do not collide.
    created : str
        The same time, ISO 8601.
    owner : str
        Who made it; a page lists only its owner's results.
    source : dict
        Name, media type, SHA-256, size in bytes, height, width, the colour profile that was converted, and a remark
        on what was left out.
    model : dict
        Name and SHA-256 of the weights.
    provider : str
        The onnxruntime provider that ran.
    recipe : dict
        The options, see `processing.recipe.Recipe`.
    subject_found : bool
        Whether the model saw anything that stands out.
    timings_s : dict
        Seconds of each step.
    versions : dict
        Versions of Python and of the libraries.
    files : dict
        Role ("source", "alpha", "result", "before", "preview", "thumbnail") to file name in the folder.
    checksums : dict
        Role to SHA-256 of the file.
    """

    id: str
    created: str
    owner: str
    source: dict[str, Any]
    model: dict[str, str]
    provider: str
    recipe: dict[str, Any]
    subject_found: bool
    timings_s: dict[str, float]
    versions: dict[str, str]
    files: dict[str, str]
    checksums: dict[str, str]
    schema: int = 1
    fringe: float | None = None


def describe(
    result: Result, contents: Mapping[str, tuple[str, bytes]], owner: str, fringe: float | None = None
) -> ArtifactRecord:
    """Make the record of a new result.

    Parameters
    ----------
    result : Result
        What is stored.
    contents : dict
        Role to name and bytes of each file.
    owner : str
        Who made it.
    fringe : float, optional
        See `processing.foreground.fringe`; None where it was not measured.
    """
    source, now = result.source, datetime.now(UTC)
    return ArtifactRecord(
        id=f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{secrets.token_hex(2)[:3]}",
        created=now.isoformat(timespec="seconds"),
        owner=owner,
        source={
            "name": source.name.encode("utf-8", "replace").decode("utf-8"),  # a path may hold half a character
            "media_type": source.media_type,
            "sha256": source.sha256,
            "size_bytes": len(source.data),
            "height": source.size[0],
            "width": source.size[1],
            "profile": source.profile,
            "remark": source.remark,
        },
        model={
            "name": result.model.name,
            "weights_sha256": result.model.sha256,
            "licence": result.model.licence,
            "commercial_use": result.model.commercial_use,
            "attribution": result.model.attribution,
        },
        provider=result.provider,
        recipe=result.recipe.as_dict(),
        subject_found=result.subject_found,
        timings_s={step: round(seconds, 4) for step, seconds in result.timings_s.items()},
        versions=_versions(),
        files={role: name for role, (name, _) in contents.items()},
        checksums={role: hashlib.sha256(data).hexdigest() for role, (_, data) in contents.items()},
        fringe=None if fringe is None else round(fringe, 3),
    )


def read_record(folder: Path) -> ArtifactRecord | None:
    """Read the record of a folder; None, with a line in the log, if it has none or it is damaged."""
    try:
        record = ArtifactRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None  # a write that is under way or did not finish
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s is not a record: %s", folder / RECORD, error)
        return None
    if record.id != folder.name:
        logger.warning("%s belongs to another folder, %s", folder / RECORD, record.id)
        return None
    return record


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and needed when something is stored

    versions = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
