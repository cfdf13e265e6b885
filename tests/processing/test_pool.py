"""The loaded models, shared by every user of the process."""

import gc
import logging
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from contracts import FakeSession

from processing.errors import ModelError
from processing.sessions.pool import SessionPool, default_pool, warm_up

PATIENCE_S = 30


def test_model_is_loaded_once_for_all_threads_that_ask_at_the_same_time(compact):
    loads, everybody_asks = [], threading.Barrier(8)

    def load(spec, provider):
        loads.append(spec)
        time.sleep(0.2)  # a chance for the others to begin a second load
        return FakeSession([[1.0]])

    pool = SessionPool(load)

    def ask(_):
        everybody_asks.wait(PATIENCE_S)
        return pool.get(compact)

    with ThreadPoolExecutor(8) as threads:
        sessions = list(threads.map(ask, range(8)))
    assert loads == [compact]
    assert len(set(map(id, sessions))) == 1


def test_loaded_model_is_given_again(compact):
    pool = SessionPool(lambda spec, provider: FakeSession([[1.0]]))
    assert pool.get(compact) is pool.get(compact)


def test_each_model_has_its_own_session(compact):
    pool = SessionPool(lambda spec, provider: FakeSession([[1.0]]))
    assert pool.get(compact) is not pool.get(replace(compact, name="other"))


def test_failed_load_is_tried_again(compact):
    attempts = []

    def load(spec, provider):
        attempts.append(spec)
        if len(attempts) == 1:
            raise ModelError("The weights are not there.")
        return FakeSession([[1.0]])

    pool = SessionPool(load)
    with pytest.raises(ModelError, match="not there"):
        pool.get(compact)
    assert isinstance(pool.get(compact), FakeSession)
    assert len(attempts) == 2


def test_model_that_loads_does_not_hold_up_another(compact):
    slow, quick = replace(compact, name="slow"), replace(compact, name="quick")
    slow_loads, go_on = threading.Event(), threading.Event()

    def load(spec, provider):
        if spec is slow:
            slow_loads.set()
            assert go_on.wait(PATIENCE_S)
        return FakeSession([[1.0]])

    pool = SessionPool(load)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.get, slow)
        assert slow_loads.wait(PATIENCE_S)
        try:
            threads.submit(pool.get, quick).result(PATIENCE_S)
            assert not first.done()
        finally:
            go_on.set()
        assert isinstance(first.result(PATIENCE_S), FakeSession)


def test_model_loads_while_another_runs(compact):
    """One user's run holds no lock that another user's model waits for."""
    runs, go_on = threading.Event(), threading.Event()

    class Slow(FakeSession):
        def predict(self, tensor, cancel=None):
            runs.set()
            assert go_on.wait(PATIENCE_S)
            return super().predict(tensor, cancel)

    pool = SessionPool(lambda spec, provider: Slow([[1.0]]), limit_bytes=10, cost=lambda spec: 10)
    with ThreadPoolExecutor(2) as threads:
        run = threads.submit(lambda: pool.get(compact).predict(None))
        assert runs.wait(PATIENCE_S)
        try:
            other = threads.submit(pool.get, replace(compact, name="other")).result(PATIENCE_S)
            assert isinstance(other, Slow)
            assert not run.done()
        finally:
            go_on.set()
        assert run.result(PATIENCE_S).max() == 1, "a run keeps the session that the pool has let go of"


def test_failed_load_is_told_to_all_that_wait_and_tried_again_by_the_next(compact):
    attempts, loads, go_on = [], threading.Event(), threading.Event()

    def load(spec, provider):
        attempts.append(spec)
        if len(attempts) > 1:
            return FakeSession([[1.0]])
        loads.set()
        assert go_on.wait(PATIENCE_S)
        raise ModelError("The weights are not there.")

    pool = SessionPool(load)
    waits = WaitingFuture(pool)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.get, compact)
        assert loads.wait(PATIENCE_S)
        waits.watch()
        second = threads.submit(pool.get, compact)
        waits.until_somebody_waits()
        go_on.set()
        for asked in (first, second):
            with pytest.raises(ModelError, match="not there"):
                asked.result(PATIENCE_S)
    assert isinstance(pool.get(compact), FakeSession)
    assert len(attempts) == 2
    assert pool._loading == {}


class WaitingFuture:
    """Tells when a thread waits for the model that a pool loads."""

    def __init__(self, pool):
        self._pool, self._waits = pool, threading.Event()

    def watch(self):
        (loading,) = self._pool._loading.values()
        real = loading.result.result

        def result():
            self._waits.set()
            return real()

        loading.result.result = result

    def until_somebody_waits(self):
        assert self._waits.wait(PATIENCE_S)


def test_load_that_is_broken_off_leaves_nobody_waiting(compact):
    """A worker that is told to leave unwinds its stack."""

    def leave(spec, provider):
        raise SystemExit(143)

    pool = SessionPool(leave)
    with pytest.raises(SystemExit):
        pool.get(compact)
    assert pool._loading == {}


def test_each_choice_of_provider_has_its_own_session(compact):
    opened = []
    pool = SessionPool(lambda spec, provider: opened.append(provider) or FakeSession([[1.0]]))
    sessions = {id(pool.get(compact, choice)) for choice in ("best", "cpu", "best", "cpu")}
    assert opened == ["best", "cpu"]
    assert len(sessions) == 2
    assert pool.get(compact) is pool.get(compact, "best")


