"""Isolated tasks at real workers: what ends one of them ends nothing else."""

import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from operator import gt
from pathlib import Path
from typing import Any

import psutil
import pytest

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer
from minicelery.errors import TaskFailed
from minicelery.states import Status
from minicelery.web import create_app
from tests.conftest import make_app
from tests.real import isolated_tasks
from tests.real.conftest import Crew, Worker, declare
from tests.real.test_cells import ON_LINUX
from tests.real.test_worker import PATIENCE, call, lawful
from tests.stack import wait_until

APP = "tests.real.isolated_tasks:app"


@dataclass
class Home:
    """A worker of three threads for many tests: none of them may end its child."""

    worker: Worker
    app: MiniCelery
    child: int


@pytest.fixture(scope="module")
def home(server: EmbeddedServer) -> Iterator[Home]:
    clients = connect(Config(redis_url=server.url))
    with tempfile.TemporaryDirectory(prefix="minicelery-isolation-") as folder:
        crew = Crew(server.url, "isolation", Path(folder))
        app = declare(make_app(clients, "isolation", redis_url=server.url), isolated_tasks.app)
        try:
            worker = start(crew, "--threads", "3")
            yield Home(worker, app, call(app, "pid").get(PATIENCE))
        finally:
            for process in crew.workers:
                launch.kill(process)
            clients.close()


@pytest.fixture
def tasks(real_app: MiniCelery) -> MiniCelery:
    return declare(real_app, isolated_tasks.app)


def processor_time(pid: int) -> float:
    """Seconds that a process has spent on a processor."""
    return sum(psutil.Process(pid).cpu_times()[:2])


def begun(*results: Any) -> list[int]:
    """The processes of runs that announce themselves, once all have begun."""
    wait_until(lambda: all(result.record.progress for result in results), PATIENCE, "the start")
    return [int(result.record.progress["done"]) for result in results]


def start(crew: Crew, *arguments: str) -> Worker:
    return crew.start(*arguments, app=APP).ready()


def test_a_result_that_nobody_wants_is_not_kept(home: Home) -> None:
    echo = home.app.tasks.find("echo")

    assert echo.apply_async(([1, 2],), ignore_result=True).get(PATIENCE) is None
    assert echo.apply_async(([1, 2],)).get(PATIENCE) == [1, 2]


def test_a_hard_limit_ends_the_run_and_no_neighbour(home: Home) -> None:
    neighbours = [call(home.app, "announce_and_wait", 1), call(home.app, "nap", 1)]
    begun(neighbours[0])

    with pytest.raises(TaskFailed, match=r"TimeLimitExceeded: .* time limit of 0\.5 s") as caught:
        call(home.app, "hold_the_lock_for_ever").get(PATIENCE)

    assert "in hold_the_lock_for_ever" in caught.value.traceback
    assert [one.get(PATIENCE) for one in neighbours] == ["rested"] * 2
    assert {one.record.deliveries for one in neighbours} == {1}
    assert call(home.app, "pid").get(PATIENCE) == home.child
    assert "hang" not in home.worker.text, "no thread was given up"
    lawful(home.app)


@pytest.mark.parametrize(
    ("how", "words"), [("segfault", "was ended by SIGSEGV"), ("exit", "has ended with exit code 3")]
)
def test_a_crash_of_an_isolated_task_is_its_failure_alone(home: Home, how: str, words: str) -> None:
    neighbours = [call(home.app, "announce_and_wait", 0.5), call(home.app, "nap", 0.5)]
    begun(neighbours[0])

    result = call(home.app, "die", how)
    with pytest.raises(TaskFailed, match=f"TaskCrashed: the process of the run {words}"):
        result.get(PATIENCE)

    assert (result.record.deliveries, result.record.crashes, result.record.quarantined) == (1, 0, False)
    assert [one.get(PATIENCE) for one in neighbours] == ["rested"] * 2
    assert {(one.record.deliveries, one.record.crashes) for one in neighbours} == {(1, 0)}
    assert call(home.app, "pid").get(PATIENCE) == home.child
    lawful(home.app)


