"""Which model the page uses, what its weights may be used for, and how they get here."""

from __future__ import annotations

import threading
from typing import Any

import param

from dashboard.notices import Notice, notice_of
from dashboard.runtime import Runtime
from processing import ProcessingError, Recipe
from processing.jobs import DONE, FAILED, Job
from processing.models import ModelSpec, find_model
from processing.models.spec import SUBJECTS

#: How long somebody may want to wait for a photo: seconds, or 0 for as long as it takes, to words.
WAITS = {"Up to a second": 1.0, "Up to ten seconds": 10.0, "As long as it takes": 0.0}

READY, MISSING, FETCHING = "ready", "missing", "fetching"


class ModelChooser(param.Parameterized):
    """State and actions of the model's part of a page.

    Parameters
    ----------
    runtime : Runtime
        Knows the models and fetches them.
    recipe : Recipe
        Its `model` is what is chosen.
    owner : str
        Who fetches; changed when the page learns it.
    """

    subject = param.Selector(default="anything", objects=list(SUBJECTS), doc="What the picture shows.")
    wait_s = param.Selector(default=0.0, objects=list(WAITS.values()), doc="Longest wait for a photo, in seconds.")
    commercial_only = param.Boolean(
        default=False,
        label="Commercial use allowed only",
        doc="List only models whose weights are declared as free for commercial use.",
    )

    choices = param.Dict(default={}, doc="Label to name of the models that fit, the chosen one among them.")
    state = param.Selector(default=READY, objects=[READY, MISSING, FETCHING], doc="Whether the chosen model can run.")
    damaged = param.Boolean(doc="Whether it cannot because its files are damaged.")
    step = param.String(doc="How far fetching is.")
    fraction = param.Number(default=0, bounds=(0, 1), doc="Fraction that is fetched.")
    notice = param.ClassSelector(class_=Notice, allow_None=True, doc="What the user must know, or None.")

    def __init__(self, runtime: Runtime, recipe: Recipe, owner: str = "") -> None:
        self._lock = threading.RLock()
        self._runtime, self._recipe, self.owner = runtime, recipe, owner
        self._job: Job | None = None
        self._wanted = self.spec.name  # the user's own choice: comes back when no filter is against it any more
        super().__init__()
        recipe.param.watch(self._want_model, "model")
        recipe.param.watch(self._take_model, "model")
        self._list()
        self._take_model()

    @property
    def spec(self) -> ModelSpec:
        """The chosen model."""
        return find_model(self._recipe.model)

    @property
    def may_fetch(self) -> bool:
        """Whether the page may fetch models."""
        return self._runtime.may_fetch

    @property
    def is_choice(self) -> bool:
        """Whether there is more than one model to choose from."""
        return len(self._runtime.models) > 1

    @property
    def obstacle(self) -> str:
        """Why the chosen model cannot run now, as a sentence that says what to do; empty if it can."""
        if self.state != READY:
            return "Fetch the model first, or choose another: see Model above."
        if self.spec.commercial_use == "no" and not self._recipe.non_commercial:
            return "This model is for non-commercial use: tick the box under Model above, or choose another."
        return ""

    @param.depends("subject", "wait_s", "commercial_only", watch=True)
    def _list(self) -> None:
        specs = [find_model(name) for name in self._runtime.models]
        fitting = [spec for spec in specs if self._fits(spec)]
        names, chosen = [spec.name for spec in fitting], self.spec
        if self._wanted in names:
            self._replace_model(self._wanted)
        elif chosen.name not in names:
            if fitting and chosen.name in self._runtime.models:
                self._replace_model(names[0])
            else:  # nothing fits, or it is a model of the user's own, given by its path
                fitting = [chosen, *fitting]
        self.choices = {self._label(spec): spec.name for spec in fitting}

    def _replace_model(self, name: str) -> None:
        """Choose for the user, and remember what they had chosen."""
        wanted, self._recipe.model = self._wanted, name
        self._wanted = wanted

    def _want_model(self, *_events: Any) -> None:
        self._wanted = self.spec.name

    def _fits(self, spec: ModelSpec) -> bool:
        return (
            self.subject in spec.subjects
            and (not self.wait_s or spec.wait_s <= self.wait_s)
            and (not self.commercial_only or spec.commercial_use in ("yes", "declared"))
        )

    def _label(self, spec: ModelSpec) -> str:
        return f"{spec.title} ({_readable_wait(spec.wait_s)})"

    def meet_owner(self, owner: str) -> None:
        """Take up the fetching that an earlier page of the owner has begun."""
        self.owner = owner
        self._take_model()

    def _take_model(self, *_events: Any) -> None:
        with self._lock:
            self._job = self._runtime.find_fetch(self._recipe.model, self.owner)
            ready, damaged = self._runtime.look_at_model(self._recipe.model)
            state = FETCHING if self._job else READY if ready else MISSING
            self.param.update(state=state, damaged=damaged, step="", fraction=0)
            self.param.trigger("state")  # another model in the same state is still another model

    def fetch(self) -> None:
        """Fetch the files of the chosen model."""
        with self._lock:
            if self.state != MISSING or not self.may_fetch:
                return
            try:
                self._job = self._runtime.fetch_model(self._recipe.model, self.owner)
            except ProcessingError as error:
                self.notice = notice_of(error)
                return
            self.param.update(state=FETCHING, step="", fraction=0, notice=None)

    def cancel(self) -> None:
        """Stop fetching; what has come so far is kept for the next time."""
        with self._lock:
            if self._job is not None:
                self._job.cancel()

    def poll(self) -> None:
        """Copy the state of the job into the parameters; called by the page a few times a second."""
        with self._lock:
            job = self._job
            if job is None:
                return
            if not job.is_finished:
                self.param.update(step=job.step, fraction=job.fraction)
                return
            self._take_model()
            if job.state == DONE:
                self.notice = Notice("success", f"{find_model(job.result).title} is here and can be used.")
            elif job.state == FAILED and job.error is not None:
                self.notice = notice_of(job.error)


def _readable_wait(wait_s: float) -> str:
    if wait_s <= 0:
        return "speed unknown"
    if wait_s < 1:
        return "less than a second"
    return f"about {wait_s:.0f} s" if wait_s < 60 else f"about {wait_s / 60:.0f} min"
