"""A whole batch: what is there already is skipped, the rest is handed to workers, a few photos at a time."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait

from processing.batch.executors import BACKENDS, Backend, core_count
from processing.batch.journal import Entry, Journal, Origin, State
from processing.batch.plan import BatchPlan, PlannedFile
from processing.batch.report import BatchProgress, BatchReport, Failure
from processing.batch.worker import Job, Outcome, process, process_in_worker
from processing.cancellation import CancelToken
from processing.encoders import check_output
from processing.errors import Cancelled, RecipeError
from processing.images import DecodeLimits
from processing.models import ModelSpec, find_model
from processing.models.integrity import require_weights
from processing.recipe import Recipe
from processing.sessions import open_session
from processing.sessions.providers import require_available

logger = logging.getLogger(__name__)

#: Called several times a second.
Progress = Callable[[BatchProgress], None]

_TICK_S = 0.1  # between two looks at the token; with the grace of the workers it makes a stop of about a second

_EXISTS = "{output} exists already and was not made by this command; --overwrite (overwrite=True) replaces it."
_DIED = (
    "The worker process died on this photo twice, the second time with nothing else to do: most likely there is not "
    "enough memory for it. Scale it down and retry."
)


def run_batch(
    plan: BatchPlan,
    recipe: Recipe | None = None,
    *,
    workers: int | None = None,
    backend: str | None = None,
    overwrite: bool = False,
    limits: DecodeLimits | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> BatchReport:
    """Make the cutouts of a folder that are not there yet.

    Photos are never written to; outputs are whole or not there. An output is skipped when the journal in the output
    folder says that it was made of the same photo with the same recipe and weights; one that is not in the journal is
    left alone and reported. A photo that fails does not stop the others.

    Parameters
    ----------
    plan : BatchPlan
        From `make_plan`, with the same recipe.
    recipe : Recipe, optional
        The options; the defaults if None.
    workers : int, optional
        Photos to work on at the same time; one for each processor core if None.
    backend : str, optional
        A key of `processing.batch.executors.BACKENDS`. If None: ``"processes"``, or ``"threads"`` for one worker,
        which needs no second process. A script that uses processes must call this under
        ``if __name__ == "__main__":``.
    overwrite : bool
        Also replace files at the places of outputs that no batch has made.
    limits : DecodeLimits, optional
        What is accepted; `DecodeLimits.from_environment()` if None.
    progress : callable, optional
        Told several times a second how far it is, in the calling thread.
    cancel : CancelToken, optional
        Stops the run within about a second; the report then says so. The next run goes on where this one stopped.

    Returns
    -------
    BatchReport
        Counts and failures.

    Raises
    ------
    RecipeError, EncodingError
        If `workers`, `backend` or the recipe have values that are not allowed.
    ModelError
        If the weights are missing or damaged, the provider that was asked for does not run, or worker processes cannot
        be started.
    StoreError
        If the output folder cannot be written.

    Examples
    --------
    >>> from processing import Recipe
    >>> from processing.batch import make_plan, run_batch
    >>> recipe = Recipe(format="webp")
    >>> report = run_batch(make_plan("photos", "cutouts", recipe), recipe)  # doctest: +SKIP
    >>> report.made, report.failures  # doctest: +SKIP
    (120, ())
    """
    recipe = (recipe or Recipe()).snapshot()
    suffix = check_output(recipe.format, recipe.background).suffix
    if suffix != plan.suffix:
        raise RecipeError(f"The plan has outputs with {plan.suffix}, the recipe gives {suffix}. Give both one recipe.")
    workers = core_count() if workers is None else workers
    if workers < 1:
        raise RecipeError(f"The number of workers is {workers}. Give 1 or more; this machine has {core_count()} cores.")
    backend = backend or ("processes" if workers > 1 else "threads")
    if backend not in BACKENDS:
        raise RecipeError(f"Unknown backend {backend!r}. Known: {', '.join(BACKENDS)}.")
    limits, weights_sha256 = limits or DecodeLimits.from_environment(), _check_weights(find_model(recipe.model))
    _check_provider(find_model(recipe.model), recipe.provider)
    with Journal(plan.output_folder) as journal:
        batch = _Batch(plan, recipe, weights_sha256, limits, journal, progress, cancel)
        batch.run(BACKENDS[backend], workers, overwrite)
        return batch.report(backend, workers)


def _check_weights(spec: ModelSpec) -> str:
    """Return the SHA-256 of the weights: one sentence now, instead of one for each photo."""
    path = require_weights(spec)
    if spec.sha256:
        return spec.sha256
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_provider(spec: ModelSpec, choice: str) -> None:
    """Load the model where a provider is a condition that may not hold: also one sentence instead of one per photo."""
    require_available(choice)
    if choice not in ("best", "cpu"):
        open_session(spec, choice)


class _Batch:
    """One run: the counts, and the steps that change them."""

    def __init__(
        self,
        plan: BatchPlan,
        recipe: Recipe,
        weights_sha256: str,
        limits: DecodeLimits,
        journal: Journal,
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> None:
        self._plan, self._journal, self._limits = plan, journal, limits
        self._options, self._model, self._weights_sha256 = recipe.as_dict(), recipe.model, weights_sha256
        self._progress = progress or (lambda progress: None)
        self._cancel = cancel or CancelToken()
        self._started_s = time.monotonic()
        self._made = self._skipped = 0
        self._interrupted = False
        self._failures: list[Failure] = []
        self._without_subject: list[str] = []

    def run(self, backend: Backend, workers: int, overwrite: bool) -> None:
        """Make what is not there yet; returns early when cancelled."""
        try:
            waiting = deque(file for file in self._plan.files if self._is_wanted(file, overwrite))
            workers = min(workers, len(waiting))
            while waiting:
                suspects = deque(self._feed(waiting, backend, workers, 2 * workers))
                while suspects:  # one of them killed its worker: each in turn has a worker of its own
                    for file in self._feed(suspects, backend, 1, 1):
                        self._fail(file, _DIED)
        except Cancelled:
            self._interrupted = True
        self._tell()

    def _is_wanted(self, file: PlannedFile, overwrite: bool) -> bool:
        self._cancel.raise_if_cancelled()
        state = self._journal.state_of(file.output, self._origin(file))
        if state is State.DONE:
            self._skipped += 1
        elif state is State.FOREIGN and not overwrite:
            # Not in the journal as a failure: that would make the file ours.
            self._failures.append(Failure(file.input, _EXISTS.format(output=self._plan.output_folder / file.output)))
        else:
            return True
        self._tell()
        return False

    def _origin(self, file: PlannedFile) -> Origin | None:
        try:
            found = (self._plan.input_folder / file.input).stat()
        except OSError:  # the worker tells why
            return None
        return Origin(file.input, found.st_size, found.st_mtime_ns, self._options, self._model, self._weights_sha256)

    def _feed(
        self, waiting: deque[PlannedFile], backend: Backend, workers: int, most_in_flight: int
    ) -> Iterable[PlannedFile]:
        """Take photos from `waiting` until it is empty; return those in flight when a worker died, usually none."""
        in_flight: dict[Future[Outcome], PlannedFile] = {}
        try:
            with backend.open(workers, self._model, self._options["provider"]) as executor:
                while waiting or in_flight:
                    self._cancel.raise_if_cancelled()
                    while waiting and len(in_flight) < most_in_flight:
                        future = self._submit(executor, backend, waiting[0])
                        in_flight[future] = waiting.popleft()  # after submitting, which a dead worker refuses
                    done, _ = wait(in_flight, _TICK_S, FIRST_COMPLETED)
                    self._collect(in_flight)
                    for future in done:
                        future.result()  # raises what ended the worker
                    self._tell()
        except BrokenExecutor as error:
            logger.warning("A worker process died: %s", error)
        finally:
            self._collect(in_flight)  # what was finished just before the end
        return in_flight.values()

    def _submit(self, executor: Executor, backend: Backend, file: PlannedFile) -> Future[Outcome]:
        job = Job(
            self._plan.input_folder / file.input,
            self._plan.output_folder / file.output,
            self._options,
            self._limits,
        )
        self._journal.begin(file.output)
        if backend.shares_memory:
            return executor.submit(process, job, self._cancel)
        return executor.submit(process_in_worker, job)

    def _collect(self, in_flight: dict[Future[Outcome], PlannedFile]) -> None:
        """Count the photos that are finished, and take them out."""
        for future in [each for each in in_flight if each.done() and not each.cancelled()]:
            if future.exception() is None:
                self._finish(in_flight.pop(future), future.result())

    def _finish(self, file: PlannedFile, outcome: Outcome) -> None:
        if outcome.reason:
            self._fail(file, outcome.reason)
            return
        origin = Origin(
            file.input,
            outcome.input_size_bytes,
            outcome.input_mtime_ns,
            self._options,
            self._model,
            self._weights_sha256,
        )
        entry = Entry(origin, file.output, outcome.output_size_bytes, outcome.subject_found, outcome.seconds)
        self._journal.finish(entry)
        self._made += 1
        if not outcome.subject_found:
            self._without_subject.append(file.input)

    def _fail(self, file: PlannedFile, reason: str) -> None:
        self._journal.fail(file.output, reason)
        self._failures.append(Failure(file.input, reason))

    def _tell(self) -> None:
        seconds = time.monotonic() - self._started_s
        total = len(self._plan.files)
        self._progress(BatchProgress(total, self._skipped, self._made, len(self._failures), seconds))

    def report(self, backend: str, workers: int) -> BatchReport:
        """Say how it ended."""
        total = len(self._plan.files)
        return BatchReport(
            input=str(self._plan.input_folder),
            output=str(self._plan.output_folder),
            total=total,
            made=self._made,
            skipped=self._skipped,
            failures=(*self._plan.unreadable, *self._failures),
            left=total - self._made - self._skipped - len(self._failures),
            without_subject=tuple(self._without_subject),
            other_files=self._plan.other_files,
            linked_folders=self._plan.linked_folders,
            interrupted=self._interrupted,
            backend=backend,
            workers=workers,
            seconds=time.monotonic() - self._started_s,
        )
