"""The results of one visit: in memory, gone when the page closes."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import cutout_bridge as bridge
import numpy as np

from processing import ArtifactRecord, Recipe, Result, StoreError
from processing.finish import finish_matte, make_cutout
from processing.images import SourceImage
from processing.models import ModelSpec, to_alpha
from processing.record import describe


class BrowserFile:
    """A file that the browser holds outside of Python, and its URL, for as long as somebody holds this object.

    Parameters
    ----------
    blob : JavaScript Blob
        The file.
    """

    def __init__(self, blob: Any) -> None:
        self.size_bytes = int(blob.size)
        self.url: str = bridge.publish(blob)

    def __del__(self) -> None:
        bridge.revoke(self.url)  # the browser frees the memory


@dataclass(frozen=True, eq=False)
class _Kept:
    """A result as it is kept: small things, from which the large ones can be made again without the model."""

    record: ArtifactRecord
    contents: dict[str, bytes]
    file: BrowserFile
    raw: np.ndarray
    model: ModelSpec


class VisitStore:
    """The last results of this visit; methods and errors are those of `processing.store.ArtifactStore`.

    Parameters
    ----------
    most : int
        How many results are kept; the oldest goes when there is one more.
    """

    def __init__(self, most: int = 12) -> None:
        self._most = most
        self._kept: dict[str, _Kept] = {}
        self._trash: _Kept | None = None
        self._latest: tuple[str, Result] | None = None

    def keep(self, result: Result, owner: str, contents: dict[str, bytes], file: BrowserFile) -> ArtifactRecord:
        """Take a result.

        Parameters
        ----------
        result : Result
            It must have a raw output.
        owner : str
            Whose it is.
        contents : dict
            The photo's previews and the thumbnail: "before", "preview" and "thumbnail", WebP files.
        file : BrowserFile
            The encoded cutout.
        """
        contents = {"source": result.source.data, **contents}
        record = describe(result, {role: (role, data) for role, data in contents.items()}, owner)
        self._kept[record.id] = _Kept(record, contents, file, result.raw, result.model)
        self._latest = record.id, result
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return record

    def list(self, owner: str | None, limit: int | None = None) -> builtins.list[ArtifactRecord]:
        """Return the owner's results, newest first."""
        records = [kept.record for kept in reversed(self._kept.values()) if owner in (None, kept.record.owner)]
        return records[:limit]

    def get(self, record_id: str, owner: str | None) -> ArtifactRecord:
        """Return one of the owner's results."""
        kept = self._kept.get(record_id)
        if kept is None or owner not in (None, kept.record.owner):
            raise StoreError(f"There is no result {record_id!r} here. It may have been deleted; run the photo again.")
        return kept.record

    def read(self, record: ArtifactRecord, role: str) -> bytes:
        """Return the photo or a preview."""
        return self._find(record).contents[role]

    def file(self, record: ArtifactRecord) -> BrowserFile:
        """Return the encoded cutout."""
        return self._find(record).file

    def coarse(self, record: ArtifactRecord) -> np.ndarray:
        """Return the model's matte at its own resolution, float32 (h, w) in [0, 1]."""
        kept = self._find(record)
        return to_alpha(kept.raw, kept.model, kept.raw.shape[2:]).small

    def rebuild(self, record: ArtifactRecord, source: SourceImage) -> Result:
        """Make a result again from its decoded photo, without running the model."""
        if self._latest is not None and self._latest[0] == record.id:
            return self._latest[1]
        kept = self._find(record)
        recipe = Recipe.from_options(record.recipe)
        coarse = to_alpha(kept.raw, kept.model, source.size, source.alpha)
        matte = finish_matte(source, coarse, recipe)
        return Result(
            source=source,
            tensor=None,
            raw=kept.raw,
            coarse=coarse,
            matte=matte,
            pixels=make_cutout(source, matte, recipe),
            subject_found=True,
            model=kept.model,
            provider=record.provider,
            recipe=recipe,
            timings_s=dict(record.timings_s),
        )

    def let_go(self) -> None:
        """Give up the pixels of the latest result, the only ones that are kept; `rebuild` makes them again."""
        self._latest = None

    def delete(self, record: ArtifactRecord) -> None:
        """Put a result aside until the next one is deleted."""
        kept = self._find(record)
        self._trash = self._kept.pop(kept.record.id)
        if self._latest is not None and self._latest[0] == record.id:
            self._latest = None

    def restore(self, record_id: str, owner: str | None) -> ArtifactRecord:
        """Bring the result that was deleted last back."""
        kept = self._trash
        if kept is None or kept.record.id != record_id or owner not in (None, kept.record.owner):
            raise StoreError(f"The result {record_id!r} is not in the trash any more. Run the photo again.")
        self._trash = None
        self._kept = dict(sorted([*self._kept.items(), (record_id, kept)]))  # names sort by time
        return kept.record

    def _find(self, record: ArtifactRecord) -> _Kept:
        try:
            return self._kept[record.id]
        except KeyError:
            raise StoreError("This result is not kept any more. Run the photo again.") from None
