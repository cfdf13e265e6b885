"""Where the page's work is done: on the machine that serves it, or in the visitor's own browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from processing import ArtifactRecord, ArtifactStore, Recipe, run
from processing.encoders import ENCODERS, encode_preview
from processing.finish import draft
from processing.images import DecodeLimits, decode
from processing.jobs import Job, JobQueue, default_queue
from processing.models import find_model, load_catalogue
from processing.models.fetching.progress import ProgressReport
from processing.models.integrity import readable_size
from processing.sessions.pool import SessionPool, default_pool
from processing.steps import Steps
from processing.store import PREVIEW_SIDE, default_store

#: Of a whole run in the page, the part that is done after the pipeline, and after the preview; the rest is saving.
PIPELINE_SHARE, PREVIEW_SHARE = 0.35, 0.6


@dataclass(frozen=True)
class Photo:
    """The photo of a page, as a run takes it along so that a reloaded page finds it again."""

    data: bytes
    name: str
    preview: bytes


@dataclass(frozen=True)
class Offer:
    """The file that Download gives.

    Parameters
    ----------
    size_bytes : int or None
        Its length.
    url : str
        Where the page itself finds it; empty if the server sends it at the click.
    """

    size_bytes: int | None
    url: str = ""


class Store(Protocol):
    """The owner's results; `processing.store.ArtifactStore` is one and says what each method does."""

    def list(self, owner: str | None, limit: int | None = None) -> list[ArtifactRecord]: ...  # noqa: D102
    def get(self, record_id: str, owner: str | None) -> ArtifactRecord: ...  # noqa: D102
    def read(self, record: ArtifactRecord, role: str) -> bytes: ...  # noqa: D102
    def delete(self, record: ArtifactRecord) -> None: ...  # noqa: D102
    def restore(self, record_id: str, owner: str | None) -> ArtifactRecord: ...  # noqa: D102


class Runtime(Protocol):
    """Does what the `Controller` asks for, each as a job of its queue."""

    store: Store
    queue: JobQueue
    formats: tuple[str, ...]  #: The output formats that can be written here, keys of `processing.encoders.ENCODERS`.
    limits: DecodeLimits  #: The photos that are taken.
    models: tuple[str, ...]  #: The models to choose from, names of the catalogue.
    may_fetch: bool  #: Whether a page may fetch the files of models.
    promise: str  #: A sentence about where photos go.
    defaults: dict[str, Any]  #: Options of a new page's recipe that differ from the recipe's own.
    missing: tuple[str, ...]  #: Options of a recipe that make no difference here.
    has_threads: bool  #: Whether work happens in threads, which must not touch the page.
    has_providers: bool  #: Whether the recipe's provider decides what runs the model.
    has_links: bool  #: Whether an `Offer` has a URL, so that a plain link gives the file.

    def read_photo(self, data: bytes, name: str, owner: str) -> Job:
        """Decode a photo; the result is its preview, a WebP file, and a remark on what was left out."""

    def cut_out(
        self,
        photo: Photo,
        recipe: Recipe,
        owner: str,
        earlier: ArtifactRecord | None,
        wake: Callable[[], object],
    ) -> Job:
        """Run the pipeline and keep the result, which is a record and the cutout's preview; None without a subject.

        The preview is published as soon as it is there, and `wake` called.
        """

    def draw_draft(self, record: ArtifactRecord, recipe: Recipe, owner: str) -> Job:
        """Draw what a recipe would make of a stored result, without the model: a WebP file, or None if it cannot."""

    def make_file(self, record: ArtifactRecord, recipe: Recipe, owner: str) -> Job:
        """Encode a stored result anew; the result is the file."""

    def read_file(self, record: ArtifactRecord, owner: str) -> Job:
        """Fetch the file that was encoded when the result was stored."""

    def offer_stored(self, record: ArtifactRecord) -> Offer:
        """Tell about the file that was encoded when the result was stored."""

    def offer(self, file: Any) -> Offer:
        """Tell about a file that `make_file` has made."""

    def whereabouts(self, record: ArtifactRecord) -> str:
        """Say in a sentence where a result is kept."""

    def look_at_model(self, name: str) -> tuple[bool, bool]:
        """Tell whether a model can run, and whether it cannot because its files are damaged."""

    def fetch_model(self, name: str, owner: str) -> Job:
        """Fetch the files of a model; the result is its name."""

    def find_fetch(self, name: str, owner: str) -> Job | None:
        """Return the owner's unfinished job that fetches a model, or None."""


