"""The loaded models, shared by every user of the process."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from contracts import FakeSession

from processing.errors import ModelError
from processing.sessions.pool import SessionPool, default_pool, warm_up

PATIENCE_S = 30


def test_model_is_loaded_once_for_all_threads_that_ask_at_the_same_time(compact):
    loads, everybody_asks = [], threading.Barrier(8)

    def load(spec):
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
    pool = SessionPool(lambda spec: FakeSession([[1.0]]))
    assert pool.get(compact) is pool.get(compact)


def test_each_model_has_its_own_session(compact):
    pool = SessionPool(lambda spec: FakeSession([[1.0]]))
    assert pool.get(compact) is not pool.get(replace(compact, name="other"))


def test_failed_load_is_tried_again(compact):
    attempts = []

    def load(spec):
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

    def load(spec):
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


def test_process_has_one_pool():
    assert default_pool() is default_pool()


def test_pool_loads_the_real_model(compact):
    assert SessionPool().get(compact).provider.endswith("ExecutionProvider")


@pytest.fixture
def own_pool(monkeypatch):
    """Replace this process's pool by one that tells what it loads."""
    loads = []
    pool = SessionPool(lambda spec: loads.append(spec.name) or FakeSession([[1.0]]))
    monkeypatch.setattr("processing.sessions.pool.default_pool", lambda: pool)
    warm_up.cache_clear()
    yield loads
    warm_up.cache_clear()


def test_warm_up_loads_the_built_in_model_once(own_pool):
    for _ in range(3):
        warm_up().join(PATIENCE_S)
    assert own_pool == ["compact"]


def test_warm_up_leaves_it_to_the_first_run_to_say_what_is_wrong(monkeypatch, own_pool, caplog):
    def fail(spec):
        raise ModelError("The weights are damaged.")

    monkeypatch.setattr("processing.sessions.pool.default_pool", lambda: SessionPool(fail))
    warm_up().join(PATIENCE_S)
    assert "The weights are damaged." in caplog.text
