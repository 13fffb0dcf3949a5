"""Cancelling in every state: what waits is over at once, what runs when its run is over, and each is told once."""

import json
from collections.abc import Callable, Iterator

import pytest

from minicelery.handover import Claim, Recovery, Settlement
from minicelery.message import Delivery
from minicelery.states import FINISHED, Status
from tests.store.conftest import SHORT, Desk

Heard = Callable[[], list[str]]
ERROR = '{"type":"E","message":"m","traceback":"t"}'


def _names(heard: Heard) -> list[str]:
    return [json.loads(text)["event"] for text in heard()]


def _is_over(desk: Desk) -> None:
    """It is CANCELLED, in no place and no index, and kept as long as a result is."""
    assert desk.where("t") == ["CANCELLED"]
    assert 0 < desk.life("t") <= desk.app.config.result_ttl
    assert "keep" not in desk.fields("t")
    assert desk.app.clients.commands.zscore(desk.app.keys.expiring, "t") is None
    assert list(desk.app.inspector.tagged("x")) == []
    desk.lawful()


def _ready(desk: Desk) -> None:
    desk.submit("t", expires=60, tags=["x", "y"])


def _with_a_priority(desk: Desk) -> None:
    desk.submit("t", priority=9, tags=["x"])


def _scheduled(desk: Desk) -> None:
    desk.submit("t", delay=60, expires=90, tags=["x"])


def _retrying(desk: Desk) -> None:
    desk.submit("t", expires=60, tags=["x"])
    desk.settle(desk.take(), Status.RETRYING, ERROR, delay=60)


def _in_quarantine(desk: Desk) -> None:
    desk.submit("t", tags=["x"])
    for _ in range(2):
        desk.hire("v")
        desk.take("v")
        desk.broker.recover("v", ["t"])


@pytest.mark.parametrize("state", [_ready, _with_a_priority, _scheduled, _retrying, _in_quarantine])
def test_what_waits_is_over_at_once_and_never_begins(desk: Desk, state: Callable[[Desk], None], heard: Heard) -> None:
    desk.hire("w")
    state(desk)

    assert desk.cancel("t") is Status.CANCELLED
    assert desk.cancel("t") is Status.CANCELLED

    _is_over(desk)
    assert _names(heard).count("cancelled") == 1
    assert "due" not in desk.fields("t")
    assert desk.broker.promote(early=True) == (0, None)
    assert desk.claim().deliveries == desk.claim(quarantine=True).deliveries == ()
    assert desk.app.inspector.queues() == desk.app.inspector.quarantines() == []


def test_what_is_over_stays_as_it_is_and_what_is_unknown_is_none(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("done", "failed")
    desk.settle(desk.take())
    desk.fail(desk.take())
    desk.submit("late", expires=60)
    desk.let_expire("late")
    desk.broker.expire()

    states = desk.broker.cancel(["done", "failed", "late", "none", "done"])

    assert states == [Status.SUCCESS, Status.FAILED, Status.EXPIRED, None, Status.SUCCESS]
    desk.lawful()


def test_an_id_that_stands_twice_in_a_request_is_cancelled_once(desk: Desk, heard: Heard) -> None:
    desk.submit("t")

    assert desk.broker.cancel(["t", "t"]) == [Status.CANCELLED] * 2
    assert _names(heard) == ["queued", "cancelled"]


def test_what_no_script_of_ours_has_written_is_no_task_to_cancel(desk: Desk) -> None:
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "status", "PENDING")

    assert desk.cancel("t") is None
    assert desk.fields("t") == {"status"}


# ---- what runs ----------------------------------------------------------------------------------


def _running(desk: Desk) -> Delivery:
    desk.hire("w")
    desk.submit("t", expires=60, tags=["x"])
    return desk.take()


def test_what_runs_is_cancelled_at_once_and_stays_with_its_worker(desk: Desk, heard: Heard) -> None:
    _running(desk)

    assert desk.cancel("t") is Status.CANCELLED

    assert desk.where("t") == ["CANCELLED", "claimed"]
    assert desk.life("t") == -1
    assert desk.app.clients.commands.zscore(desk.app.keys.expiring, "t") is None
    desk.lawful()
    assert _names(heard) == ["queued", "started", "cancelled"]


