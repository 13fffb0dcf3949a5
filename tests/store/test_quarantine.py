"""What becomes of tasks whose process crashes, and of those whose name a worker does not know."""

import json
from collections.abc import Callable

import pytest

from minicelery.broker import ALL
from minicelery.handover import Recovery
from minicelery.message import Delivery
from minicelery.states import Status
from tests.store.conftest import Desk

ERROR = '{"type":"UnknownTask","message":"no task \'add\'","traceback":""}'


def crash(desk: Desk, times: int, *, quarantine: bool = False, cause: str = "was ended by SIGSEGV") -> Recovery:
    """The task "t" is run and its process crashes, so many times."""
    for _ in range(times):
        desk.hire("w")
        [delivery] = desk.claim(quarantine=quarantine).deliveries
        last = desk.broker.recover("w", [delivery.id], cause=cause)
    return last


def test_a_task_goes_into_quarantine_with_the_second_crash(desk: Desk) -> None:
    desk.submit("t")

    assert crash(desk, 1) == Recovery(ready=1)
    assert not desk.app.inspector.task("t").quarantined
    assert crash(desk, 1) == Recovery(ready=1, quarantined=1)

    record = desk.app.inspector.task("t")
    assert (record.status, record.quarantined, record.crashes) == (Status.PENDING, True, 2)
    assert record.last_crash == "was ended by SIGSEGV"
    assert desk.app.inspector.quarantines() == ["default"]
    assert desk.app.inspector.queue_length("default") == 0
    desk.lawful()


def test_a_task_in_quarantine_is_claimed_only_by_who_asks_for_it(desk: Desk) -> None:
    desk.submit("t")
    crash(desk, 2)
    desk.hire("w")

    assert desk.claim().deliveries == ()
    assert [delivery.id for delivery in desk.claim(quarantine=True).deliveries] == ["t"]


def test_the_third_crash_alone_makes_a_dead_letter_that_says_what_killed_it(
    desk: Desk, heard: Callable[[], list[str]]
) -> None:
    desk.submit("t")
    crash(desk, 2)

    assert crash(desk, 2, quarantine=True) == Recovery(ready=1, quarantined=1)
    assert crash(desk, 1, quarantine=True, cause='was ended by SIGKILL: "out of memory"') == Recovery(dead=1)

    record = desk.app.inspector.task("t")
    assert desk.where("t") == ["FAILED", "dead"]
    assert record.error == {
        "type": "WorkerCrashed",
        "message": "its process crashed 5 times, 3 of them with no other task beside it; "
        'the last time it was ended by SIGKILL: "out of memory"',
        "traceback": "",
    }
    assert (record.crashes, record.retry_count) == (5, 0)
    last = json.loads(heard()[-1])
    assert (last["event"], last["data"]["error"]) == ("failed", record.error)
    desk.lawful()


def test_losses_of_whole_workers_end_a_task_in_quarantine_only_after_many(desk: Desk) -> None:
    desk.submit("t")
    crash(desk, 2)
    for _ in range(7):
        desk.hire("w")
        assert desk.claim(quarantine=True).deliveries
        assert desk.broker.recover("w", [ALL], cause="was lost") == Recovery(ready=1, quarantined=1)

    desk.hire("w")
    desk.claim(quarantine=True)
    assert desk.broker.recover("w", [ALL], cause="was lost") == Recovery(dead=1)

    error = desk.app.inspector.task("t").error
    assert error is not None
    assert error["message"].startswith("its process crashed 10 times, 0 of them with no other task beside it")


def test_what_had_not_begun_when_its_process_died_counts_no_crash(desk: Desk) -> None:
    desk.submit("t")
    for _ in range(9):
        desk.hire("w")
        desk.take()
        desk.broker.recover("w", [])

    record = desk.app.inspector.task("t")
    assert (record.crashes, record.deliveries, record.quarantined) == (0, 9, False)


def test_a_task_that_fails_or_is_given_back_in_quarantine_stays_there(desk: Desk) -> None:
    desk.submit("t")
    crash(desk, 2)
    desk.hire("w")

    [delivery] = desk.claim(quarantine=True).deliveries
    desk.broker.release("w", [(delivery.id, delivery.token)])
    [delivery] = desk.claim(quarantine=True).deliveries
    desk.settle(delivery, Status.RETRYING, ERROR)
    desk.broker.promote(early=True)

    assert desk.app.inspector.quarantine_length("default") == 1
    desk.lawful()


