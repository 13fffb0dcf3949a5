"""The benchmark's figures of how soon a running task sees that it is cancelled."""

from bench import contenders
from bench.scenarios import cancel


def test_the_figures_are_milliseconds_and_tell_how_many_were_later_than_is_promised() -> None:
    figures = cancel.figures_of([0.001] * 97 + [0.09, 0.12, 0.2])

    assert figures == {"p50": 1, "p99": 120, "most": 200, "late": 2}


def test_of_all_queues_only_ours_is_asked_for_it_in_one_setting() -> None:
    [scenario] = cancel.SCENARIOS

    assert [one.key for one in scenario.those_of(contenders.ALL)] == ["minicelery/2×5 threads"]


def test_who_sees_it_in_just_the_time_that_is_promised_is_not_late() -> None:
    assert cancel.figures_of([0.1, 0.05])["late"] == 0
