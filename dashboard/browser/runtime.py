"""Works in the visitor's browser: Pyodide for the numbers, the browser's codecs, onnxruntime-web for the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import js
import numpy as np
from PIL import features

from dashboard.browser.store import BrowserFile, VisitStore
from dashboard.runtime import PIPELINE_SHARE, PREVIEW_SHARE, Offer, Photo, size_of
from processing import ArtifactRecord, ModelError, Recipe, Result, run_async
from processing.browser.codecs import decode, encode_file, encode_preview
from processing.browser.engine import LIMITS, BrowserEngine
from processing.encoders import ENCODERS
from processing.finish import draft
from processing.jobs import Job, LoopQueue
from processing.models import DEFAULT_MODEL, find_model, prepare
from processing.steps import Steps
from processing.store import PREVIEW_SIDE, THUMBNAIL_SIDE

logger = logging.getLogger(__name__)


class BrowserRuntime:
    """See `dashboard.runtime.Runtime`, also for the methods."""

    formats = tuple(name for name in ENCODERS if name != "avif" or features.check("avif"))
    limits = LIMITS
    models = (DEFAULT_MODEL,)
    may_fetch = False
    promise = "Your photos never leave this device."
    defaults = {"refine": "none"}  # the network for edges is for onnxruntime, which is not here
    missing = ("refine",)
    has_threads = False
    has_providers = False
    has_links = True

    def __init__(self) -> None:
        self.store = VisitStore()
        self.queue = LoopQueue()
        self._engine = BrowserEngine(str(js.self.location.href).rpartition("/")[0] + "/")
        self._warming = asyncio.ensure_future(self._warm_up())

    async def _warm_up(self) -> None:
        """Load the built-in model, and let the browser compile it, so that the first run need not wait for either."""
        spec = find_model(DEFAULT_MODEL)
        try:
            session = await self._engine.open(spec)
            await session.predict(prepare(np.zeros((1, 1, 3), np.uint8), spec))
        except ModelError as error:
            logger.warning("The first run will say so too: %s", error)

    def read_photo(self, data: bytes, name: str, owner: str) -> Job:  # noqa: D102
        async def work(job: Job) -> tuple[bytes, str]:
            self.store.let_go()  # WebAssembly's memory never shrinks: what is old goes before what is new comes
            steps = Steps(job.report, job.cancel_token, repeat=False)
            with steps("Reading the photo", 0.1, 0.6, "decode") as tick:
                source = await self._engine.decode(data, name, LIMITS, tick)
            with steps("Drawing the preview", 0.6, 1.0, "preview") as tick:
                return await encode_preview(source.visible, long_side=PREVIEW_SIDE, tick=tick), source.remark

        return self.queue.submit(work, owner=owner, kind="read")

    def cut_out(  # noqa: D102
        self,
        photo: Photo,
        recipe: Recipe,
        owner: str,
        earlier: ArtifactRecord | None,
        wake: Callable[[], object],
    ) -> Job:
        async def work(job: Job) -> tuple[ArtifactRecord, bytes] | None:
            result = await run_async(
                photo.data,
                recipe,
                engine=self._engine,
                name=photo.name,
                previous=await self._load(earlier) if earlier is not None else None,
                limits=LIMITS,
                progress=lambda step, fraction: job.report(step, fraction * PIPELINE_SHARE),
                cancel=job.cancel_token,
            )
            if not result.subject_found:
                return None
            steps = Steps(job.report, job.cancel_token, repeat=False)
            with steps("Drawing the preview", PIPELINE_SHARE, PREVIEW_SHARE, "preview") as tick:
                preview = await encode_preview(result.pixels, long_side=PREVIEW_SIDE, tick=tick)
            job.publish(preview)
            wake()
            with steps("Writing the file", PREVIEW_SHARE, 1.0, "save") as tick:
                thumbnail = await encode_preview(result.pixels, long_side=THUMBNAIL_SIDE)
                file = BrowserFile(await encode_file(result, recipe, tick))
            contents = {"before": photo.preview, "preview": preview, "thumbnail": thumbnail}
            return self.store.keep(result, owner, contents, file), preview

        return self.queue.submit(work, owner=owner, kind="run", payload=photo)

    async def _load(self, record: ArtifactRecord) -> Result:
        data = self.store.read(record, "source")
        source = await self._engine.decode(data, record.source["name"], LIMITS, lambda share: None)
        return self.store.rebuild(record, source)

    def draw_draft(self, record: ArtifactRecord, recipe: Recipe, owner: str) -> Job:  # noqa: D102
        async def work(job: Job) -> bytes:
            before = self.store.read(record, "before")
            source = await decode(before, record.source["name"], LIMITS)
            steps = Steps(job.report, job.cancel_token, repeat=False)
            with steps("Drawing the preview", 0.1, 1.0, "draft") as tick:
                pixels = draft(source, self.store.coarse(record), recipe, size_of(record), tick)
                return await encode_preview(pixels, long_side=PREVIEW_SIDE)

        return self.queue.submit(work, owner=owner, kind="draft")

    def make_file(self, record: ArtifactRecord, recipe: Recipe, owner: str) -> Job:  # noqa: D102
        async def work(job: Job) -> BrowserFile:
            result = replace(await self._load(record), recipe=recipe)
            return BrowserFile(await encode_file(result, recipe, lambda share: job.cancel_token.raise_if_cancelled()))

        return self.queue.submit(work, owner=owner, kind="file")

    def read_file(self, record: ArtifactRecord, owner: str) -> Job:  # noqa: D102
        async def work(job: Job) -> BrowserFile:
            return self.store.file(record)

        return self.queue.submit(work, owner=owner, kind="file")

    def offer_stored(self, record: ArtifactRecord) -> Offer:  # noqa: D102
        return self.offer(self.store.file(record))

    def offer(self, file: BrowserFile) -> Offer:  # noqa: D102
        return Offer(file.size_bytes, file.url)

    def whereabouts(self, record: ArtifactRecord) -> str:  # noqa: D102
        return "Kept on this page only: it is gone when you close or reload it. Download what you want to keep."

    def look_at_model(self, name: str) -> tuple[bool, bool]:  # noqa: D102
        return name in self.models, False

    def fetch_model(self, name: str, owner: str) -> Job:  # noqa: D102
        raise ModelError("In the browser there is the built-in model only.")

    def find_fetch(self, name: str, owner: str) -> Job | None:  # noqa: D102
        return None
