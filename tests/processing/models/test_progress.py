"""Speed and time left, by a clock that the test turns."""

import pytest

from processing.models.fetching.progress import Meter, ProgressReport


@pytest.fixture
def meter():
    """Return a meter, its reports, and a function that lets time pass while bytes come."""
    now, reports = [0.0], []
    meter = Meter("tiny", reports.append, clock=lambda: now[0])

    def pass_time(seconds, size_bytes):
        now[0] += seconds
        meter.add(size_bytes)

    return meter, reports, pass_time


def test_steady_speed_is_told_from_the_first_report(meter):
    meter, reports, pass_time = meter
    meter.total_bytes = 10_000
    meter.begin("Fetching")
    for _ in range(4):
        pass_time(1, 1000)
    assert [report.bytes_per_s for report in reports] == [0, *[pytest.approx(1000)] * 4]
    assert [report.time_left_s for report in reports] == [None, *map(pytest.approx, (9, 8, 7, 6))]


def test_speed_is_smoothed_and_falls_when_nothing_comes(meter):
    meter, reports, pass_time = meter
    for size_bytes in (1000, 3000, 0, 0, 0, 0, 0, 0):
        pass_time(1, size_bytes)
    speeds = [report.bytes_per_s for report in reports]
    assert 1000 < speeds[1] < 3000
    assert speeds[2:] == sorted(speeds[2:], reverse=True)
    assert speeds[-1] < 500


def test_it_reports_a_few_times_a_second(meter):
    _, reports, pass_time = meter
    for _ in range(1000):
        pass_time(0.01, 10)
    assert 30 <= len(reports) <= 50


def test_what_was_there_before_is_no_speed(meter):
    meter, reports, pass_time = meter
    meter.total_bytes = 10_000
    meter.stand_at(8000)
    pass_time(1, 100)
    assert reports[-1].done_bytes == 8100
    assert reports[-1].bytes_per_s == pytest.approx(100)


def test_total_that_is_not_known_gives_no_fraction_and_no_time():
    assert ProgressReport("tiny", "Fetching", done_bytes=5).fraction == 0
    assert ProgressReport("tiny", "Fetching", 5, 10).fraction == 0.5
    assert ProgressReport("tiny", "Fetching", 11, 10).fraction == 1


def test_meter_without_a_callback_counts_in_silence():
    meter = Meter("tiny", None)
    meter.begin("Fetching")
    meter.add(1)