def test_a_crash_is_retried_as_the_policy_says(home: Home) -> None:
    result = call(home.app, "die_once")

    assert result.get(PATIENCE) == "second run"
    assert (result.record.retry_count, result.record.deliveries) == (1, 2)


def test_two_isolated_tasks_and_a_thread_compute_at_the_same_time(home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    busy = [call(home.app, "spin_until", str(marker)) for _ in range(2)]
    cells = begun(*busy)

    before = [processor_time(cell) for cell in cells]
    here = call(home.app, "pid").get(PATIENCE)
    wait_until(lambda: all(map(gt, map(processor_time, cells), before)), PATIENCE, "some work of both")
    marker.touch()

    assert here == home.child
    assert len({here, *cells}) == 3
    assert all(result.get(PATIENCE) > 0 for result in busy)


def test_limits_of_a_submission_over_http_hold_for_an_isolated_task(home: Home) -> None:
    http = create_app(home.app).test_client()

    bodies = [
        {"name": "announce_and_wait", "args": [60], "time_limit": 0.5},
        {"name": "announce_and_wait", "args": [60], "time_limit": 60, "soft_time_limit": 0.2},
    ]
    ids = [http.post("/tasks", json=body).json["task_id"] for body in bodies]

    errors = [home.app.sender.wait(task_id, PATIENCE).error or {} for task_id in ids]
    assert [error.get("message") for error in errors] == [
        "the run took longer than its time limit of 0.5 s",
        "the run took longer than its soft time limit",
    ]


def test_an_isolated_task_reports_and_hears_that_it_is_cancelled(home: Home, tmp_path: Path) -> None:
    steps = call(home.app, "steps", 3)
    waiting = call(home.app, "until_cancelled", str(tmp_path / "marker"))

    assert steps.get(PATIENCE)[0] == steps.id
    assert steps.record.progress["message"] == "step 3"
    begun(waiting)
    waiting.cancel()

    wait_until((tmp_path / "marker").exists, PATIENCE, "that it hears of it")


@ON_LINUX
def test_a_run_with_too_much_memory_is_its_failure_alone(home: Home) -> None:
    neighbour = call(home.app, "nap", 0.5)

    with pytest.raises(TaskFailed, match=r"MemoryLimitExceeded: the process of the run had .* max_memory_mb of 200"):
        call(home.app, "grow_and_wait", 400).get(PATIENCE)

    assert neighbour.get(PATIENCE) == "rested"
    assert call(home.app, "pid").get(PATIENCE) == home.child


def test_a_worker_that_stops_lets_an_isolated_task_end(crew: Crew, tasks: MiniCelery) -> None:
    worker = start(crew, "--threads", "1")
    result = call(tasks, "announce_and_wait", 1)
    [cell] = begun(result)

    worker.signal(signal.SIGTERM)

    assert worker.end() == (0, "Stopped: 1 finished, 0 to be retried, 0 handed back, 0 lost.")
    assert result.get(PATIENCE) == "rested"
    wait_until(lambda: not psutil.pid_exists(cell), what="the end of the cell")


def test_what_an_isolated_task_has_not_done_within_the_grace_is_handed_back(crew: Crew, tasks: MiniCelery) -> None:
    worker = start(crew, "--threads", "1", "--grace", "0.5")
    result = call(tasks, "announce_and_wait", 60)
    [cell] = begun(result)

    worker.signal(signal.SIGTERM)

    assert worker.end() == (0, "Stopped: 0 finished, 0 to be retried, 1 handed back, 0 lost.")
    assert (result.status, result.record.crashes) == (Status.PENDING, 0)
    wait_until(lambda: not psutil.pid_exists(cell), what="the end of the cell")


def test_no_cell_outlives_a_worker_that_is_killed(crew: Crew, tasks: MiniCelery) -> None:
    worker = start(crew, "--threads", "2")
    at_work = begun(call(tasks, "announce_and_wait", 60))[0]
    call(tasks, "pids").get(PATIENCE)
    cells = psutil.Process(worker.child().pid).children()

    worker.kill_all()

    assert len(cells) == 2
    assert at_work in {cell.pid for cell in cells}
    _, alive = psutil.wait_procs(cells, timeout=5)
    assert alive == []
