"""Schedules under kills: each due time is fired once, whoever dies."""

from pathlib import Path

from tests.faults.schedule_runs import ScheduleOptions, fire_under_kills


def test_while_workers_are_killed_each_due_time_is_fired_exactly_once(tmp_path: Path) -> None:
    figures = fire_under_kills(ScheduleOptions(workers=3, victims=2, seconds=5.0, pause=1.0), tmp_path)

    assert figures.is_good, figures
    assert figures.due >= 50
    assert figures.kills >= 3
