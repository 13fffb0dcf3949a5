"""Limits hold while workers are killed, by what tasks and Redis have written down; and breaches would be seen."""

from pathlib import Path
from typing import Any

from tests.faults.limit_runs import LimitOptions, most_at_once, run, surplus_and_rate
from tests.faults.limit_tasks import RATE


def test_no_limit_is_passed_while_workers_are_killed(tmp_path: Path) -> None:
    figures = run(LimitOptions(seconds=5, workers=3, killed=2, pause=0.7), tmp_path)

    assert figures.is_good, figures.lines()
    assert figures.kills > 2
    assert max(figures.most_at_once.values()) > 1, "there were runs side by side"
    assert min(figures.rates.values()) > 0


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