class ServerRuntime:
    """Works in this process: a queue with threads, the artifacts folder, loaded models.

    Parameters
    ----------
    store : ArtifactStore, optional
        Where results go; this process's store if None.
    queue : JobQueue, optional
        Where work runs; this process's queue if None.
    pool : SessionPool, optional
        The loaded models; this process's pool if None.
    """

    formats = tuple(ENCODERS)
    promise = "Nothing is sent to any other site."
    defaults: dict[str, Any] = {}
    missing: tuple[str, ...] = ()
    has_threads = True
    has_providers = True
    has_links = False

    def __init__(
        self, store: ArtifactStore | None = None, queue: JobQueue | None = None, pool: SessionPool | None = None
    ) -> None:
        self.store = store or default_store()
        self.queue = queue or default_queue()
        self.limits = DecodeLimits.from_environment()
        self.models = tuple(load_catalogue())
        self.may_fetch = os.environ.get("CUTOUT_FETCH", "") != "no"
        self._pool = pool or default_pool()

    def read_photo(self, data: bytes, name: str, owner: str) -> Job:
        """See `Runtime`."""

        def work(job: Job) -> tuple[bytes, str]:
            steps = Steps(job.report, job.cancel_token)
            with steps("Reading the photo", 0.1, 0.6, "decode") as tick:
                source = decode(data, name=name, tick=tick)
            with steps("Drawing the preview", 0.6, 1.0, "preview") as tick:
                return encode_preview(source.visible, long_side=PREVIEW_SIDE, tick=tick), source.remark

        return self.queue.submit(work, owner=owner, kind="read")

    def cut_out(
        self,
        photo: Photo,
        recipe: Recipe,
        owner: str,
        earlier: ArtifactRecord | None,
        wake: Callable[[], object],
    ) -> Job:
        """See `Runtime`."""

        def work(job: Job) -> tuple[ArtifactRecord, bytes] | None:
            result = run(
                photo.data,
                recipe,
                name=photo.name,
                previous=self.store.load(earlier) if earlier is not None else None,
                pool=self._pool,
                progress=lambda step, fraction: job.report(step, fraction * PIPELINE_SHARE),
                cancel=job.cancel_token,
            )
            if not result.subject_found:
                return None
            steps = Steps(job.report, job.cancel_token)
            with steps("Drawing the preview", PIPELINE_SHARE, PREVIEW_SHARE, "preview") as tick:
                preview = encode_preview(result.pixels, long_side=PREVIEW_SIDE, tick=tick)
            job.publish(preview)
            wake()
            with steps("Saving the result", PREVIEW_SHARE, 1.0, "save") as tick:
                record = self.store.save(result, owner, previews=(photo.preview, preview), tick=tick)
            return record, preview

        return self.queue.submit(work, owner=owner, kind="run", payload=photo)

    def draw_draft(self, record: ArtifactRecord, recipe: Recipe, owner: str) -> Job:
        """See `Runtime`."""

        def work(job: Job) -> bytes | None:
            coarse = self.store.coarse(record)
            if coarse is None:
                return None
            source = decode(self.store.read(record, "before"), name=record.source["name"])
            steps = Steps(job.report, job.cancel_token)
            with steps("Drawing the preview", 0.1, 1.0, "draft") as tick:
                pixels = draft(source, coarse, recipe, size_of(record), tick)
                return encode_preview(pixels, long_side=PREVIEW_SIDE)

        return self.queue.submit(work, owner=owner, kind="draft")

    def make_file(self, record: ArtifactRecord, recipe: Recipe, owner: str) -> Job:
        """See `Runtime`."""

        def work(job: Job) -> bytes:
            return replace(self.store.load(record), recipe=recipe).encode().data

        return self.queue.submit(work, owner=owner, kind="file")

    def read_file(self, record: ArtifactRecord, owner: str) -> Job:
        """See `Runtime`."""
        return self.queue.submit(lambda job: self.store.read(record, "result"), owner=owner, kind="file")

    def offer_stored(self, record: ArtifactRecord) -> Offer:
        """See `Runtime`."""
        return Offer(self.store.size_bytes(record, "result"))

    def offer(self, file: bytes) -> Offer:
        """See `Runtime`."""
        return Offer(len(file))

    def whereabouts(self, record: ArtifactRecord) -> str:
        """See `Runtime`. The path holds no name from outside: the folder's name and the file's are ours."""
        return f"Saved at {self.store.path(record, 'result')}"

    def look_at_model(self, name: str) -> tuple[bool, bool]:
        """See `Runtime`."""
        from processing.models.inventory import Status, status  # locks files, which a browser's Python cannot

        state = status(find_model(name))
        return state in (Status.BUILT_IN, Status.HERE), state == Status.DAMAGED

    def fetch_model(self, name: str, owner: str) -> Job:
        """See `Runtime`. Fetching has a queue of its own: photos need not wait for it."""
        from processing.models.download import fetch

        def work(job: Job) -> str:
            fetch(
                find_model(name),
                progress=lambda report: job.report(describe_fetch(report), report.fraction),
                cancel=job.cancel_token,
            )
            return name

        return fetch_queue().submit(work, owner=owner, kind=f"fetch {name}")

    def find_fetch(self, name: str, owner: str) -> Job | None:
        """See `Runtime`."""
        return fetch_queue().find(owner, f"fetch {name}")


def describe_fetch(report: ProgressReport) -> str:
    """Say how far fetching is: "Fetching, 12 of 176 MB, 3.4 MB/s, 48 s left"."""
    parts = [report.step]
    if report.total_bytes:
        parts.append(f"{report.done_bytes / 1e6:.0f} of {readable_size(report.total_bytes)}")
    if report.bytes_per_s:
        parts.append(f"{report.bytes_per_s / 1e6:.1f} MB/s")
    if report.time_left_s is not None:
        parts.append(f"{report.time_left_s:.0f} s left")
    return f"{', '.join(parts)}. {report.note}".removesuffix(". ")


def size_of(record: ArtifactRecord) -> tuple[int, int]:
    """Return the height and width of a result's photo, in pixels."""
    return record.source["height"], record.source["width"]


@cache
def fetch_queue() -> JobQueue:
    """Return the queue in which this process fetches models."""
    return JobQueue(workers=2)


def default_runtime() -> Runtime:
    """Return what does the work here. This is the one place where server and browser part."""
    if sys.platform == "emscripten":
        from dashboard.browser.runtime import BrowserRuntime

        return BrowserRuntime()
    return ServerRuntime()
