"""The loaded models, one of each, shared by every user of the process."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache

from processing.errors import ModelError
from processing.models import DEFAULT_MODEL, ModelSpec, find_model
from processing.sessions import Session, open_session
from processing.sessions.memory import estimate_cost, memory_limit, return_freed_memory

logger = logging.getLogger(__name__)

#: A model, and the choice of what runs it.
_Key = tuple[ModelSpec, str]


_TOO_LARGE = (
    "{} takes about {:.0f} MB, more than the {:.0f} MB that models may take here. It is loaded all the same, alone. "
    "CUTOUT_MODEL_MEMORY_MB sets the limit."
)


@dataclass(frozen=True)
class _Loaded:
    session: Session
    cost: int


@dataclass(frozen=True)
class _Loading:
    result: Future[Session]
    cost: int


class SessionPool:
    """Loads each model once, however many threads ask for it at the same time, and lets go of those that are not used.

    The memory of the loaded models, as `processing.sessions.memory` estimates it, stays within a limit: before a model
    is loaded, those that were asked for longest ago are dropped. A run that holds a session keeps it until it ends. A
    model that is larger than the limit is loaded all the same, alone.

    Parameters
    ----------
    open_session : callable
        Makes the session of a model and a choice of provider; replaced in tests.
    limit_bytes : int, optional
        What loaded models may take together; `processing.sessions.memory.memory_limit` if None.
    cost : callable
        Estimates the memory of a loaded model, in bytes; replaced in tests.

    Raises
    ------
    ModelError
        If ``CUTOUT_MODEL_MEMORY_MB`` is not a positive number.
    """

    def __init__(
        self,
        open_session: Callable[[ModelSpec, str], Session] = open_session,
        *,
        limit_bytes: int | None = None,
        cost: Callable[[ModelSpec], int] = estimate_cost,
    ) -> None:
        self._open, self._cost = open_session, cost
        self._limit = memory_limit() if limit_bytes is None else limit_bytes
        self._lock = threading.Lock()  # held for looking things up only, never while a model is loaded, run or freed
        self._loaded: OrderedDict[_Key, _Loaded] = OrderedDict()  # asked for longest ago first
        self._loading: dict[_Key, _Loading] = {}

    def get(self, spec: ModelSpec, provider: str = "best") -> Session:
        """Return the session of a model, loading it the first time.

        Threads that ask for a model while it loads wait for it, and share its error if that fails; those that ask for
        another model, or run one, do not.

        Raises
        ------
        ModelError
            If the model cannot be loaded; the next call tries again.
        """
        key = spec, provider
        with self._lock:
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key].session
            others = self._loading.get(key)
            if others is None:
                ours = self._loading[key] = _Loading(Future(), self._cost(spec))
                dropped = self._drop_all_but(key)
        if others is not None:
            return others.result.result()
        self._let_go(dropped, spec)
        if ours.cost > self._limit:
            logger.warning(_TOO_LARGE.format(spec.name, ours.cost / 1e6, self._limit / 1e6))
        return self._load(key, ours)

    def _load(self, key: _Key, loading: _Loading) -> Session:
        try:
            session = self._open(*key)
        except BaseException as error:  # a signal too must not leave the others waiting
            with self._lock:
                del self._loading[key]
            loading.result.set_exception(error)
            raise
        with self._lock:
            del self._loading[key]
            self._loaded[key] = _Loaded(session, loading.cost)
            dropped = self._drop_all_but(key)  # models that were loaded at the same time
        loading.result.set_result(session)
        self._let_go(dropped, key[0])
        return session

    def _drop_all_but(self, wanted: _Key) -> list[tuple[str, _Loaded]]:
        """Take what is over the limit out of the pool, oldest first; the caller holds the lock."""
        dropped = []
        taken = sum(each.cost for each in self._loaded.values()) + sum(each.cost for each in self._loading.values())
        for key in [key for key in self._loaded if key != wanted]:
            if taken <= self._limit:
                break
            loaded = self._loaded.pop(key)
            taken -= loaded.cost
            dropped.append((key[0].name, loaded))
        return dropped

    def _let_go(self, dropped: list[tuple[str, _Loaded]], spec: ModelSpec) -> None:
        """Free sessions, without the lock: a large one takes a moment."""
        while dropped:
            name, loaded = dropped.pop()
            logger.info("%s leaves memory (about %d MB) for %s", name, loaded.cost / 1e6, spec.name)
            del loaded
            return_freed_memory()


@cache
def default_pool() -> SessionPool:
    """Return the pool of this process."""
    return SessionPool()


@cache
def warm_up() -> threading.Thread:
    """Load the built-in model into this process's pool, in the background and once, so that nobody waits for it."""

    def load() -> None:
        try:
            default_pool().get(find_model(DEFAULT_MODEL))
        except ModelError as error:
            logger.warning("The first run will say so too: %s", error)

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    return thread
