import pytest

from processing.errors import DatasetError
from processing.training.schedule import Schedule


def test_sizes_follow_one_another_by_their_shares():
    plan = Schedule(1000, ((64, 0.5), (128, 0.3), (320, 0.2)))
    assert [plan.size(seen) for seen in (0, 499, 500, 799, 800, 1000, 2000)] == [64, 64, 128, 128, 320, 320, 320]


def test_the_rate_rises_stays_and_falls():
    plan = Schedule(1000, decay=0.5, warm_up=10)
    assert [round(plan.factor(seen), 3) for seen in (0, 4, 9, 500, 750, 1000)] == [0.1, 0.5, 1.0, 1.0, 0.5, 0.01]


def test_a_longer_plan_keeps_the_rate_up():
    assert Schedule(1000, decay=0.5).factor(900) < Schedule(4000, decay=0.5, warm_up=100).factor(900) == 1


def test_stages_are_read_from_text():
    assert Schedule.parse_stages("128:0.6,320:0.4") == ((128, 0.6), (320, 0.4))


@pytest.mark.parametrize("text", ["", "128", "128:x", "100:1", "32:1", "128:0"])
def test_stages_that_cannot_be_meant_are_refused(text):
    with pytest.raises(DatasetError, match="--stages"):
        Schedule.parse_stages(text)
