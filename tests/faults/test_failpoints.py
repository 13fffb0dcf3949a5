"""A child that dies at each point of a task's life: what is run again, and what is counted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.states import Status
from tests.faults.failpoints import POINTS
from tests.faults.tasks import answer
from tests.real.conftest import Worker

PATIENCE = 30.0

#: Point → how often the task was claimed, how many crashes were counted, how often its effect was had.
EXPECTED = {
    "claimed": (2, 0, 1),
    "begun": (2, 1, 1),
    "after_effect": (2, 1, 2),
    "before_settle": (2, 1, 2),
    "after_settle": (1, 0, 1),
}


def submit(tasks: MiniCelery, trace: Path) -> Any:
    return tasks.tasks.find("leave_a_trace").apply_async([11, str(trace)])


@pytest.mark.parametrize("point", POINTS)
def test_a_child_killed_at_a_point_leaves_one_outcome(
    start: Callable[..., Worker], tasks: MiniCelery, tmp_path: Path, point: str
) -> None:
    channel = tasks.clients.commands.pubsub(ignore_subscribe_messages=True)
    channel.psubscribe(tasks.keys.events("*"))
    channel.get_message(timeout=5)  # the subscription
    trace, marker = tmp_path / "trace", tmp_path / "marker"
    worker = start("--threads", "1", FAIL_POINT=point, FAIL_ONCE=str(marker))

    result = submit(tasks, trace)
    after = tasks.tasks.find("work").apply_async([1, 0.0])

    assert result.get(PATIENCE) == answer(11)
    assert after.get(PATIENCE) == answer(1), "the next child goes on"
    record = result.record
    runs = len(trace.read_text().splitlines())
    assert (record.deliveries, record.crashes, runs) == EXPECTED[point], worker.text
    assert (record.status, record.retry_count, record.released) == (Status.SUCCESS, 0, 0)
    told: Counter[str] = Counter()
    while message := channel.get_message(timeout=0.2):
        told[message["channel"]] += message["data"].startswith('{"event":"completed"')
    channel.close()
    assert told[tasks.keys.events(result.id)] == 1
    assert "was ended by SIGKILL" in worker.text
    assert [str(violation) for violation in tasks.doctor.violations()] == []


def test_a_fail_point_can_be_for_one_task_only(start: Callable[..., Worker], tasks: MiniCelery, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    worker = start("--threads", "1", FAIL_POINT="begun", FAIL_ONCE=str(marker), FAIL_TASK="leave_a_trace")

    assert tasks.tasks.find("work").apply_async([1, 0.0]).get(PATIENCE) == answer(1)
    assert not marker.exists()
    assert "was ended by SIGKILL" not in worker.text
    assert submit(tasks, tmp_path / "trace").get(PATIENCE) == answer(11)
    assert marker.exists()


def test_a_fail_point_that_does_not_exist_is_said(start: Callable[..., Worker]) -> None:
    code, line = start(FAIL_POINT="nowhere").end()

    assert code == 2
    assert "FAIL_POINT='nowhere' is not one of claimed, begun" in line
