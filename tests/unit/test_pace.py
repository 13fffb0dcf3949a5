"""Which tasks are known to be short, and what is told of them with a claim."""

import pytest

from minicelery.message import Delivery
from minicelery.worker.pace import PATIENCE, Pace


@pytest.fixture
def pace() -> Pace:
    return Pace()


def delivery(name: str) -> Delivery:
    return Delivery("t", "1.t", name, "[]", "{}", "default", 0, 3, 0.0)


def note(pace: Pace, name: str, *runs: float) -> None:
    for seconds in runs:
        pace.note(name, seconds)


def test_a_name_is_short_only_after_three_runs(pace: Pace) -> None:
    note(pace, "add", 0.001, 0.001)
    assert not pace.is_short("add")

    note(pace, "add", 0.001)
    assert pace.is_short("add")
    assert not pace.is_short("unheard of")


def test_a_name_whose_mean_is_more_than_half_the_patience_is_not_short(pace: Pace) -> None:
    note(pace, "just", *[PATIENCE / 2] * 3)
    note(pace, "over", *[PATIENCE / 2 + 0.0001] * 3)

    assert (pace.is_short("just"), pace.is_short("over")) == (True, False)
    assert [*pace.costs()] == ["just"]


def test_the_newest_run_weighs_an_eighth(pace: Pace) -> None:
    note(pace, "add", 0.001, 0.001, 0.0018)

    assert pace.costs() == {"add": 1100}


def test_one_run_that_was_stopped_in_the_middle_does_not_make_a_short_name_long(pace: Pace) -> None:
    note(pace, "add", *[0.0005] * 10, 10.0)

    assert pace.is_short("add")


def test_a_name_whose_runs_become_long_is_no_longer_short(pace: Pace) -> None:
    note(pace, "add", *[0.0005] * 10, *[1.0] * 5)

    assert not pace.is_short("add")
    assert pace.costs() == {}


def test_what_tasks_take_together_leaves_out_names_that_have_not_run(pace: Pace) -> None:
    note(pace, "add", 0.002)

    assert pace.seconds([delivery("add"), delivery("add"), delivery("new")]) == pytest.approx(0.004)


def test_what_takes_no_time_at_all_still_costs_a_microsecond(pace: Pace) -> None:
    note(pace, "add", 0.0, 0.0, 0.0)

    assert pace.costs() == {"add": 1}


def test_a_claim_tells_of_the_sixteen_names_that_ran_last(pace: Pace) -> None:
    for number in range(20):
        note(pace, f"task{number}", 0.001, 0.001, 0.001)
    note(pace, "task0", 0.001)

    assert {*pace.costs()} == {"task0", *(f"task{number}" for number in range(5, 20))}
