"""The doctor beside real workers: what they do is lawful at every moment, whoever dies."""

import threading
from collections.abc import Iterator

import pytest

from minicelery import MiniCelery
from minicelery.doctor import Repair
from minicelery.states import FINISHED
from tests.real.conftest import Crew
from tests.stack import wait_until

PATIENCE = 60.0


@pytest.fixture
def repairs(tasks: MiniCelery) -> Iterator[list[Repair]]:
    """What a doctor repairs who looks without a pause, as long as the test goes on."""
    found: list[Repair] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found.extend(tasks.doctor.repair(pause=0))

    beside = threading.Thread(target=look)
    beside.start()
    yield found
    done.set()
    beside.join()


def test_nothing_is_repaired_while_workers_work_and_one_is_killed(
    crew: Crew, tasks: MiniCelery, repairs: list[Repair]
) -> None:
    first, second = (crew.start("--threads", "4").ready() for _ in range(2))
    calls = [tasks.tasks.find("nap").s(0.005) for _ in range(400)]
    calls += [tasks.tasks.find("fail").s("again").set(max_retries=2, countdown=0.1) for _ in range(100)]
    ids = [result.id for result in tasks.submit_many(calls)]

    def finished() -> int:
        records = [record for start in (0, 250) for record in tasks.inspector.tasks(ids[start : start + 250])]
        return sum(1 for record in records if record and record.status in FINISHED)

    wait_until(lambda: finished() > 50, PATIENCE, "some work")
    first.kill_all()
    wait_until(lambda: finished() == 500, PATIENCE, "all outcomes")

    assert repairs == []
    assert tasks.inspector.dead_letter_count() == 100
    assert second.process.poll() is None
    assert list(tasks.doctor.violations()) == []
