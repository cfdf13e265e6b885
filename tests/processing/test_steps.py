"""Steps report while they last, and stop when asked to."""

import threading
import time

import pytest

from processing import steps
from processing.cancellation import CancelToken
from processing.errors import Cancelled
from processing.steps import Steps


@pytest.fixture
def told():
    return []


@pytest.fixture
def run(told):
    return Steps(lambda step, fraction: told.append((step, fraction)))


def test_a_step_is_told_as_it_begins_and_its_time_is_kept(run, told):
    with run("Reading", 0.25, 0.5, "read"):
        assert told == [("Reading", 0.25)]
    assert run.timings_s.keys() == {"read"}


def test_ticks_are_told_as_fractions_of_the_whole_and_not_all_of_them(run, told, monkeypatch):
    monkeypatch.setattr(steps, "_REPORT_EVERY_S", 0.01)
    with run("Reading", 0.5, 1.0, "read") as tick:
        for share in range(1000):
            tick(share / 1000)
        time.sleep(0.011)
        tick(0.5)
    assert told[-1] == ("Reading", 0.75)
    assert len(told) < 500


def test_a_step_that_cannot_tell_repeats_itself_twice_a_second(run, told):
    with run("Finding", 0.5, 1.0, "find") as tick:
        time.sleep(0.11)
        tick(0.5)
        deadline = time.monotonic() + 30
        while len(told) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert told[:4] == [("Finding", 0.5), ("Finding", 0.75), ("Finding", 0.75), ("Finding", 0.75)]
    assert steps._REPEAT_AFTER_S + steps._REPORT_EVERY_S < 0.5
    count = len(told)
    time.sleep(0.5)
    assert len(told) == count, "a step that is over says no more"


def test_nobody_who_listens_costs_no_thread():
    before = threading.active_count()
    with Steps()("Reading", 0, 1, "read") as tick:
        tick(0.5)
        assert threading.active_count() == before


def test_where_there_are_no_threads_none_is_started(told):
    before = threading.active_count()
    with Steps(lambda step, fraction: told.append((step, fraction)), repeat=False)("Reading", 0, 1, "read"):
        assert threading.active_count() == before
    assert told == [("Reading", 0)]


def test_cancel_ends_a_step_at_its_next_tick_and_starts_no_other(told):
    cancel = CancelToken()
    run = Steps(lambda step, fraction: told.append(step), cancel)

    def read():
        with run("Reading", 0, 1, "read") as tick:
            cancel.cancel()
            tick(0.5)

    def write():
        with run("Writing", 0, 1, "write"):
            pass

    for step in (read, write):
        with pytest.raises(Cancelled):
            step()
    assert told == ["Reading"]
    assert run.timings_s == {}
