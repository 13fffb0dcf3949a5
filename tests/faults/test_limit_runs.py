"""A limit that is passed would be seen in what tasks and Redis have written down."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.limit_runs import Figures, Start, most_at_once, rates, surplus, untold
from tests.faults.limit_tasks import CONCURRENCY, KEYS, RATE

GOOD = Figures(dict.fromkeys(KEYS, CONCURRENCY), dict.fromkeys(KEYS, 0.0), dict.fromkeys(KEYS, float(RATE)))


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


def _paced(moments: Iterable[float], key: str = "k") -> list[Start]:
    return [(f"paced-{key}-{number}", at) for number, at in enumerate(moments)]


def test_a_rate_that_is_passed_somewhere_is_seen_even_if_it_is_kept_on_average() -> None:
    steady = [number / RATE for number in range(100)]
    burst = [50.0 + number / RATE / 2 for number in range(20)]

    assert surplus(_paced(steady))["k"] <= 0
    assert surplus(_paced(steady + burst))["k"] > 0


def test_time_in_which_nothing_begins_counts_for_the_rate() -> None:
    assert rates(_paced([3.0]), 0.0, 10.0) == {"k": 0.1}
    assert rates(_paced([0.0, 5.0, 9.9, 10.0, 12.0]), 5.0, 10.0) == {"k": 0.4}


def test_a_run_in_which_each_limit_is_reached_and_none_is_passed_is_good() -> None:
    assert GOOD.is_good


@pytest.mark.parametrize(
    "thin",
    [
        {"most_at_once": dict.fromkeys(KEYS, CONCURRENCY - 1)},
        {"most_at_once": {}},
        {"rates": dict.fromkeys(KEYS, 0.1)},
        {"rates": dict.fromkeys(KEYS, RATE * 0.97)},
        {"rates": dict.fromkeys(KEYS, RATE * 1.03)},
        {"rates": {KEYS[0]: float(RATE)}},
        {"untold": ["paced-k-1"]},
    ],
    ids=str,
)
def test_a_run_that_tells_too_little_or_not_what_was_asked_is_no_good_run(thin: dict[str, Any]) -> None:
    assert not replace(GOOD, **thin).is_good


def test_a_start_of_which_no_event_tells_or_only_an_event_is_seen() -> None:
    starts = _paced([1.0, 2.0])

    assert untold(starts, Counter({"paced-k-0": 1, "paced-k-1": 1, "other": 3})) == []
    assert untold(starts, Counter({"paced-k-0": 2, "paced-k-1": 1})) == ["paced-k-0"]
    assert untold(starts, Counter({"paced-k-1": 1, "paced-k-2": 1})) == ["paced-k-0", "paced-k-2"]
