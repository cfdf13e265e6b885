"""What the page knows and can do, without a widget: testable, and the same on a server and in a notebook."""

from __future__ import annotations

import functools
import io
import re
import threading
import unicodedata
from collections.abc import Callable
from typing import Any

import param

from dashboard.notices import NO_SUBJECT, Notice, notice_of
from processing import ArtifactRecord, ArtifactStore, ProcessingError, Recipe, run
from processing.encoders import encode, encode_preview, find_encoder
from processing.images import decode
from processing.jobs import CANCELLED, DONE, Job, JobQueue, default_queue
from processing.sessions.pool import SessionPool, default_pool
from processing.store import LOCAL_OWNER, PREVIEW_SIDE

HISTORY_LENGTH = 12

#: Of a whole run in the page, the part that the pipeline takes; the rest is encoding and saving.
_PIPELINE_SHARE = 0.55


def _one_at_a_time(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def locked(self: Controller, *args: Any) -> None:
        with self._lock:
            method(self, *args)

    return locked


class Controller(param.Parameterized):
    """State and actions of one visitor's page.

    Work runs in the process-wide queue. The page calls `poll` a few times a second, which copies the state of the job
    into these parameters; the queue's threads never touch them. Panel calls the actions from a pool of threads, so each
    of them holds the lock.

    Parameters
    ----------
    store : ArtifactStore, optional
        Where results go.
    queue : JobQueue, optional
        Where work runs; this process's queue if None.
    pool : SessionPool, optional
        The loaded models; this process's pool if None.
    """

    owner = param.String(
        default=LOCAL_OWNER, allow_refs=True, doc="Owner of this page's results; nobody else's are listed."
    )
    recipe = param.ClassSelector(class_=Recipe, doc="The options that the next run, and the next download, use.")

    photo_name = param.String(doc="Name of the photo, for people; plain text, never HTML.")
    before = param.Bytes(allow_None=True, default=None, doc="Preview of the photo, a WebP file.")
    after = param.Bytes(allow_None=True, default=None, doc="Preview of the cutout, a WebP file with transparency.")
    record = param.ClassSelector(class_=ArtifactRecord, allow_None=True, doc="The stored result that is shown.")
    history = param.List(doc="The owner's last results, newest first.")
    notice = param.ClassSelector(class_=Notice, allow_None=True, doc="What the user must know, or None.")

    activity = param.Selector(default="", objects=["", "read", "run"], doc="What is being done, empty when idle.")
    step = param.String(doc="The step that the job is in, or its place in the queue.")
    fraction = param.Number(default=0, bounds=(0, 1), doc="Fraction of the job that is done.")
    can_run = param.Boolean(doc="Whether there is a photo and nothing else is being done.")

    def __init__(
        self,
        store: ArtifactStore | None = None,
        queue: JobQueue | None = None,
        pool: SessionPool | None = None,
        **params: Any,
    ) -> None:
        params.setdefault("recipe", Recipe())
        super().__init__(**params)
        self.store = store or ArtifactStore()
        self._queue = queue or default_queue()
        self._pool = pool or default_pool()
        self._photo: bytes | None = None
        self._job: Job | None = None
        self._on_done: Callable[[Any], None] | None = None
        self._lock = threading.RLock()
        self.refresh_history()

    # Actions

    @_one_at_a_time
    def load(self, data: bytes, name: str) -> None:
        """Take a new photo and show it; whatever was being done is given up."""
        self.cancel()
        self._photo = None
        self.param.update(before=None, after=None, record=None, notice=None, photo_name=safe_name(name), can_run=False)

        def read(job: Job) -> bytes:
            job.report("Reading the photo", 0.1)
            return encode_preview(decode(data, name=self.photo_name).pixels, long_side=PREVIEW_SIDE)

        def show(preview: bytes) -> None:
            self._photo = data
            self.before = preview

        self._start("read", read, show)

    @_one_at_a_time
    def run(self) -> None:
        """Cut the subject out of the photo, and keep the result in the artifacts folder."""
        if not self.can_run or self._photo is None:
            return
        data, name, recipe, owner = self._photo, self.photo_name, self.recipe.snapshot(), self.owner

        def work(job: Job) -> tuple[ArtifactRecord, bytes] | None:
            result = run(
                data,
                recipe,
                name=name,
                pool=self._pool,
                progress=lambda step, fraction: job.report(step, fraction * _PIPELINE_SHARE),
                cancel=job.cancel_token,
            )
            if not result.subject_found:
                return None
            job.cancel_token.raise_if_cancelled()
            job.report("Saving the result", _PIPELINE_SHARE)
            record = self.store.save(result, owner)
            return record, self.store.read(record, "preview")

        def show(outcome: tuple[ArtifactRecord, bytes] | None) -> None:
            if outcome is None:
                self.notice = NO_SUBJECT
                return
            record, preview = outcome
            self.param.update(record=record, after=preview)
            self.refresh_history()

        self.param.update(after=None, record=None, notice=None)
        self._start("run", work, show)

    @_one_at_a_time
    def cancel(self) -> None:
        """Stop what is being done; the photo stays."""
        if self._job is not None:
            self._job.cancel()
            self._end(None)

    @_one_at_a_time
    def open(self, record_id: str) -> None:
        """Show one of the owner's stored results again."""
        self.cancel()
        try:
            record = self.store.get(record_id, self.owner)
            photo = self.store.read(record, "source")
            before, after = self.store.read(record, "before"), self.store.read(record, "preview")
        except ProcessingError as error:
            self.notice = notice_of(error)
            self.refresh_history()
            return
        self._photo = photo
        self.param.update(
            photo_name=record.source["name"], before=before, after=after, record=record, notice=None, can_run=True
        )

    def submit_download(self) -> Job | None:
        """Put the encoding of the shown result, in the recipe's format and background, into the queue.

        The job's result is a file object. None when no result is shown.
        """
        record, recipe = self.record, self.recipe.snapshot()
        if record is None:
            return None

        def work(job: Job) -> io.BytesIO:
            if all(record.recipe[option] == getattr(recipe, option) for option in ("format", "background")):
                return io.BytesIO(self.store.read(record, "result"))
            return io.BytesIO(encode(self.store.load_cutout(record), recipe.format, recipe.background).data)

        return self._queue.submit(work)

    @property
    def download_name(self) -> str:
        """File name for the download: the photo's, with another end."""
        return (
            f"{self.photo_name.rpartition('.')[0] or self.photo_name}-cutout{find_encoder(self.recipe.format).suffix}"
        )

    @param.depends("owner", watch=True)
    def refresh_history(self) -> None:
        """List the owner's last results anew."""
        self.history = self.store.list(self.owner, HISTORY_LENGTH)

    @_one_at_a_time
    def poll(self) -> None:
        """Copy the state of the running job into the parameters; called by the page a few times a second."""
        job = self._job
        if job is None:
            return
        if job.is_finished:
            self._end(job)
            return
        waiting = self._queue.position(job)
        step = f"Waiting for {waiting} other job{'s' if waiting > 1 else ''}" if waiting else job.step
        left = job.time_left_s()
        if left is not None and left >= 2:
            step += f", about {left:.0f} s left"
        self.param.update(step=step, fraction=job.fraction)

    @_one_at_a_time
    def close(self) -> None:
        """Give up what is being done and let go of the photo: the page is gone."""
        self.cancel()
        self._photo = None
        self.param.update(before=None, after=None, record=None, can_run=False)

    # The job

    def _start(self, activity: str, work: Callable[[Job], Any], on_done: Callable[[Any], None]) -> None:
        self._on_done = on_done
        self.param.update(activity=activity, step="", fraction=0, can_run=False)
        self._job = self._queue.submit(work)

    def _end(self, job: Job | None) -> None:
        on_done, self._job, self._on_done = self._on_done, None, None
        self.param.update(activity="", step="", fraction=0)
        if job is not None and job.state == DONE and on_done is not None:
            on_done(job.result)
        elif job is not None and job.state != CANCELLED and job.error is not None:
            self.notice = notice_of(job.error)
        self.can_run = self._photo is not None


def safe_name(name: str) -> str:
    """Make a file name from elsewhere fit to be shown and offered again.

    No folders, no control characters, at most 80 characters. Whoever puts it into HTML still escapes it.
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if len(name) > 80:
        name = stem[: 79 - len(suffix)] + dot + suffix if dot and len(suffix) < 10 else name[:80]
    return name or "photo"
