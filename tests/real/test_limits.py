"""Runs that take longer than they may, and processes that are stuck altogether."""

import re
import signal
import threading
from pathlib import Path

import pytest

from minicelery import MiniCelery
from minicelery.errors import TaskFailed
from minicelery.web import create_app
from tests.real.conftest import Crew
from tests.real.test_worker import PATIENCE, call, lawful
from tests.stack import stand_still, wait_until


def test_a_deadlocked_task_is_recorded_at_its_limit_and_its_slot_comes_back(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1").ready()
    before = call(tasks, "pid").get(PATIENCE)

    for _ in range(3):
        with pytest.raises(
            TaskFailed, match=r"TimeLimitExceeded: the run took longer than its time limit of 0\.5 s"
        ) as e:
            call(tasks, "deadlock").get(PATIENCE)

    assert "threading.Event().wait()" in e.value.traceback, "it shows where the task hung"
    assert call(tasks, "pid").get(PATIENCE) == before, "the process goes on"
    worker.signal(signal.SIGTERM)
    assert worker.end() == (0, "Stopped: 5 finished, 0 to be retried, 0 handed back, 0 lost.")
    lawful(tasks)


def test_a_process_with_too_many_hanging_threads_is_replaced(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "2").ready()
    before = call(tasks, "pid").get(PATIENCE)
    neighbour = call(tasks, "nap", 4)

    for _ in range(4):
        with pytest.raises(TaskFailed):
            call(tasks, "deadlock").get(PATIENCE)

    wait_until(lambda: "4 of its threads hang" in worker.text, what="the word of its retirement")
    assert call(tasks, "pid").get(PATIENCE) != before
    assert neighbour.get(PATIENCE) == "rested"
    assert neighbour.record.deliveries == 1, "what ran beside them was left in peace"
    worker.signal(signal.SIGTERM)
    assert worker.end()[1].endswith(" 0 lost.")


def test_a_run_that_overran_its_limit_is_retried_as_the_policy_says(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "1")

    result = call(tasks, "deadlock_once")

    assert result.get(PATIENCE) == "second run"
    assert (result.record.retry_count, result.record.crashes) == (1, 0)


def test_a_run_that_goes_on_after_its_limit_learns_so_and_records_nothing(
    crew: Crew, tasks: MiniCelery, tmp_path: Path
) -> None:
    worker = crew.start("--threads", "1").ready()
    marker = tmp_path / "marker"

    result = call(tasks, "outlive", str(marker))
    with pytest.raises(TaskFailed, match="TimeLimitExceeded"):
        result.get(PATIENCE)
    wait_until(marker.exists, what="the end of the run")
    wait_until(lambda: "nobody waited for it any more" in worker.text, what="the log line")

    assert marker.read_text() == "lease lost"
    assert result.record.result is None


def test_a_task_is_told_of_its_soft_limit_and_ends_by_itself(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1").ready()

    results = [call(tasks, "tidy_up", seconds) for seconds in (60, 0, 60)]

    assert [result.get(PATIENCE) for result in results] == ["tidied up", "done", "tidied up"]
    assert {result.record.deliveries for result in results} == {1}
    worker.signal(signal.SIGTERM)
    assert worker.end() == (0, "Stopped: 3 finished, 0 to be retried, 0 handed back, 0 lost.")


def test_a_soft_limit_that_is_not_caught_is_a_failure_and_retried(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1").ready()

    result = call(tasks, "tidy_up_never")

    assert result.get(PATIENCE) == "second run"
    assert (result.record.retry_count, result.record.deliveries) == (1, 2)
    assert "failed after" in worker.text
    assert "SoftTimeLimitExceeded: the run took longer than its soft time limit" in worker.text
    lawful(tasks)


def test_limits_are_given_with_a_submission_over_http(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "1")
    http = create_app(tasks).test_client()

    hard = {"name": "nap", "args": [60], "time_limit": 0.3, "max_retries": 0}
    soft = {"name": "tidy_up", "args": [60], "soft_time_limit": 0.1, "time_limit": 30}
    ids = [http.post("/tasks", json=body).json["task_id"] for body in (hard, soft)]

    given_up, tidied = [tasks.sender.wait(task_id, PATIENCE) for task_id in ids]
    assert (given_up.error or {})["message"] == "the run took longer than its time limit of 0.3 s"
    assert tidied.result == "tidied up"


def test_a_task_that_holds_pythons_lock_beyond_its_limit_is_recorded_and_its_process_replaced(
    crew: Crew, tasks: MiniCelery
) -> None:
    worker = crew.start("--threads", "2").ready()
    neighbour = call(tasks, "nap", 1)
    wait_until(lambda: neighbour.status.value == "RUNNING", what="the start of the neighbour")

    with pytest.raises(TaskFailed, match="TimeLimitExceeded"):
        call(tasks, "hold_the_lock_for_ever").get(PATIENCE)

    wait_until(lambda: "its process does not react: it is replaced" in worker.text, what="the log line")
    assert neighbour.get(PATIENCE) == "rested"
    assert neighbour.record.crashes == 0, "it is not to blame"
    worker.signal(signal.SIGTERM)
    assert worker.end()[1].endswith(" 0 lost.")
    lawful(tasks)


def test_a_process_that_stands_still_is_replaced_and_its_tasks_run_again(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", MINICELERY_STALL_LIMIT="7", MINICELERY_LEASE="600").ready()
    result = call(tasks, "announced_nap", 1)
    wait_until(lambda: result.record.progress, what="the start")

    stand_still(worker.child().pid)

    assert result.get(PATIENCE) == "rested"
    assert (result.record.deliveries, result.record.crashes) == (2, 1)
    assert "had stood still for" in str(result.record.last_crash)


def test_a_worker_that_was_stopped_as_a_whole_is_not_taken_for_stuck(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", MINICELERY_STALL_LIMIT="7", MINICELERY_LEASE="600").ready()
    result = call(tasks, "nap", 0.5)
    wait_until(lambda: result.status.value == "RUNNING", what="the start")
    child = worker.child()

    stand_still(child.pid)
    stand_still(worker.process.pid)
    threading.Event().wait(9)  # longer than the limit of a standstill
    worker.signal(signal.SIGCONT)
    child.send_signal(signal.SIGCONT)

    assert result.get(PATIENCE) == "rested"
    assert (result.record.deliveries, worker.child().pid) == (1, child.pid)


def test_what_an_idle_process_is_given_while_it_stands_still_is_done_elsewhere_and_once(
    crew: Crew, tasks: MiniCelery
) -> None:
    stopped = crew.start("--threads", "2", MINICELERY_LEASE="600").ready()
    child = stopped.child()
    for one in [call(tasks, "nap", 0.2) for _ in range(2)]:
        one.get(PATIENCE)  # so that both threads begin to wait only now, and do not end it just when they are stopped
    connections = tasks.clients.commands.client_list
    wait_until(lambda: [one["cmd"] for one in connections()].count("brpop") == 2, what="that its threads wait")
    stand_still(child.pid)

    results = [call(tasks, "nap", 0.2) for _ in range(4)]
    statuses = lambda: [one.status.value for one in results]  # noqa: E731
    wait_until(lambda: statuses().count("RUNNING") == 2, what="that it is given two of them")
    crew.start("--threads", "1").ready()

    assert [one.get(PATIENCE) for one in results] == ["rested"] * 4
    assert {one.record.crashes for one in results} == {0}
    child.send_signal(signal.SIGCONT)
    stopped.signal(signal.SIGTERM)
    code, words = stopped.end()
    # If it has stood still for long it asks again for what it was given, and is told that it is not its own any more.
    assert re.fullmatch("Stopped: 2 finished, 0 to be retried, [0-2] handed back, 0 lost.", words)
    assert code == 0
    lawful(tasks)


def test_neighbours_that_could_not_keep_their_limit_are_not_failed_for_it(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "3").ready()
    culprit = call(tasks, "hold_the_lock_for_ever")
    neighbours = [call(tasks, "short_nap") for _ in range(4)]

    with pytest.raises(TaskFailed, match="TimeLimitExceeded"):
        culprit.get(PATIENCE)

    assert [one.get(PATIENCE) for one in neighbours] == ["rested"] * 4
    assert {one.record.crashes for one in neighbours} == {0}
    assert (culprit.record.deliveries, culprit.record.crashes) == (1, 0)


def test_of_a_process_that_stands_still_only_who_holds_it_up_counts_a_crash(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "2", MINICELERY_STALL_LIMIT="7", MINICELERY_LEASE="600").ready()
    neighbour = call(tasks, "nap", 1)
    wait_until(lambda: neighbour.status.value == "RUNNING", what="the start of the neighbour")
    culprit = call(tasks, "hold_the_lock", 60)

    assert neighbour.get(PATIENCE) == "rested"

    assert neighbour.record.crashes == 0
    assert culprit.record.crashes > 0
    assert f"task hold_the_lock {culprit.id} lets nothing else run in its process" in worker.text


def test_what_waits_behind_a_task_that_holds_pythons_lock_is_done_elsewhere_and_once(
    crew: Crew, tasks: MiniCelery
) -> None:
    stuck = crew.start("--threads", "1").ready()
    for _ in range(5):
        here = call(tasks, "hold_the_lock_for", 0).get(PATIENCE)
    hold = tasks.tasks.find("hold_the_lock_for").s
    first, *others = tasks.submit_many([hold(10), *(hold(0) for _ in range(9))])
    wait_until(lambda: {one.status.value for one in others} == {"RUNNING"}, what="a claim of all at once")
    crew.start("--threads", "1").ready()

    elsewhere = {other.get(PATIENCE) for other in others}

    assert first.status.value == "RUNNING"
    assert here not in elsewhere
    assert len(elsewhere) == 1
    wait_until(lambda: "ready again: 9 tasks that waited" in stuck.text, what="the word of it")
    assert first.get(PATIENCE) == here
    stuck.signal(signal.SIGTERM)
    assert stuck.end() == (0, "Stopped: 6 finished, 0 to be retried, 9 handed back, 0 lost.")
    lawful(tasks)