def _settle(desk: Desk, delivery: Delivery) -> None:
    assert desk.settle(delivery) is None


def _fail(desk: Desk, delivery: Delivery) -> None:
    assert desk.fail(delivery) is None


def _retry(desk: Desk, delivery: Delivery) -> None:
    assert desk.settle(delivery, Status.RETRYING, ERROR) is None


def _release(desk: Desk, delivery: Delivery) -> None:
    assert desk.broker.release("w", [(delivery.id, delivery.token)]) == [None]


def _pass_on(desk: Desk, delivery: Delivery) -> None:
    assert desk.broker.pass_on("w", delivery.id, delivery.token, ERROR) is Status.CANCELLED


def _recover(desk: Desk, delivery: Delivery) -> None:
    assert desk.broker.recover("w", [delivery.id]) == Recovery()


ENDS = [_settle, _fail, _retry, _release, _pass_on, _recover]


@pytest.mark.parametrize("end", ENDS)
def test_whatever_the_run_ends_with_is_not_recorded(
    desk: Desk, end: Callable[[Desk, Delivery], None], heard: Heard
) -> None:
    delivery = _running(desk)
    desk.cancel("t")

    end(desk, delivery)
    end(desk, delivery)  # the answer was lost

    _is_over(desk)
    assert not desk.fields("t") & {"result", "error", "due", "crashes"}
    assert _names(heard) == ["queued", "started", "cancelled"]
    assert desk.app.inspector.dead_letter_count() == 0


