"""How a run is asked to stop."""

import threading

import pytest

from processing.cancellation import CancelToken
from processing.errors import Cancelled


def test_new_token_lets_the_run_go_on():
    token = CancelToken()
    token.raise_if_cancelled()
    assert not token.is_cancelled


def test_cancelled_token_stops_the_run():
    token = CancelToken()
    token.cancel()
    assert token.is_cancelled
    with pytest.raises(Cancelled, match="Nothing was saved"):
        token.raise_if_cancelled()


def test_cancel_calls_each_callback_once_however_often_it_is_called():
    token, calls = CancelToken(), []
    with token.on_cancel(lambda: calls.append("outer")), token.on_cancel(lambda: calls.append("inner")):
        token.cancel()
        token.cancel()
    assert sorted(calls) == ["inner", "outer"]


def test_callback_registered_too_late_is_called_at_once():
    token, calls = CancelToken(), []
    token.cancel()
    with token.on_cancel(lambda: calls.append("late")):
        assert calls == ["late"]
    assert calls == ["late"]


def test_callback_is_forgotten_after_its_block():
    token, calls = CancelToken(), []
    with token.on_cancel(lambda: calls.append("forgotten")):
        pass
    token.cancel()
    assert calls == []


def test_callback_is_forgotten_when_its_block_fails():
    token, calls = CancelToken(), []
    with pytest.raises(RuntimeError), token.on_cancel(lambda: calls.append("forgotten")):
        raise RuntimeError
    token.cancel()
    assert calls == []


def test_same_callback_may_be_registered_twice():
    token, calls = CancelToken(), []

    def callback():
        calls.append("called")

    with token.on_cancel(callback):
        with token.on_cancel(callback):
            pass
        token.cancel()
    assert calls == ["called"]


def test_callback_may_use_the_token():
    token, seen = CancelToken(), []
    with token.on_cancel(lambda: seen.append(token.is_cancelled)), token.on_cancel(token.cancel):
        token.cancel()
    assert seen == [True]


def test_one_of_many_threads_that_cancel_calls_the_callback():
    token, calls, start = CancelToken(), [], threading.Barrier(8)

    def cancel():
        start.wait(30)
        token.cancel()

    threads = [threading.Thread(target=cancel) for _ in range(8)]
    with token.on_cancel(lambda: calls.append("called")):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls == ["called"]
