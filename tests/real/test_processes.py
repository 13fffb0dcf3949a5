"""Several processes under one parent: that they work side by side, are replaced without a gap, and end together."""

import os
import signal
from collections import Counter

import psutil

from minicelery import MiniCelery
from minicelery.embedded import EmbeddedServer
from tests.real.conftest import Crew, Worker
from tests.real.test_worker import PATIENCE, call, lawful, statuses
from tests.stack import wait_until


def children(worker: Worker) -> list[psutil.Process]:
    return psutil.Process(worker.process.pid).children()


def pids_at_work(tasks: MiniCelery) -> set[object]:
    return {worker.info["pid"] for worker in tasks.inspector.workers() if worker.lease > 0}


def all_at_work(tasks: MiniCelery, processes: int) -> None:
    """Wait until each of so many processes has run a task. They are registered before they are ready."""
    seen: set[int] = set()
    wait_until(
        lambda: seen.add(call(tasks, "pid").get(PATIENCE)) or len(seen) == processes,  # type: ignore[func-returns-value]
        PATIENCE,
        "the work of all processes",
    )


def test_tasks_run_in_several_processes_at_once(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", "--processes", "3").ready()

    naps = [call(tasks, "announced_nap", 2) for _ in range(3)]
    wait_until(lambda: all(nap.record.progress for nap in naps), PATIENCE, "the start of all three")

    assert len({nap.record.worker for nap in naps}) == 3
    assert "threads  1 in each of 3 processes" in worker.text
    worker.signal(signal.SIGTERM)
    assert worker.end() == (0, "Stopped: 3 finished, 0 to be retried, 0 handed back, 0 lost.")
    lawful(tasks)


def test_when_one_process_dies_the_others_go_on_and_it_is_replaced(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", "--processes", "2", MINICELERY_LEASE="600").ready()
    all_at_work(tasks, 2)
    naps = [call(tasks, "announced_nap", 1) for _ in range(2)]
    wait_until(lambda: all(nap.record.progress for nap in naps), what="the start of both")
    before = {child.pid for child in children(worker)}

    os.kill(min(before), signal.SIGKILL)

    assert [nap.get(PATIENCE) for nap in naps] == ["rested", "rested"]
    assert sorted(nap.record.crashes for nap in naps) == [0, 1]
    wait_until(lambda: len(pids_at_work(tasks)) == 2, what="the replacement")
    assert len(before & {child.pid for child in children(worker)}) == 1
    lawful(tasks)


def test_a_parent_that_is_killed_takes_all_its_processes_along(crew: Crew) -> None:
    worker = crew.start("--processes", "3").ready()
    wait_until(lambda: len(children(worker)) == 3, what="three children")
    family = children(worker)

    worker.process.kill()
    worker.process.wait(5)

    gone, alive = psutil.wait_procs(family, timeout=10)
    assert (len(gone), alive) == (3, [])


def test_a_process_is_replaced_after_its_number_of_tasks(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", "--max-tasks-per-child", "3").ready()

    pids = [call(tasks, "pid").get(PATIENCE) for _ in range(9)]

    assert list(Counter(pids).values()) == [3, 3, 3]
    assert "a child retires: it has run 3 tasks" in worker.text
    worker.signal(signal.SIGTERM)
    assert worker.end() == (0, "Stopped: 9 finished, 0 to be retried, 0 handed back, 0 lost.")


def test_the_successor_works_while_the_retired_process_still_runs_a_long_task(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "2", "--max-tasks-per-child", "1", "--grace", "0.1").ready()
    long = call(tasks, "announced_nap", 3)
    wait_until(lambda: long.record.progress, what="the start")
    first = call(tasks, "pid").get(PATIENCE)

    assert call(tasks, "pid").get(PATIENCE) != first

    assert long.status.value == "RUNNING", "the retired process has no grace but all the time it needs"
    assert long.get(PATIENCE) == "rested"
    assert long.record.deliveries == 1
    worker.signal(signal.SIGTERM)
    assert worker.end()[0] == 0


def test_a_process_that_has_used_too_much_memory_is_replaced(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", "--max-memory-per-child", str(300 << 10)).ready()
    before = call(tasks, "pid").get(PATIENCE)

    assert call(tasks, "pid").get(PATIENCE) == before
    assert call(tasks, "grow", 400).get(PATIENCE) == 400

    wait_until(lambda: "KiB of memory" in worker.text, what="the word of its retirement")
    assert call(tasks, "pid").get(PATIENCE) != before


def test_a_new_release_works_beside_the_old_one_which_drains(crew: Crew, tasks: MiniCelery) -> None:
    old = crew.start("--threads", "1", "--processes", "2").ready()
    all_at_work(tasks, 2)
    naps = [call(tasks, "announced_nap", 1) for _ in range(2)]
    wait_until(lambda: all(nap.record.progress for nap in naps), what="the start of both")
    new = crew.start("--threads", "1", "--processes", "2").ready()
    waiting = [call(tasks, "add", number, 1) for number in range(20)]

    old.signal(signal.SIGTERM)

    assert [result.get(PATIENCE) for result in waiting] == list(range(1, 21))
    code, line = old.end()
    assert (code, line.endswith(" 0 lost.")) == (0, True), line
    assert statuses(tasks, naps) == {"SUCCESS": 2}
    assert {result.record.deliveries for result in naps} == {1}
    new.signal(signal.SIGTERM)
    new.end()
    lawful(tasks)


def test_the_command_line_of_a_child_tells_nothing_of_what_it_was_told(crew: Crew, server: EmbeddedServer) -> None:
    url = server.url.replace("redis://", "redis://default:swordfish@")  # a server without a password takes any
    worker = crew.start("--app", "tests.real.tasks:app", "--redis-url", url)
    wait_until(lambda: children(worker), what="the child")

    wait_until(lambda: "minicelery.worker.child" in " ".join(children(worker)[0].cmdline()), what="its command line")
    assert "swordfish" not in " ".join(children(worker)[0].cmdline())
