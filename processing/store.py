"""The artifacts folder: one folder per result, its `record.json` written last.

A folder without `record.json` is a write that did not finish; nothing lists it. `artifacts/README.md` describes the
format for people and other programs.
"""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.composite import cut_out
from processing.encoders import encode_preview
from processing.errors import StoreError
from processing.files import write_atomically
from processing.images import decode
from processing.result import Result

logger = logging.getLogger(__name__)

RECORD = "record.json"
PREVIEW_SIDE = 1600
THUMBNAIL_SIDE = 200
LOCAL_OWNER = "local"  #: Owner of what the command line and notebooks store.

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_VERSIONED = ("cutout-dashboard", "numpy", "pillow", "onnxruntime", "panel")


@dataclass(frozen=True)
class ArtifactRecord:
    """What is stored about one result; the content of `record.json`.

    Parameters
    ----------
    id : str
        Name of the folder: time of the run in UTC and eight random characters.
    created : str
        The same time, ISO 8601.
    owner : str
        Who made it; a page lists only its owner's results.
    source : dict
        Name, media type, SHA-256, size in bytes, height, width, and the colour profile that was converted.
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
    schema: int = field(default=1)


class ArtifactStore:
    """Results on disk.

    Parameters
    ----------
    root : Path, optional
        The artifacts folder; `default_root()` if None. It is made when the first result is written.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()

    def save(self, result: Result, owner: str = LOCAL_OWNER) -> ArtifactRecord:
        """Write a result; it exists for others only once everything is on disk.

        Returns
        -------
        ArtifactRecord
            What was stored, and where.

        Raises
        ------
        StoreError
            If the folder cannot be written; what was begun is removed.
        """
        encoded = result.encode()
        source = result.source
        contents = {
            "source" + source.suffix: ("source", source.data),
            "alpha.png": ("alpha", _encode_alpha(result.pixels[..., 3])),
            "result" + encoded.suffix: ("result", encoded.data),
            "before.webp": ("before", encode_preview(source.pixels, long_side=PREVIEW_SIDE)),
            "preview.webp": ("preview", encode_preview(result.pixels, long_side=PREVIEW_SIDE)),
            "thumbnail.webp": ("thumbnail", encode_preview(result.pixels, long_side=THUMBNAIL_SIDE)),
        }
        now = datetime.now(UTC)
        record = ArtifactRecord(
            id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
            created=now.isoformat(timespec="seconds"),
            owner=owner,
            source={
                "name": source.name,
                "media_type": source.media_type,
                "sha256": source.sha256,
                "size_bytes": len(source.data),
                "height": source.size[0],
                "width": source.size[1],
                "profile": source.profile,
            },
            model={"name": result.model.name, "weights_sha256": result.model.sha256},
            provider=result.provider,
            recipe=result.recipe.as_dict(),
            subject_found=result.subject_found,
            timings_s={step: round(seconds, 4) for step, seconds in result.timings_s.items()},
            versions=_versions(),
            files={role: name for name, (role, _) in contents.items()},
        )
        self._write(record, {name: data for name, (_, data) in contents.items()})
        return record

    def _write(self, record: ArtifactRecord, contents: dict[str, bytes]) -> None:
        folder = self.folder(record)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StoreError(
                f"The result cannot be saved in {self.root}: {error.strerror}. "
                "Make the folder writable, or name another one in CUTOUT_ARTIFACTS, and retry."
            ) from error
        try:
            for name, data in contents.items():
                write_atomically(folder / name, data)
            text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
            write_atomically(folder / RECORD, text.encode("utf-8"))
        except BaseException:
            for name in contents:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
            raise

    def list(self, owner: str, limit: int | None = None) -> list[ArtifactRecord]:
        """Return the owner's results, newest first.

        A record that cannot be read is logged and left out; it is never deleted.
        """
        records: list[ArtifactRecord] = []
        for folder in self._folders():
            if limit is not None and len(records) >= limit:
                break
            record = self._read_record(folder)
            if record is not None and record.owner == owner:
                records.append(record)
        return records

    def get(self, record_id: str, owner: str) -> ArtifactRecord:
        """Return one of the owner's results.

        Raises
        ------
        StoreError
            If there is none, or it belongs to somebody else: the message does not tell which.
        """
        record = self._read_record(self.root / record_id) if _ID.fullmatch(record_id) else None
        if record is None or record.owner != owner:
            raise StoreError(f"There is no result {record_id!r} here. It may have been deleted; run the photo again.")
        return record

    def folder(self, record: ArtifactRecord) -> Path:
        """Return the folder of a result."""
        return self.root / record.id

    def path(self, record: ArtifactRecord, role: str) -> Path:
        """Return the path of one of a result's files, such as ``"result"``."""
        return self.folder(record) / record.files[role]

    def read(self, record: ArtifactRecord, role: str) -> bytes:
        """Return the content of one of a result's files.

        Raises
        ------
        StoreError
            If the file is gone.
        """
        path = self.path(record, role)
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}. Run the photo again.") from error

    def load_cutout(self, record: ArtifactRecord) -> np.ndarray:
        """Rebuild the full-size cutout from the stored photo and alpha matte, without running the model.

        Returns
        -------
        ndarray of uint8, shape (H, W, 4)
            The pixels that `Result.pixels` had.
        """
        source = decode(self.read(record, "source"), name=record.source["name"])
        with Image.open(io.BytesIO(self.read(record, "alpha"))) as image:
            alpha = np.asarray(image, np.float32) / 255
        return cut_out(source.pixels, alpha)

    def _folders(self) -> Iterator[Path]:
        try:
            names = sorted((entry.name for entry in os.scandir(self.root) if _ID.fullmatch(entry.name)), reverse=True)
        except FileNotFoundError:
            return
        for name in names:
            yield self.root / name

    def _read_record(self, folder: Path) -> ArtifactRecord | None:
        try:
            return ArtifactRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None  # a write that is under way or did not finish
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s is not a record: %s", folder / RECORD, error)
            return None


def default_root() -> Path:
    """Return where results go: the folder in CUTOUT_ARTIFACTS, else the checkout's `artifacts/`, else `./artifacts`."""
    if named := os.environ.get("CUTOUT_ARTIFACTS"):
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "artifacts"


def _encode_alpha(alpha: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(alpha).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
