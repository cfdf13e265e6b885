"""What the cutout would look like with options that are not applied yet, drawn while they are being chosen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import param

from dashboard.runtime import Runtime
from processing import ArtifactRecord, ProcessingError, Recipe, finish
from processing.jobs import DONE, Job

#: Seconds that options must have stayed as they are before a draft is drawn, so that a moving slider draws none.
_SETTLED_S = 0.15

#: What must be as it was in the stored result: a draft begins with its model's matte.
_SAME = ("model", "provider")


class Drafts(param.Parameterized):
    """The draft of one page.

    Parameters
    ----------
    runtime : Runtime
        Draws.
    """

    is_wanted = param.Boolean(doc="Whether the options differ from those of the result that is shown.")
    picture = param.Bytes(allow_None=True, default=None, doc="The draft, a WebP file; None until it is drawn.")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._submit: Callable[[], Job] | None = None
        self._due = 0.0
        self._job: Job | None = None
        super().__init__()

    def plan(self, record: ArtifactRecord | None, recipe: Recipe, owner: str, wake: Callable[[], object]) -> None:
        """Draw a result with a recipe's options soon, if they differ from its own; else show none."""
        if record is None or not _differs(record.recipe, recipe.as_dict()):
            self.clear()
            return
        self.stop()
        options = recipe.snapshot()

        def submit() -> Job:
            job = self._runtime.draw_draft(record, options, owner)
            job.future.add_done_callback(lambda future: wake())
            return job

        self._submit, self._due = submit, time.monotonic() + _SETTLED_S
        self.is_wanted = True

    def clear(self) -> None:
        """Show no draft."""
        self.stop()
        self.param.update(is_wanted=False, picture=None)

    def stop(self) -> None:
        """Give up what is being drawn; what is shown stays."""
        if self._job is not None:
            self._job.cancel()
        self._submit = self._job = None

    def poll(self) -> None:
        """Begin when the options have settled, and show what is done."""
        if self._submit is not None and time.monotonic() >= self._due:
            submit, self._submit = self._submit, None
            try:
                self._job = submit()
            except ProcessingError:
                self.picture = None  # the queue is full: Run will say so
        if self._job is not None and self._job.is_finished:
            job, self._job = self._job, None
            self.picture = job.result if job.state == DONE else None


def _differs(stored: dict[str, Any], wanted: dict[str, Any]) -> bool:
    same_model = all(stored.get(option) == wanted[option] for option in _SAME)
    return same_model and not finish.is_finished_alike(stored, wanted)