def test_a_revived_task_leaves_quarantine_with_its_crashes_forgotten(desk: Desk) -> None:
    desk.submit("t")
    crash(desk, 2)
    crash(desk, 3, quarantine=True)

    assert desk.broker.revive(["t"], "r") == [True]

    record = desk.app.inspector.task("t")
    assert (record.quarantined, record.crashes, record.last_crash) == (False, 0, None)
    assert desk.app.inspector.queue_length("default") == 1
    assert crash(desk, 1) == Recovery(ready=1)
    desk.lawful()


def test_quarantine_has_a_bell_of_its_own(desk: Desk) -> None:
    desk.submit("t")
    crash(desk, 1)
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.delete(keys.bell("default"))
    crash(desk, 1)

    assert commands.llen(keys.quarantine_bell("default")) == 1
    assert commands.llen(keys.bell("default")) == 0


def taken(desk: Desk) -> Delivery:
    desk.hire("w")
    desk.submit("t")
    return desk.take()


def know(desk: Desk, worker: str, queues: list[str], tasks: list[str], lease: float = 60) -> None:
    desk.broker.beat({worker: json.dumps({"queues": queues, "tasks": tasks})}, lease)


def test_a_task_of_unknown_name_is_left_to_a_worker_that_knows_it(desk: Desk, heard: Callable[[], list[str]]) -> None:
    delivery = taken(desk)
    know(desk, "other", ["mail", "default"], ["sub", "add"])

    assert desk.broker.pass_on("w", "t", delivery.token, ERROR) is Status.SCHEDULED
    assert desk.broker.pass_on("w", "t", delivery.token, ERROR) is Status.SCHEDULED

    assert desk.where("t") == ["SCHEDULED", "delayed"]
    record = desk.app.inspector.task("t")
    assert (record.released, record.retry_count, record.crashes, record.error) == (1, 0, 0, None)
    assert [json.loads(text)["event"] for text in heard()].count("scheduled") == 1
    desk.lawful()


@pytest.mark.parametrize(
    ("queues", "tasks", "lease"),
    [(["mail"], ["add"], 60), (["default"], ["sub"], 60), (["default"], ["add"], -1)],
    ids=["serves another queue", "does not know it either", "is gone"],
)
def test_a_task_that_no_worker_of_its_queue_knows_is_a_dead_letter(
    desk: Desk, queues: list[str], tasks: list[str], lease: float
) -> None:
    delivery = taken(desk)
    know(desk, "other", queues, tasks, lease)
    desk.broker.beat({"strange": "[1]", "broken": "{"}, 60)

    assert desk.broker.pass_on("w", "t", delivery.token, ERROR) is Status.FAILED
    assert desk.broker.pass_on("w", "t", delivery.token, ERROR) is Status.FAILED

    assert desk.where("t") == ["FAILED", "dead"]
    assert desk.app.inspector.task("t").error == json.loads(ERROR)
    desk.lawful()


def test_who_knows_a_name_itself_does_not_count_as_another(desk: Desk) -> None:
    know(desk, "w", ["default"], ["add"])
    desk.submit("t")

    assert desk.broker.pass_on("w", "t", desk.take().token, ERROR) is Status.FAILED


def test_a_task_is_passed_on_with_growing_pauses(desk: Desk) -> None:
    desk.hire("w")
    know(desk, "other", ["default"], ["add"])
    desk.submit("t")
    pauses = []
    for _ in range(7):
        delivery = desk.take()
        desk.broker.pass_on("w", "t", delivery.token, ERROR)
        record = desk.app.inspector.task("t")
        pauses.append(round((record.due or 0) - record.updated_at, 3))
        desk.broker.promote(early=True)

    assert pauses == [0.25, 0.5, 1, 2, 2, 2, 2]


def test_a_lost_delivery_is_not_passed_on(desk: Desk) -> None:
    delivery = taken(desk)
    desk.broker.recover("w")

    assert desk.broker.pass_on("w", "t", delivery.token, ERROR) is None
    assert desk.where("t") == ["PENDING", "ready"]
