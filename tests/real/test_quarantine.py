"""Tasks that kill their process, beside healthy ones; and tasks that a worker does not know."""

import signal

import pytest

from minicelery import MiniCelery
from minicelery.errors import TaskFailed
from tests.real.conftest import Crew
from tests.real.test_worker import PATIENCE, call, lawful, statuses
from tests.stack import wait_until


@pytest.mark.parametrize(
    ("how", "words"),
    [("exit", "has ended with exit code 3"), ("segfault", "was ended by SIGSEGV"), ("kill", "was ended by SIGKILL")],
)
def test_a_task_that_kills_its_process_each_time_is_a_dead_letter_that_says_so(
    crew: Crew, tasks: MiniCelery, how: str, words: str
) -> None:
    worker = crew.start("--threads", "2", MINICELERY_LEASE="600").ready()
    neighbours = [call(tasks, "nap", 0.3) for _ in range(20)]

    poison = call(tasks, "die", how)

    with pytest.raises(TaskFailed, match="5 times, 3 of them with no other task beside it") as caught:
        poison.get(PATIENCE)
    assert str(caught.value).endswith(words)
    assert poison.record.crashes == 5
    assert [one.get(PATIENCE) for one in neighbours] == ["rested"] * 20
    assert tasks.inspector.dead_letter_count() == 1
    wait_until(lambda: "(1 in quarantine, to run alone)" in worker.text, what="the log line")
    wait_until(lambda: f"while it ran die {poison.id}; ready again: 0, dead letters: 1" in worker.text, what="the last")
    lawful(tasks)


def test_an_unlucky_neighbour_runs_in_quarantine_and_succeeds(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "2", MINICELERY_LEASE="600").ready()
    unlucky = call(tasks, "announced_nap", 1.5)
    for _ in range(2):
        begun = lambda: unlucky.status.value == "RUNNING" and unlucky.record.progress  # noqa: E731
        wait_until(begun, PATIENCE, "the start")
        worker.child().kill()
        wait_until(lambda: unlucky.status.value == "PENDING" or unlucky.record.deliveries > 1, what="the recovery")

    assert unlucky.get(PATIENCE) == "rested"

    record = unlucky.record
    assert (record.crashes, record.quarantined, record.retry_count) == (2, True, 0)
    wait_until(lambda: "a child retires: no task is left in quarantine" in worker.text, 30, "the end of quarantine")
    worker.signal(signal.SIGTERM)
    assert worker.end()[0] == 0


def test_a_task_whose_name_another_worker_knows_is_left_to_it(crew: Crew, tasks: MiniCelery) -> None:
    ignorant = crew.start("--threads", "2", app="tests.real.other_tasks:app").ready()
    knowing = crew.start("--threads", "1").ready()
    wait_until(lambda: len(tasks.inspector.workers()) == 2, what="both workers")

    results = [call(tasks, "steps", 2) for _ in range(5)]

    assert [result.get(PATIENCE) for result in results] == [2] * 5
    assert tasks.inspector.dead_letter_count() == 0
    assert {result.record.retry_count for result in results} == {0}
    for worker in (ignorant, knowing):
        worker.signal(signal.SIGTERM)
        assert worker.end()[1].endswith(" 0 lost.")
    lawful(tasks)


def test_a_task_that_nobody_knows_is_a_dead_letter_with_the_reason(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", app="tests.real.other_tasks:app").ready()

    with pytest.raises(TaskFailed, match="no task 'steps' here, nor at any live worker of queue 'default'"):
        call(tasks, "steps", 2).get(PATIENCE)

    assert call(tasks, "add", 1, 1).get(PATIENCE) == 2
    assert worker.text.count("has a name unknown here") == 1
    assert statuses(tasks, tasks.dead_letters()) == {"FAILED": 1}
