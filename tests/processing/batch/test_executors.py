"""Where photos are worked on."""

import multiprocessing
import os
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, wait

import pytest

from processing.batch import executors
from processing.batch.executors import BACKENDS, core_count
from processing.errors import ModelError


@pytest.fixture(params=list(BACKENDS))
def backend(request):
    return BACKENDS[request.param]


class TestBackendContract:
    """What each entry of the table promises."""

    def test_it_opens_an_executor_that_works(self, backend):
        with backend.open(2, "compact", "best") as executor:
            assert isinstance(executor, Executor)
            futures = [executor.submit(divmod, 7, number) for number in (2, 3, 0)]
            wait(futures)
            assert [future.result() for future in futures[:2]] == [(3, 1), (2, 1)]
            assert isinstance(futures[2].exception(), ZeroDivisionError)

    def test_memory_is_shared_where_the_table_says_so(self, backend):
        with backend.open(1, "compact", "best") as executor:
            assert (executor.submit(os.getpid).result() == os.getpid()) == backend.shares_memory

    def test_nothing_is_left_running(self, backend):
        threads, children = threading.active_count(), multiprocessing.active_children()
        with backend.open(2, "compact", "best") as executor:
            executor.submit(os.getpid).result()
        assert (threading.active_count(), multiprocessing.active_children()) == (threads, children)

    def test_leaving_by_an_error_ends_the_workers(self, backend):
        children = multiprocessing.active_children()
        with pytest.raises(KeyboardInterrupt), backend.open(2, "compact", "best"):
            raise KeyboardInterrupt
        assert multiprocessing.active_children() == children


def test_processes_end_in_the_middle_of_their_work_when_left_by_an_error():
    endless = []

    def interrupt_at_work():
        with BACKENDS["processes"].open(2, "compact", "best") as executor:
            executor.submit(os.getpid).result()
            endless.extend(executor.submit(sum, range(10**12)) for _ in range(4))  # in C no handler is called
            time.sleep(0.5)  # they are in the middle of it then
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt_at_work()
    assert len(endless) == 4
    assert all(isinstance(future.exception(), BrokenExecutor) for future in endless)


def test_workers_get_their_share_of_the_cores():
    with BACKENDS["processes"].open(1, "compact", "best") as executor:
        named = os.environ.get("OMP_NUM_THREADS") or str(core_count())
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == named
    assert core_count() >= 1


def test_workers_load_the_model_on_the_provider_that_was_chosen():
    choices = "[choice for _, choice in __import__('processing.sessions.pool', fromlist='*').default_pool()._loaded]"
    with BACKENDS["processes"].open(1, "compact", "cpu") as executor:
        assert executor.submit(eval, choices).result() == ["cpu"]


def test_workers_that_die_while_they_start_give_a_sentence(monkeypatch, request):
    monkeypatch.syspath_prepend(request.path.parent)
    import deadly

    monkeypatch.setattr(executors, "start_worker", deadly.die_at_once)
    with (
        pytest.raises(ModelError, match=r"worker processes cannot be started .* retry with fewer than 2 workers"),
        BACKENDS["processes"].open(2, "compact", "best") as executor,
    ):
        executor.submit(os.getpid).result()
