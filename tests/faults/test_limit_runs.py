"""A limit that is passed would be seen in what tasks and Redis have written down."""

from typing import Any

from tests.faults.limit_runs import Figures, most_at_once, surplus_and_rate
from tests.faults.limit_tasks import CONCURRENCY, KEYS, RATE


def _line(what: str, run: str, at: float, pid: int = 1) -> dict[str, Any]:
    return {"what": what, "key": "k", "run": run, "pid": pid, "at": at}


def test_runs_side_by_side_are_counted() -> None:
    lines = [_line("begin", "a", 1), _line("begin", "b", 2), _line("end", "a", 3), _line("end", "b", 4)]

    assert most_at_once(lines, {}, 10) == {"k": 2}


def test_a_run_that_begins_when_another_ends_is_not_beside_it() -> None:
    lines = [_line("begin", "a", 1), _line("end", "a", 2), _line("begin", "b", 2), _line("end", "b", 3)]

    assert most_at_once(lines, {}, 10) == {"k": 1}


def test_a_run_has_ended_with_its_process() -> None:
    lines = [_line("begin", "a", 1, pid=7), _line("begin", "b", 5), _line("end", "b", 6)]

    assert most_at_once(lines, {7: 4.0}, 10) == {"k": 1}
    assert most_at_once(lines, {}, 10) == {"k": 2}


def test_a_rate_that_is_passed_somewhere_is_seen_even_if_it_is_kept_on_average() -> None:
    steady = [("k", number / RATE) for number in range(100)]
    burst = [("k", 50.0 + number / RATE / 2) for number in range(20)]

    assert surplus_and_rate(steady)[0]["k"] <= 0
    assert surplus_and_rate(steady + burst)[0]["k"] > 0


def test_a_run_without_enough_to_do_is_no_good_run() -> None:
    busy, kept = dict.fromkeys(KEYS, CONCURRENCY), dict.fromkeys(KEYS, 0.0)

    assert Figures(busy, kept, dict.fromkeys(KEYS, 1.0)).is_good
    assert not Figures(dict.fromkeys(KEYS, 1), kept, dict.fromkeys(KEYS, 1.0)).is_good
    assert not Figures(busy, {}, {}).is_good