# What is kept


class Shelf:
    """A pool whose models have the sizes of their names, and what it has loaded."""

    def __init__(self, compact, limit):
        self.compact, self.loads = compact, []
        self.pool = SessionPool(self._load, limit_bytes=limit, cost=lambda spec: int(spec.name[1:]))

    def _load(self, spec, provider):
        self.loads.append(spec.name)
        return FakeSession([[1.0]])

    def get(self, *names):
        return [self.pool.get(replace(self.compact, name=name)) for name in names]

    @property
    def kept(self):
        return [spec.name for spec, _ in self.pool._loaded]


@pytest.fixture
def shelf(compact):
    return lambda limit: Shelf(compact, limit)


def test_models_are_kept_up_to_the_limit(shelf):
    full = shelf(10)
    full.get("a3", "b3", "c4", "a3", "b3", "c4")
    assert full.loads == ["a3", "b3", "c4"]


def test_model_that_was_asked_for_longest_ago_goes_first(shelf, caplog):
    full = shelf(10)
    with caplog.at_level(logging.INFO):
        full.get("a3", "b3", "c4", "a3", "d3")
    assert full.kept == ["c4", "a3", "d3"]
    assert "b3 leaves memory" in caplog.text
    full.get("b3")
    assert full.kept == ["a3", "d3", "b3"]


def test_as_many_go_as_must(shelf):
    full = shelf(10)
    full.get("a3", "b3", "c4", "d7")
    assert full.kept == ["d7"]
    full.get("a3")
    assert full.kept == ["d7", "a3"]


def test_model_over_the_limit_is_loaded_alone_and_logged(shelf, caplog):
    full = shelf(10)
    full.get("a3", "b30")
    assert full.kept == ["b30"]
    assert "b30 takes about" in caplog.text
    assert "CUTOUT_MODEL_MEMORY_MB" in caplog.text
    (again,) = full.get("b30")
    assert full.loads == ["a3", "b30"]
    full.get("a3")
    assert full.kept == ["a3"]
    assert again is not None


def test_room_is_made_before_a_model_is_loaded(compact):
    """Both at once may be more than the machine has."""
    kept = []
    pool = SessionPool(
        lambda spec, provider: kept.append(len(pool._loaded)) or FakeSession([[1.0]]),
        limit_bytes=10,
        cost=lambda spec: 6,
    )
    for name in ("first", "second", "third"):
        pool.get(replace(compact, name=name))
    assert kept == [0, 0, 0]


def test_session_that_was_let_go_is_freed(compact):
    pool = SessionPool(lambda spec, provider: FakeSession([[1.0]]), limit_bytes=1, cost=lambda spec: 1)
    session = weakref.ref(pool.get(compact))
    assert session() is not None
    pool.get(replace(compact, name="other"))
    gc.collect()
    assert session() is None


def test_models_that_load_at_the_same_time_do_not_stay_over_the_limit(compact):
    both = threading.Barrier(2)

    def load(spec, provider):
        both.wait(PATIENCE_S)
        return FakeSession([[1.0]])

    pool = SessionPool(load, limit_bytes=10, cost=lambda spec: 6)
    with ThreadPoolExecutor(2) as threads:
        sessions = list(threads.map(pool.get, [replace(compact, name=name) for name in ("first", "second")]))
    assert len(sessions) == 2
    assert len(pool._loaded) == 1


def test_many_threads_and_models_stay_within_the_limit(compact):
    most, lock = [], threading.Lock()

    def load(spec, provider):
        with lock:
            most.append(sum(each.cost for each in pool._loaded.values()))
        return FakeSession([[1.0]])

    pool = SessionPool(load, limit_bytes=10, cost=lambda spec: 3)
    specs = [replace(compact, name=f"model {number}") for number in range(7)]
    with ThreadPoolExecutor(8) as threads:
        for session in threads.map(pool.get, specs * 40):
            assert isinstance(session, FakeSession)
    assert max(most) <= 10
    assert len(pool._loaded) == 3
    assert pool._loading == {}


def test_limit_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("CUTOUT_MODEL_MEMORY_MB", "1.5")
    assert SessionPool()._limit == 1_500_000
    assert SessionPool(limit_bytes=7)._limit == 7


def test_process_has_one_pool():
    assert default_pool() is default_pool()


def test_pool_loads_the_real_model(compact):
    assert SessionPool().get(compact).provider.endswith("ExecutionProvider")


@pytest.fixture
def own_pool(monkeypatch):
    """Replace this process's pool by one that tells what it loads."""
    loads = []
    pool = SessionPool(lambda spec, provider: loads.append(spec.name) or FakeSession([[1.0]]))
    monkeypatch.setattr("processing.sessions.pool.default_pool", lambda: pool)
    warm_up.cache_clear()
    yield loads
    warm_up.cache_clear()


def test_warm_up_loads_the_built_in_model_once(own_pool):
    for _ in range(3):
        warm_up().join(PATIENCE_S)
    assert own_pool == ["compact"]


def test_warm_up_leaves_it_to_the_first_run_to_say_what_is_wrong(monkeypatch, own_pool, caplog):
    def fail(spec, provider):
        raise ModelError("The weights are damaged.")

    monkeypatch.setattr("processing.sessions.pool.default_pool", lambda: SessionPool(fail))
    warm_up().join(PATIENCE_S)
    assert "The weights are damaged." in caplog.text
