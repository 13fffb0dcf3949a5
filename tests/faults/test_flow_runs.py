"""Schedules, limits and a lock hold while workers that have them all are killed; and what is wrong would be seen."""

from dataclasses import replace

import pytest

from tests.faults.flow_runs import flow
from tests.faults.frame import RunOptions, Verdict, asked_for
from tests.faults.lock_runs import Locks
from tests.faults.schedule_runs import Figures

FINE = Figures(due=1, missing=[], undue=[], doubled=[], recorded_twice=[], late=[0.0])


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """One run for all."""
    return flow(RunOptions(seconds=5, workers=3, victims=2, pause=0.8), tmp_path_factory.mktemp("flow"))


def test_while_workers_are_killed_each_due_time_is_fired_exactly_once(verdict: Verdict) -> None:
    schedules, _, _ = verdict.outcomes

    assert schedules.is_good, schedules
    assert verdict.kills >= 3


def test_no_limit_is_passed_while_workers_are_killed(verdict: Verdict) -> None:
    _, limits, _ = verdict.outcomes

    assert limits.is_good, limits


def test_no_lock_is_held_by_two_while_workers_with_much_else_are_killed(verdict: Verdict) -> None:
    _, _, locks = verdict.outcomes

    assert locks.is_good, locks


def test_the_law_holds_when_workers_with_schedules_limits_and_locks_are_dead(verdict: Verdict) -> None:
    assert verdict.violations == []


@pytest.mark.parametrize("fault", ["missing", "undue", "doubled", "recorded_twice"])
def test_what_is_not_fired_exactly_once_when_it_is_due_is_seen(fault: str) -> None:
    assert FINE.is_good
    assert not replace(FINE, **{fault: ["code-1:2026-11-26T12:00:00Z"]}).is_good


@pytest.mark.parametrize(("workers", "victims"), [(6, 7), (6, -1), (0, 0)])
def test_more_victims_than_workers_are_refused(workers: int, victims: int) -> None:
    with pytest.raises(ValueError, match=f"of {workers} workers {victims} can't be killed"):
        RunOptions(workers=workers, victims=victims)


def test_options_that_are_refused_end_the_command_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["flow_runs", "--victims", "7", "--workers", "6"])

    with pytest.raises(SystemExit):
        asked_for(RunOptions, "flow_runs", "")

    assert "of 6 workers 7 can't be killed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(RunOptions(seconds=30), 1), (RunOptions(seconds=29), 0), (RunOptions(victims=0), 0), (RunOptions(pause=0), 0)],
)
def test_of_half_a_minute_with_kills_the_death_of_a_holder_is_wanted(options: RunOptions, wanted: int) -> None:
    assert Locks(options).least_waits == wanted


def test_one_bad_outcome_or_breach_of_the_law_makes_a_bad_run() -> None:
    assert Verdict(1, [], [FINE]).is_good
    assert not Verdict(1, [], [FINE, replace(FINE, due=0)]).is_good
    assert not Verdict(1, ["a is in two places"], [FINE]).is_good
