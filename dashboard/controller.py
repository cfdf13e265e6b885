"""What the page knows and can do, without a widget: testable, and the same on a server and in a notebook."""

from __future__ import annotations

import functools
import re
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import param

from dashboard.drafts import Drafts
from dashboard.models import ModelChooser
from dashboard.notices import NO_SUBJECT, Notice, deleted, gone, notice_of
from dashboard.runtime import Offer, Photo, Runtime, default_runtime
from processing import ArtifactRecord, ProcessingError, Recipe, finish
from processing.composite import TRANSPARENT
from processing.encoders import ENCODERS, find_encoder
from processing.jobs import DONE, FAILED, Job
from processing.store import LOCAL_OWNER

HISTORY_LENGTH = 12

#: Seconds that options must have stayed as they are before their file is made, so that a moving slider makes none.
_SETTLED_S = 0.4

#: Options that decide about the matte alone: the file of a stored result does not change with them.
_OF_A_RUN = ("model", "non_commercial", "provider", *finish.OPTIONS)


def _do_nothing() -> None:
    pass


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def locked(self: Controller, *args: Any) -> Any:
        with self._lock:
            return method(self, *args)

    return locked


class Controller(param.Parameterized):
    """State and actions of one visitor's page.

    Work runs in the runtime's queue. The page calls `poll` a few times a second: it copies the state of the jobs into
    these parameters; the queue's threads never touch them. Panel calls the actions from a pool of threads, so each of
    them holds the lock.

    Parameters
    ----------
    runtime : Runtime, optional
        What does the work; if None, what this machine or browser has.
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
    offer = param.ClassSelector(
        class_=Offer, allow_None=True, doc="The file that Download gives; None until something is known of it."
    )

    def __init__(self, runtime: Runtime | None = None, **params: Any) -> None:
        self._lock = threading.RLock()
        self._photo: Photo | None = None
        self._job: Job | None = None
        self._on_done: Callable[[Any], None] | None = None
        self._file_job: Job | None = None
        self._file_due: float | None = None
        self._deleted: ArtifactRecord | None = None
        self._run_is_next = False
        #: Called from a working thread when there is something to poll; a page that can be called so sets it.
        self.wake: Callable[[], object] = _do_nothing
        self.runtime = runtime or default_runtime()
        self.store = self.runtime.store
        params.setdefault("recipe", Recipe(**self.runtime.defaults))
        super().__init__(**params)
        #: The choice of the model, and its download.
        self.models = ModelChooser(self.runtime, self.recipe, self.owner)
        self.models.param.watch(self._take_notice, "notice")
        self.recipe.param.watch(self._take_options, list(Recipe.option_names()))
        #: What the options that are not applied yet would make of the result.
        self.drafts = Drafts(self.runtime)
        self._meet_owner()

    # Actions

    @_one_at_a_time
    def load(self, data: bytes, name: str) -> None:
        """Take a new photo and show it; whatever was being done is given up."""
        self.cancel()
        self._photo = None
        name = safe_name(name)
        self.param.update(before=None, after=None, record=None, notice=None, photo_name=name, can_run=False)

        def show(outcome: tuple[bytes, str]) -> None:
            preview, remark = outcome
            self._photo = Photo(data, name, preview)
            self.param.update(before=preview, notice=Notice("info", remark) if remark else None)

        self._start("read", lambda: self.runtime.read_photo(data, name, self.owner), show)

    @_one_at_a_time
    def run(self) -> None:
        """Cut the subject out of the photo, and keep the result in the artifacts folder.

        Of a photo that is still being read this begins when it has been read.
        """
        if self.activity == "read":
            self._run_is_next = True
            return
        if not self.can_run or self._photo is None or self.models.obstacle:
            return
        photo, recipe, owner, earlier = self._photo, self.recipe.snapshot(), self.owner, self.record

        def submit() -> Job:
            return self.runtime.cut_out(photo, recipe, owner, earlier, lambda: self.wake())

        if self._start("run", submit, self._show_result):
            self.param.update(after=None, record=None, notice=None)

    def _show_result(self, outcome: tuple[ArtifactRecord, bytes] | None) -> None:
        if outcome is None:
            self.notice = NO_SUBJECT
            return
        record, preview = outcome
        self.param.update(record=record, after=preview)
        self.refresh_history()

    def _take_notice(self, event: Any) -> None:
        self.notice = event.new

    @_one_at_a_time
    def cancel(self) -> None:
        """Stop what is being done; the photo stays."""
        self._run_is_next = False
        if self._job is not None:
            self._job.cancel()
            self._end()

    @_one_at_a_time
    def open(self, record_id: str) -> None:
        """Show one of the owner's stored results again."""
        self.cancel()
        try:
            record = self.store.get(record_id, self.owner)
            data = self.store.read(record, "source")
            before, after = self.store.read(record, "before"), self.store.read(record, "preview")
        except ProcessingError as error:
            self.notice = notice_of(error)
            self.refresh_history()
            return
        name = record.source["name"]
        self._photo = Photo(data, name, before)
        self.param.update(photo_name=name, before=before, after=after, record=record, notice=None, can_run=True)

    @_one_at_a_time
    def delete(self) -> None:
        """Delete the result that is shown; `undo` brings it back."""
        record = self.record
        if record is None:
            return
        try:
            self.store.delete(record)
        except ProcessingError as error:
            self.notice = notice_of(error)
        else:
            self._deleted = record
            self.param.update(record=None, after=None, notice=deleted(record.source["name"]))
        self.refresh_history()

    @_one_at_a_time
    def undo(self) -> None:
        """Bring the result that was deleted last back, and show it."""
        record, self._deleted = self._deleted, None
        if record is None:
            return
        try:
            self.store.restore(record.id, self.owner)
        except ProcessingError as error:
            self.notice = notice_of(error)
        else:
            self.open(record.id)
        self.refresh_history()

    @property
    def download_name(self) -> str:
        """File name for the download: the photo's, with another end."""
        encoder = find_encoder(self.recipe.format)
        return f"{self.photo_name.rpartition('.')[0] or self.photo_name}-{encoder.content}{encoder.suffix}"

    def refresh_history(self) -> None:
        """List the owner's last results anew."""
        try:
            self.history = self.store.list(self.owner, HISTORY_LENGTH)
        except ProcessingError as error:
            self.param.update(history=[], notice=notice_of(error))

    @_one_at_a_time
    def close(self) -> None:
        """Let go of the photo and the jobs: the page is gone, so no parameter is touched.

        A run goes on: a reloaded page, or the history, finds it.
        """
        for job in (self._job, self._file_job):
            if job is not None and job.kind != "run":
                job.cancel()
        self.drafts.stop()
        self._photo = self._job = self._on_done = self._file_job = self._file_due = None
        self.wake = _do_nothing

    @param.depends("owner", watch=True)
    def _meet_owner(self) -> None:
        """Show what belongs to the owner: the history, and a run that an earlier page of theirs has started."""
        with self._lock:
            self.models.meet_owner(self.owner)
            self.refresh_history()
            job = self.runtime.queue.find(self.owner, "run") if self._job is None else None
            photo = job.payload if job is not None else None
            if job is None or photo is None:
                return
            self._photo, self._job, self._on_done = photo, job, self._show_result
            self.param.update(photo_name=photo.name, before=photo.preview, activity="run", can_run=False)

    # The job that the page shows

    @_one_at_a_time
    def poll(self) -> None:
        """Copy the state of the jobs into the parameters; called by the page a few times a second."""
        self._poll_file()
        self.drafts.poll()
        job = self._job
        if job is None:
            return
        if job.is_finished:
            self._end()
            return
        waiting = self.runtime.queue.position(job)
        step = f"Waiting for {waiting} other job{'s' if waiting > 1 else ''}" if waiting else job.step
        left = job.time_left_s()
        if left is not None and left >= 2:
            step += f", about {left:.0f} s left"
        self.param.update(step=step, fraction=job.fraction)
        if job.kind == "run" and job.early is not None:
            self.after = job.early

    def _start(self, activity: str, submit: Callable[[], Job], on_done: Callable[[Any], None]) -> bool:
        try:
            self._job = submit()
        except ProcessingError as error:
            self.param.update(notice=notice_of(error), can_run=self._photo is not None)
            return False
        self._on_done = on_done
        self._job.future.add_done_callback(lambda future: self.wake())
        self.param.update(activity=activity, step="", fraction=0, can_run=False)
        return True

    def _end(self) -> None:
        job, on_done, self._job, self._on_done = self._job, self._on_done, None, None
        self.param.update(activity="", step="", fraction=0)
        if job is not None and job.state == DONE and on_done is not None:
            on_done(job.result)
        elif job is not None and job.state == FAILED and job.error is not None:
            self.notice = notice_of(job.error)
        if self.record is None:
            self.after = None  # what was shown early and is not stored
        self.can_run = self._photo is not None
        if self._run_is_next:
            self._run_is_next = False
            self.run()

    # The file that Download gives

    @_one_at_a_time
    def _take_options(self, *events: Any) -> None:
        """Make the file anew once the options have settled. Of two that exclude each other the later one wins."""
        recipe, encoder = self.recipe, ENCODERS[self.recipe.format]
        transparent = recipe.background == TRANSPARENT
        if (transparent and not encoder.keeps_alpha) or (not transparent and encoder.content != "cutout"):
            if any(event.name == "format" for event in events):
                recipe.background = "white" if transparent else TRANSPARENT
            else:
                recipe.format = Recipe.param.format.default
            return  # the change has called this method again
        if any(event.name in _OF_A_RUN for event in events):
            self.drafts.plan(self.record, recipe, self.owner, lambda: self.wake())
        self._plan_file()

    @param.depends("record", watch=True)
    def _take_record(self) -> None:
        self.drafts.clear()  # a stored result is shown as it was stored, whatever the options are by now
        self._plan_file()

    def _plan_file(self) -> None:
        with self._lock:
            self._forget_file()
            if self.record is None:
                return
            if self._is_stored_form():
                self.offer = self.runtime.offer_stored(self.record)
            else:
                self._file_due = time.monotonic() + _SETTLED_S

    def _is_stored_form(self) -> bool:
        stored, wanted = self.record.recipe, self.recipe.as_dict()
        return all(stored.get(option) == value for option, value in wanted.items() if option not in _OF_A_RUN)

    @property
    def is_outdated(self) -> bool:
        """Whether Run would give another result than the one that is shown."""
        if self.record is None:
            return False
        stored, wanted = self.record.recipe, self.recipe.as_dict()
        return any(stored.get(option) != wanted[option] for option in _OF_A_RUN if option != "non_commercial")

    def _forget_file(self) -> None:
        if self._file_job is not None:
            self._file_job.cancel()
        self.offer = None  # before the job lets go of the file: the page must not offer what is gone
        self._file_job = self._file_due = None

    def _poll_file(self) -> None:
        if self._file_due is not None and time.monotonic() >= self._file_due:
            try:
                self.submit_download()
            except ProcessingError as error:
                self._file_due = None
                self.notice = notice_of(error)
        job = self._file_job
        if job is not None and job.is_finished and self.offer is None:
            if job.state == DONE:
                self.offer = self.runtime.offer(job.result)
            elif job.state == FAILED and job.error is not None:
                self._file_job = None
                self._tell_of_record(job.error)

    def _tell_of_record(self, error: BaseException) -> None:
        """Tell why the shown result cannot be used; one that another page has deleted is not shown any longer."""
        record = self.record
        try:
            if record is not None:
                self.store.get(record.id, self.owner)
            self.notice = notice_of(error)
        except ProcessingError:
            self.param.update(record=None, after=None, notice=gone(record.source["name"]))
            self.refresh_history()

    @_one_at_a_time
    def submit_download(self) -> Job | None:
        """Return the job that makes the file for Download, in the recipe's format; its result is the file.

        None when no result is shown.

        Raises
        ------
        QueueError
            If the owner has too many jobs in the queue.
        """
        record, recipe = self.record, self.recipe.snapshot()
        if record is None:
            return None
        if self._file_job is not None:
            return self._file_job
        if self._is_stored_form():
            return self.runtime.read_file(record, self.owner)
        self._file_job, self._file_due = self.runtime.make_file(record, recipe, self.owner), None
        return self._file_job


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
