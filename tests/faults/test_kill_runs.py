"""Kill -9 of workers in the midst of their work, with a lease so long that nobody can have waited for its end."""

from pathlib import Path

from tests.faults.kill_runs import KillOptions, kill_children, kill_trees

FOREVER = 600.0


def test_ten_kills_of_the_whole_worker_lose_nothing_and_wait_for_no_lease(tmp_path: Path) -> None:
    figures = kill_trees(KillOptions(kills=10, lease=FOREVER), tmp_path)

    assert (figures.never_finished, figures.recorded_twice, figures.violations) == (0, 0, []), figures.lines()
    assert figures.last_after_start < FOREVER / 2


def test_kills_with_many_short_tasks_in_flight_lose_nothing_and_record_none_twice(tmp_path: Path) -> None:
    figures = kill_trees(KillOptions(tasks=5_000, seconds=0.0005, kills=5, lease=FOREVER), tmp_path)

    assert (figures.never_finished, figures.recorded_twice, figures.violations) == (0, 0, []), figures.lines()
    assert max(figures.held) > KillOptions.threads, "there were batches in flight"


def test_what_a_killed_child_had_begun_runs_again_without_waiting_for_the_lease(tmp_path: Path) -> None:
    figures = kill_children(KillOptions(kills=4, seconds=0.2, lease=FOREVER), tmp_path)

    assert (figures.never_finished, figures.recorded_twice, figures.violations) == (0, 0, []), figures.lines()
    assert figures.waits
    assert max(figures.waits) < FOREVER / 2
