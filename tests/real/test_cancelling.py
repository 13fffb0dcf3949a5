"""Cancelling what runs in real workers."""

import signal
from pathlib import Path
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.embedded import EmbeddedServer
from minicelery.errors import TaskCancelled
from minicelery.message import Message
from minicelery.states import Status
from tests.faults.proxy import FaultProxy
from tests.real.conftest import Crew
from tests.real.test_worker import PATIENCE, call, lawful
from tests.stack import wait_until


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def begun(app: MiniCelery, name: str, *args: Any) -> Any:
    """A task whose run has begun."""
    result = call(app, name, *args)
    wait_until(lambda: result.record.progress, PATIENCE, f"the beginning of {name}")
    return result


def is_over(app: MiniCelery, task_id: str) -> bool:
    """Whether no worker has a cancelled task in hand any more."""
    return not app.clients.commands.hexists(app.keys.task(task_id), "keep")


def test_a_running_task_sees_that_it_is_cancelled_and_its_result_is_not_recorded(
    crew: Crew, tasks: MiniCelery, marker: Path
) -> None:
    worker = crew.start("--threads", "2").ready()
    result = begun(tasks, "heed", str(marker))

    assert result.cancel()
    assert result.status is Status.CANCELLED
    wait_until(lambda: is_over(tasks, result.id), what="the end of the run")

    with pytest.raises(TaskCancelled, match=f"task {result.id} was cancelled"):
        result.get(PATIENCE)
    assert marker.exists()
    assert (result.record.result, result.record.retry_count) == (None, 0)
    assert call(tasks, "add", 2, 3).get(PATIENCE) == 5
    lawful(tasks)
    worker.signal(signal.SIGTERM)
    assert worker.end() == (0, "Stopped: 1 finished, 0 to be retried, 0 handed back, 1 cancelled, 0 lost.")
    assert f"heed {result.id} was cancelled; its run has ended after" in worker.text


@pytest.mark.parametrize(
    ("app", "name"), [("tests.real.tasks:app", "spin"), ("tests.real.isolated_tasks:app", "sleep_long")]
)
def test_a_run_that_looks_at_nothing_ends_when_it_is_interrupted(
    crew: Crew, tasks: MiniCelery, app: str, name: str
) -> None:
    """A thread gets an exception, and a process of its own is ended, even where it waits in C."""
    worker = crew.start("--threads", "2", app=app).ready()
    message = Message("t", name, "[]", "{}", "default", 0)
    tasks.broker.enqueue([message])
    wait_until(lambda: tasks.inspector.task("t").progress, PATIENCE, "the beginning")

    assert tasks.result("t").cancel(interrupt=True)
    wait_until(lambda: is_over(tasks, "t"), PATIENCE, "the end of the run")

    assert tasks.result("t").status is Status.CANCELLED
    lawful(tasks)
    worker.signal(signal.SIGTERM)
    assert "1 cancelled" in worker.end()[1]


@pytest.mark.parametrize("name", ["check", "report_on"])
def test_the_error_that_ends_a_cancelled_run_is_no_failure(
    crew: Crew, tasks: MiniCelery, marker: Path, name: str
) -> None:
    worker = crew.start("--threads", "1").ready()
    result = begun(tasks, name, str(marker))

    result.cancel()
    wait_until(lambda: is_over(tasks, result.id), what="the end of the run")

    assert marker.read_text() == f"task {result.id} was cancelled"
    assert (result.status, result.record.error, result.record.retry_count) == (Status.CANCELLED, None, 0)
    assert tasks.inspector.dead_letter_count() == 0
    assert result.record.deliveries == 1
    lawful(tasks)
    worker.signal(signal.SIGTERM)
    assert "1 cancelled" in worker.end()[1]


def test_a_word_that_was_lost_with_the_connection_is_made_up_for(
    crew: Crew, tasks: MiniCelery, server: EmbeddedServer, marker: Path
) -> None:
    with FaultProxy(server.port) as proxy:
        crew.start("--threads", "1", MINICELERY_REDIS_URL=proxy.url, MINICELERY_LEASE="60").ready()
        result = begun(tasks, "heed", str(marker))
        proxy.refuse()
        proxy.cut_all()

        result.cancel()
        proxy.heal()

        wait_until(marker.exists, what="the task's own word")
        wait_until(lambda: is_over(tasks, result.id), what="the end of the run")
    lawful(tasks)


def test_a_cancelled_task_whose_process_is_killed_stays_cancelled_and_nothing_is_stuck(
    crew: Crew, tasks: MiniCelery
) -> None:
    worker = crew.start("--threads", "1").ready()
    result = begun(tasks, "announced_nap", 60)
    result.cancel()

    worker.child().kill()
    wait_until(lambda: is_over(tasks, result.id), what="its recovery")

    assert call(tasks, "add", 2, 3).get(PATIENCE) == 5
    assert (result.status, result.record.crashes, result.record.deliveries) == (Status.CANCELLED, 0, 1)
    assert 0 < tasks.clients.commands.ttl(tasks.keys.task(result.id)) <= tasks.config.result_ttl
    lawful(tasks)


def test_a_cancelled_task_that_hangs_is_given_up_at_its_limit_and_not_retried(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1").ready()
    result = begun(tasks, "hang")

    result.cancel()
    wait_until(lambda: is_over(tasks, result.id), what="its limit")

    assert call(tasks, "add", 2, 3).get(PATIENCE) == 5, "its place is taken"
    assert (result.status, result.record.deliveries) == (Status.CANCELLED, 1)
    wait_until(lambda: "is given up: it was cancelled" in worker.text, what="the log line")
    lawful(tasks)
    worker.signal(signal.SIGTERM)
    assert "1 cancelled" in worker.end()[1]


def test_a_task_expires_although_nobody_claims_it(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "1", "--queues", "other").ready()

    result = call(tasks, "add", 2, 3, expires=0.1)

    wait_until(lambda: result.ready(), what="its end")
    assert result.status is Status.EXPIRED
    lawful(tasks)