def test_a_claim_repeated_after_a_lost_answer_does_not_give_what_was_cancelled_and_closes_it(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", "u")
    claim = Claim("w", 0, 1, "n1", ("default",), count=2, budget=2, costs=SHORT)
    desk.broker.claim(claim)
    desk.cancel("t")

    again = desk.broker.claim(claim)

    assert [one.id for one in again.deliveries] == ["u"]
    _is_over(desk)


def test_an_old_token_closes_nothing(desk: Desk) -> None:
    old = _running(desk)
    desk.broker.recover("w")
    _running(desk)
    desk.cancel("t")

    assert desk.settle(old) is False
    assert desk.broker.release("w", [(old.id, old.token)]) == [False]
    assert desk.broker.pass_on("w", old.id, old.token, ERROR) is None
    assert desk.broker.progress("t", old.token, '"done":1') is False
    assert desk.where("t") == ["CANCELLED", "claimed"]


def test_progress_of_what_was_cancelled_is_refused_and_ends_nothing(desk: Desk, heard: Heard) -> None:
    delivery = _running(desk)
    desk.cancel("t")

    assert desk.broker.progress("t", delivery.token, '"done":1') is None

    assert desk.where("t") == ["CANCELLED", "claimed"]
    assert _names(heard) == ["queued", "started", "cancelled"]


def test_others_of_a_batch_are_recorded_beside_one_that_was_cancelled(desk: Desk) -> None:
    first = _running(desk)
    desk.submit("u")
    second = desk.take()
    desk.cancel("t")

    kept = desk.broker.settle("w", [Settlement(one.id, one.token, Status.SUCCESS, "3") for one in (first, second)])

    assert kept == [None, True]
    _is_over(desk)
    assert desk.where("u") == ["SUCCESS"]


def test_what_is_still_in_the_hands_of_its_worker_is_not_forgotten(desk: Desk) -> None:
    delivery = _running(desk)
    desk.cancel("t")
    refused = desk.broker.forget("t", FINISHED, "first")
    there = desk.where("t")
    desk.settle(delivery)

    assert (refused, there) == (Status.RUNNING, ["CANCELLED", "claimed"])
    assert desk.broker.forget("t", FINISHED, "second") is Status.CANCELLED
    assert desk.where("t") == [""]


def test_what_a_worker_that_is_gone_left_cancelled_is_put_right_by_the_doctor(desk: Desk) -> None:
    _running(desk)
    desk.cancel("t")
    desk.app.clients.commands.zrem(desk.app.keys.workers, "w")
    desk.app.clients.commands.delete(desk.app.keys.claimed("w"))

    assert [repair.done for repair in desk.app.doctor.repair(pause=0) if repair.violation.subject == "t"] == [
        "to expire as results do"
    ]

    _is_over(desk)
    assert desk.broker.forget("t", FINISHED, "request") is Status.CANCELLED
    assert desk.where("t") == [""]


@pytest.fixture
def orders(desk: Desk) -> Iterator[Callable[[], list[str]]]:
    """What the worker "w" is told from now on."""
    channel = desk.app.clients.commands.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(desk.app.keys.orders("w"))
    channel.get_message(timeout=1)
    texts: list[str] = []

    def so_far() -> list[str]:
        while message := channel.get_message(timeout=0.05):
            texts.append(message["data"])
        return texts

    yield so_far
    channel.close()


def test_the_worker_is_told_of_what_runs_and_of_nothing_else(desk: Desk, orders: Callable[[], list[str]]) -> None:
    delivery = _running(desk)
    desk.submit("u")

    desk.broker.cancel(["t", "u"])

    assert orders() == [f"cancel t {delivery.token}"]
    assert desk.app.inspector.orders([("t", delivery.token), ("t", "0.x"), ("u", "0."), ("none", "1.x")]) == [
        "cancel",
        None,
        None,
        None,
    ]


def test_it_is_told_again_when_what_still_runs_is_cancelled_once_more(
    desk: Desk, orders: Callable[[], list[str]]
) -> None:
    delivery = _running(desk)
    desk.cancel("t")
    desk.broker.cancel(["t"], interrupt=True)
    desk.settle(delivery)
    desk.cancel("t")

    assert orders() == [f"cancel t {delivery.token}", f"interrupt t {delivery.token}"]


# ---- by tag -------------------------------------------------------------------------------------


def test_all_unfinished_tasks_of_a_tag_are_cancelled_together(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("failed", "done", "running", tags=["x"])
    desk.fail(desk.take())
    desk.settle(desk.take())
    desk.take()
    desk.submit("ready", tags=["y", "x"])
    desk.submit("delayed", tags=["x"], delay=60)
    desk.submit("other", tags=["y"])

    assert desk.app.cancel_tagged("x") == 3
    assert desk.app.cancel_tagged("x") == 0

    states = {task: desk.where(task)[0] for task in ("failed", "done", "running", "ready", "delayed", "other")}
    assert [task for task, state in states.items() if state == "CANCELLED"] == ["running", "ready", "delayed"]
    assert list(desk.app.inspector.tagged("y")) == ["other"]


def test_a_tag_is_left_with_the_end_of_a_task_or_its_deletion(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("done", "failed", tags=["x"])
    desk.settle(desk.take())
    desk.fail(desk.take())
    of_dead_letters = list(desk.app.inspector.tagged("x"))

    desk.app.discard("failed")

    assert of_dead_letters == ["failed"]
    assert not desk.app.clients.commands.exists(desk.app.keys.tag("x"))


def test_more_than_a_hundred_tasks_are_cancelled_in_several_calls(desk: Desk) -> None:
    ids = [f"t{number}" for number in range(250)]
    desk.submit(*ids, tags=["x"])

    assert desk.app.cancel([*ids, "none"]).count(Status.CANCELLED) == 250
    assert desk.app.inspector.queue_length("default") == 0


@pytest.mark.usefixtures("long_lists")
def test_what_is_cancelled_in_a_long_list_is_over_and_the_claim_passes_it_by(desk: Desk, heard: Heard) -> None:
    desk.hire("w")
    desk.submit("t", "a", "b", "c", priority=9)

    desk.cancel("t")

    assert desk.where("t") == ["CANCELLED", "ready"]
    desk.lawful()
    claimed = desk.claim()
    assert ([one.id for one in claimed.deliveries], claimed.passed, claimed.dropped) == (["a"], 1, ())
    _is_over(desk)
    assert _names(heard) == ["queued", "cancelled"]
