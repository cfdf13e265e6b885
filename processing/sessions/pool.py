"""The loaded models, one of each, shared by every user of the process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache

from processing.errors import ModelError
from processing.models import DEFAULT_MODEL, ModelSpec, find_model
from processing.sessions import Session, open_session

logger = logging.getLogger(__name__)


class SessionPool:
    """Loads each model once, however many threads ask for it at the same time.

    Parameters
    ----------
    open_session : callable
        Makes the session of a model; replaced in tests.
    """

    def __init__(self, open_session: Callable[[ModelSpec], Session] = open_session) -> None:
        self._open = open_session
        self._lock = threading.Lock()
        self._loading: dict[ModelSpec, threading.Lock] = {}
        self._sessions: dict[ModelSpec, Session] = {}

    def get(self, spec: ModelSpec) -> Session:
        """Return the session of a model, loading it the first time.

        Threads that ask for a model while it loads wait for it; those that ask for another model do not.

        Raises
        ------
        ModelError
            If the model cannot be loaded; the next call tries again.
        """
        with self._lock:
            loading = self._loading.setdefault(spec, threading.Lock())
        with loading:
            session = self._sessions.get(spec)
            if session is None:
                session = self._sessions[spec] = self._open(spec)
            return session


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
