"""The artifacts folder: one folder per result, its `record.json` written last.

A folder without `record.json` is a write that did not finish; nothing lists it. `artifacts/README.md` describes the
format for people and other programs.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np

from processing.bands import Tick, ignore, within
from processing.encoders import encode_preview, to_16_bit
from processing.errors import ModelError, RecipeError, StoreError
from processing.files import write_atomically
from processing.finish import make_cutout, without_opacity
from processing.foreground import fringe
from processing.images import decode
from processing.matte import AlphaMatte
from processing.models import DEFAULT_MODEL, ModelSpec, find_model
from processing.png import encode_png
from processing.recipe import Recipe
from processing.record import RECORD, RECORD_ID, ArtifactRecord, describe, read_record
from processing.result import Result

logger = logging.getLogger(__name__)

PREVIEW_SIDE = 1600
THUMBNAIL_SIDE = 200
LOCAL_OWNER = "local"  #: Owner of what the command line and notebooks store.
TRASH = ".trash"  #: Deleted results wait here until `prune` or until `TRASH_KEPT` is over.
TRASH_KEPT = timedelta(hours=1)


class ArtifactStore:
    """Results on disk.

    Parameters
    ----------
    root : Path, optional
        The artifacts folder; `default_root()` if None. It is made when the first result is written.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()
        self._records: dict[str, ArtifactRecord] = {}  # records never change, so each is read once

    def save(
        self,
        result: Result,
        owner: str = LOCAL_OWNER,
        *,
        previews: tuple[bytes, bytes] | None = None,
        tick: Tick = ignore,
    ) -> ArtifactRecord:
        """Write a result; it exists for others only once everything is on disk.

        Parameters
        ----------
        result : Result
            What to write.
        owner : str
            Whose it is.
        previews : tuple of bytes, optional
            What `encode_preview` made of photo and cutout, if somebody has needed them already.
        tick : callable, optional
            See `processing.bands`.

        Returns
        -------
        ArtifactRecord
            What was stored, and where.

        Raises
        ------
        StoreError
            If the folder cannot be written; what was begun is removed.
        """
        source = result.source
        before, after = previews or (
            encode_preview(source.visible, long_side=PREVIEW_SIDE, tick=within(tick, 0.0, 0.2)),
            encode_preview(result.pixels, long_side=PREVIEW_SIDE, tick=within(tick, 0.2, 0.4)),
        )
        encoded = result.encode(within(tick, 0.4, 0.7))
        levels = to_16_bit(result.matte, within(tick, 0.7, 0.8))
        alpha = encode_png(levels, tick=within(tick, 0.8, 0.9))
        thumbnail = encode_preview(result.pixels, long_side=THUMBNAIL_SIDE, tick=within(tick, 0.9, 1.0))
        coarse = result.coarse.small if result.coarse is not None else np.asarray(result.matte)
        contents = {
            "source": ("source" + source.suffix, source.data),
            "alpha": ("alpha.png", alpha),
            "coarse": ("coarse.png", encode_png(to_16_bit(coarse))),
            "result": ("result" + encoded.suffix, encoded.data),
            "before": ("before.webp", before),
            "preview": ("preview.webp", after),
            "thumbnail": ("thumbnail.webp", thumbnail),
        }
        left = fringe(result.pixels, source.pixels, without_opacity(source, result.matte))
        record = describe(result, contents, owner, left)
        self._write(record, dict(contents.values()))
        return record

    def _write(self, record: ArtifactRecord, contents: dict[str, bytes]) -> None:
        folder = self.folder(record)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StoreError(
                f"The result cannot be saved in {self.root}: {error.strerror}. See that the folder is writable and the "
                "disk not full, or name another one in CUTOUT_ARTIFACTS, and retry."
            ) from error
        try:
            for name, data in contents.items():
                write_atomically(folder / name, data)
            text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
            write_atomically(folder / RECORD, text.encode("utf-8"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def list(self, owner: str | None, limit: int | None = None) -> list[ArtifactRecord]:
        """Return the owner's results, newest first; everybody's if `owner` is None.

        A record that cannot be read is logged and left out; it is never deleted.

        Raises
        ------
        StoreError
            If the artifacts folder cannot be read.
        """
        records: list[ArtifactRecord] = []
        for name in self._names():
            if limit is not None and len(records) >= limit:
                break
            record = self._read_record(name)
            if record is not None and owner in (None, record.owner):
                records.append(record)
        return records

    def get(self, record_id: str, owner: str | None) -> ArtifactRecord:
        """Return one of the owner's results; anybody's if `owner` is None.

        Raises
        ------
        StoreError
            If there is none, or it belongs to somebody else: the message does not tell which.
        """
        record = self._read_record(record_id) if RECORD_ID.fullmatch(record_id) else None
        if record is None or owner not in (None, record.owner):
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

    def size_bytes(self, record: ArtifactRecord, role: str) -> int | None:
        """Return the length of one of a result's files; None if it is gone."""
        try:
            return self.path(record, role).stat().st_size
        except OSError:
            return None

    def load(self, record: ArtifactRecord) -> Result:
        """Rebuild a result from the stored photo and alpha matte, without running the model.

        Returns
        -------
        Result
            Without model input and raw output, which are not stored. Alpha is exact to 1/65535.

        Raises
        ------
        ImageError, StoreError, ModelError
            If a file is gone or damaged, or the model is no longer known.
        """
        source = decode(self.read(record, "source"), name=record.source["name"])
        alpha = _decode_alpha(self.read(record, "alpha"), self.path(record, "alpha"))
        if alpha.shape != source.size:
            raise StoreError(f"{self.folder(record)} is damaged: photo and alpha matte differ in size. Run it again.")
        recipe, coarse = _recipe_of(record), self.coarse(record)
        return Result(
            source=source,
            tensor=None,
            raw=None,
            coarse=AlphaMatte(coarse, source.size, source.alpha) if coarse is not None else None,
            matte=alpha,
            pixels=make_cutout(source, alpha, recipe),
            subject_found=record.subject_found,
            model=_model_of(record),
            provider=record.provider,
            recipe=recipe,
            timings_s=dict(record.timings_s),
        )

    def coarse(self, record: ArtifactRecord) -> np.ndarray | None:
        """Return the model's matte at its own resolution, float32 (h, w) in [0, 1].

        None in a result that an earlier version has stored without it.

        Raises
        ------
        StoreError
            If the file is gone or damaged.
        """
        if "coarse" not in record.files:
            return None
        return _decode_alpha(self.read(record, "coarse"), self.path(record, "coarse"))

    def verify(self, record: ArtifactRecord) -> tuple[str, ...]:
        """Return what is wrong with a result's files, a sentence each; empty if all are whole."""
        problems = []
        for role, name in record.files.items():
            try:
                data = self.read(record, role)
            except StoreError:
                problems.append(f"{record.id}/{name} is missing or cannot be read.")
                continue
            if hashlib.sha256(data).hexdigest() != record.checksums.get(role):
                problems.append(f"{record.id}/{name} was changed or damaged after it was stored.")
        return tuple(problems)

    def damaged_records(self) -> tuple[str, ...]:
        """Return a sentence for each result whose record cannot be read, so that `list` leaves it out."""
        return tuple(
            f"{name}/{RECORD} was changed or damaged after it was stored; the result is not listed."
            for name in self._names()
            if self._read_record(name) is None and (self.root / name / RECORD).exists()
        )

    def delete(self, record: ArtifactRecord) -> None:
        """Move a result to the trash, from where `restore` brings it back for at least an hour.

        Raises
        ------
        StoreError
            If it is gone already or the folder cannot be written.
        """
        try:
            self.empty_trash(TRASH_KEPT)
            (self.root / TRASH).mkdir(exist_ok=True)
            os.utime(self.folder(record))  # its age in the trash counts from now
            os.rename(self.folder(record), self.root / TRASH / record.id)
        except OSError as error:
            raise StoreError(
                f"{self.folder(record)} cannot be deleted: {error.strerror}. See that it is still there and that "
                "you may write in the artifacts folder, then retry."
            ) from error
        self._records.pop(record.id, None)

    def restore(self, record_id: str, owner: str | None) -> ArtifactRecord:
        """Bring a deleted result back.

        Raises
        ------
        StoreError
            If it is not in the trash any more, or belongs to somebody else.
        """
        gone = StoreError(f"The result {record_id!r} is not in the trash any more. Run the photo again.")
        if not RECORD_ID.fullmatch(record_id):
            raise gone
        record = read_record(self.root / TRASH / record_id)
        if record is None or owner not in (None, record.owner):
            raise gone
        try:
            os.rename(self.root / TRASH / record_id, self.root / record_id)
        except OSError as error:
            raise gone from error
        return record

    def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Delete for good what has been in the trash for longer; return how many results that were."""
        return self._remove_old(self.root / TRASH, older_than)

    def remove_leftovers(self, older_than: timedelta = TRASH_KEPT) -> int:
        """Delete folders of writes that never finished; return how many.

        Younger ones may be writes under way, so they stay.
        """
        return self._remove_old(self.root, older_than, keep=lambda folder: (folder / RECORD).exists())

    @staticmethod
    def _remove_old(root: Path, older_than: timedelta, keep: Callable[[Path], bool] = lambda folder: False) -> int:
        removed = 0
        oldest = time.time() - older_than.total_seconds()
        for folder in root.iterdir() if root.is_dir() else ():
            if not RECORD_ID.fullmatch(folder.name) or keep(folder):
                continue
            try:
                is_old = folder.stat().st_mtime <= oldest
            except FileNotFoundError:
                continue  # another process was faster
            if is_old:
                shutil.rmtree(folder, ignore_errors=True)
                if folder.exists():
                    logger.warning("%s cannot be deleted", folder)
                else:
                    removed += 1
        return removed

    def _names(self) -> Sequence[str]:
        try:
            with os.scandir(self.root) as entries:
                return sorted((entry.name for entry in entries if RECORD_ID.fullmatch(entry.name)), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(
                f"The results in {self.root} cannot be listed: {error.strerror}. "
                "Make the folder readable, or name another one in CUTOUT_ARTIFACTS."
            ) from error

    def _read_record(self, name: str) -> ArtifactRecord | None:
        record = self._records.get(name)
        if record is not None and (self.root / name / RECORD).exists():
            return record
        record = read_record(self.root / name)
        if record is not None:
            self._records[name] = record
        return record


def default_store() -> ArtifactStore:
    """Return the store of this process in `default_root()`; one, so that it reads each record once."""
    return _store_at(default_root())


@cache
def _store_at(root: Path) -> ArtifactStore:
    return ArtifactStore(root)


def default_root() -> Path:
    """Return where results go: the folder in CUTOUT_ARTIFACTS, else the checkout's `artifacts/`, else `./artifacts`."""
    if named := os.environ.get("CUTOUT_ARTIFACTS"):
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "artifacts"


def _decode_alpha(data: bytes, path: Path) -> np.ndarray:
    from PIL.PngImagePlugin import PngImageFile  # unlike Image.open it has no limit of its own

    try:
        image = PngImageFile(io.BytesIO(data))
        return np.asarray(image, np.float32) / np.float32(65535)
    except Exception as error:  # whatever a broken file provokes in Pillow
        raise StoreError(f"{path} is damaged and cannot be read. Run the photo again.") from error


def _model_of(record: ArtifactRecord) -> ModelSpec:
    """Return the model that ran, with the weights of then: a run that starts from it must notice that they changed."""
    stored = record.model
    try:
        spec = find_model(stored["name"])
    except ModelError:  # the user's own, which is gone; what was made with it stays usable
        spec = ModelSpec(stored["name"], stored["name"], "", "onnxruntime", Path(stored["name"]))
    return replace(spec, sha256=stored["weights_sha256"])


def _recipe_of(record: ArtifactRecord) -> Recipe:
    try:
        return Recipe.from_options(record.recipe)
    except RecipeError:
        return Recipe.from_options({**record.recipe, "model": DEFAULT_MODEL})
