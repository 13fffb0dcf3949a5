"""Unique tasks with real processes: many submit at once, and workers die."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.result import AsyncResult
from minicelery.states import Status
from minicelery.testing import drain
from tests.real.conftest import Crew
from tests.real.test_cli import Run, run
from tests.stack import ROOT, wait_until

__all__ = ["run"]
PATIENCE = 30.0
SUBMITTER = """
import sys
from tests.real.tasks import app
for number in range(25):
    result = app.tasks.find("add").apply_async((1, 2), unique_for=600, unique_key=str(number))
    print(result.id, int(result.duplicate))
"""


def test_processes_that_submit_the_same_at_once_make_one_task_of_it(crew: Crew, tasks: MiniCelery) -> None:
    command = [sys.executable, "-c", SUBMITTER]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=crew._environ({}), stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    told = [process.communicate(timeout=PATIENCE)[0].split() for process in processes]

    assert told[0][::2] == told[1][::2] == told[2][::2]
    assert [sorted(words) for words in zip(*(one[1::2] for one in told), strict=True)] == [["0", "1", "1"]] * 25
    assert tasks.inspector.queue_length("default") == 25


def test_threads_that_submit_the_same_at_once_make_one_task_of_it(tasks: MiniCelery) -> None:
    start = threading.Barrier(8)
    found: list[AsyncResult[Any]] = []

    def submit() -> None:
        start.wait()
        found.append(tasks.tasks.find("add").apply_async((1, 2), unique_for=600))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({result.id for result in found}) == 1
    assert sorted(result.duplicate for result in found) == [False] + [True] * 7
    assert tasks.inspector.queue_length("default") == 1


@pytest.mark.parametrize("whole", [False, True], ids=["child", "worker"])
def test_the_key_outlives_a_killed_worker_until_the_task_has_really_ended(
    crew: Crew, tasks: MiniCelery, tmp_path: Path, whole: bool
) -> None:
    gate = tmp_path / "gate"
    worker = crew.start("--threads", "1")
    first = tasks.tasks.find("wait_for").apply_async((str(gate),), unique_for=600)
    wait_until(lambda: first.record.progress, PATIENCE, "the start of the run")

    if whole:
        worker.kill_all()
        crew.start("--threads", "1")
    else:
        worker.child().kill()
    wait_until(lambda: first.record.deliveries == 2, PATIENCE, "the second run")
    second = tasks.tasks.find("wait_for").apply_async((str(gate),), unique_for=600)
    gate.touch()

    assert (second.id, second.duplicate) == (first.id, True)
    assert first.get(PATIENCE) == "open"
    third = tasks.tasks.find("wait_for").apply_async((str(gate),), unique_for=600)
    assert (third.duplicate, third.get(PATIENCE)) == (False, "open")


def test_a_debounced_task_is_run_once_with_the_last_arguments(crew: Crew, tasks: MiniCelery) -> None:
    crew.start().ready()
    add = tasks.tasks.find("add")
    results = tasks.submit_many(add.s(1, n).set(debounce=0.5, unique_key="k") for n in range(5))

    assert {result.get(PATIENCE) for result in results} == {5}
    assert len(list(tasks.inspector.task_ids())) == 1


def test_the_command_line_prints_the_first_ones_id_and_says_that_it_is_there(run: Run) -> None:
    options = ("--unique-for", "600", "--unique-until", "start", "--unique-key", "k")
    first, second = (run("enqueue", "add", "2", "3", *options) for _ in range(2))

    assert (first.returncode, second.returncode, second.stdout) == (0, 0, first.stdout)
    assert first.stderr == ""
    assert f"an earlier call was the same; this is its task {first.stdout.strip()}" in second.stderr


def test_of_a_file_duplicates_are_counted(run: Run, tasks: MiniCelery, tmp_path: Path) -> None:
    line = json.dumps({"name": "add", "args": [1, 2], "throttle": 600})
    file = tmp_path / "tasks.jsonl"
    file.write_text(f"{line}\n{line}\n")

    done = run("enqueue-many", str(file))

    assert len(set(done.stdout.split())) == 1
    assert "1 of these calls were the same as earlier ones" in done.stderr
    assert drain(tasks) == 1
    assert tasks.inspector.task(done.stdout.split()[0]).status is Status.SUCCESS
