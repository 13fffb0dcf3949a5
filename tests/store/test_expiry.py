"""Tasks that have not begun in time never do: when that is noticed, and what is left of them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from minicelery.handover import Claim
from minicelery.states import FINISHED, Status
from tests.store.conftest import SHORT, Desk

LATER = datetime(2100, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
Heard = Callable[[], list[str]]


def _names(heard: Heard) -> list[str]:
    return [json.loads(text)["event"] for text in heard()]


def _is_over(desk: Desk, task_id: str = "t") -> None:
    """It is EXPIRED, in no place and no index, and kept as long as a result is."""
    assert desk.where(task_id) == ["EXPIRED"]
    assert 0 < desk.life(task_id) <= desk.app.config.result_ttl
    assert desk.app.clients.commands.zscore(desk.app.keys.expiring, task_id) is None
    assert list(desk.app.inspector.tagged("x")) == []
    desk.lawful()


def test_seconds_count_from_the_moment_that_redis_takes_the_task_and_a_moment_is_kept_as_it_is(desk: Desk) -> None:
    desk.submit("relative", expires=60)
    desk.submit("absolute", expires=LATER)

    relative, absolute = map(desk.app.inspector.task, ("relative", "absolute"))

    assert relative.expires == pytest.approx(relative.created_at + 60, abs=0.001)
    assert absolute.expires == LATER.timestamp()
    assert [*desk.broker.expire()] == [0, pytest.approx(60, abs=5)]


def test_a_claim_passes_by_what_is_too_late_and_takes_the_next(desk: Desk, heard: Heard) -> None:
    desk.hire("w")
    desk.submit("t", expires=60, tags=["x"])
    desk.submit("u")
    desk.let_expire("t")

    claimed = desk.claim()

    assert ([one.id for one in claimed.deliveries], claimed.dropped, claimed.passed) == (["u"], (), 1)
    _is_over(desk)
    assert _names(heard) == ["queued", "expired"]


def test_a_claim_that_only_passed_something_by_says_so(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", expires=60)
    desk.let_expire("t")

    assert desk.claim().may_be_more
    assert not desk.claim().may_be_more


def test_a_claim_sent_twice_tells_once_of_what_has_expired(desk: Desk, heard: Heard) -> None:
    desk.hire("w")
    desk.submit("t", expires=60)
    desk.let_expire("t")
    claim = Claim("w", 0, 1, "n1", ("default",), costs=SHORT)

    assert (desk.broker.claim(claim).passed, desk.broker.claim(claim).passed) == (1, 0)
    assert _names(heard) == ["queued", "expired"]


@pytest.mark.parametrize("more", [{}, {"priority": 9}, {"delay": 60}], ids=["ready", "with a priority", "delayed"])
def test_upkeep_ends_what_is_too_late_where_it_waits(desk: Desk, more: dict[str, int], heard: Heard) -> None:
    desk.submit("t", expires=60, tags=["x"], **more)
    desk.let_expire("t")

    assert desk.broker.expire() == (1, None)
    assert desk.broker.expire() == (0, None)

    _is_over(desk)
    assert _names(heard) == ["scheduled" if "delay" in more else "queued", "expired"]
    assert desk.app.inspector.queues() == []
    assert "due" not in desk.fields("t")


def test_what_is_too_late_for_a_retry_expires_then(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", expires=60, tags=["x"])
    delivery = desk.take()
    desk.let_expire("t")
    running = desk.broker.expire()
    desk.settle(delivery, Status.RETRYING, "{}", delay=5)
    desk.let_expire("t")

    assert [*running] == [0, pytest.approx(60, abs=1)]
    assert desk.broker.expire() == (1, None)
    _is_over(desk)


def test_what_runs_when_it_is_too_late_to_begin_may_end(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", expires=60)
    delivery = desk.take()
    desk.let_expire("t")
    desk.broker.expire()

    assert desk.settle(delivery)

    assert desk.where("t") == ["SUCCESS"]
    assert desk.broker.expire() == (0, None)


def test_a_dead_letter_that_is_revived_expires_no_more(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", expires=60)
    desk.fail(desk.take())
    desk.let_expire("t")
    desk.broker.revive(["t"], "request")

    assert desk.broker.expire() == (0, None)
    assert desk.take().id == "t"
    assert desk.app.inspector.task("t").expires is None


def test_a_dead_letter_does_not_expire(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", expires=60)
    desk.fail(desk.take())
    desk.let_expire("t")

    assert desk.broker.expire() == (0, None)
    assert desk.where("t") == ["FAILED", "dead"]


def test_what_another_program_puts_among_the_expiring_ends_no_task(desk: Desk) -> None:
    desk.submit("never")
    desk.submit("later", expires=timedelta(hours=1).total_seconds())
    desk.app.clients.commands.zadd(desk.app.keys.expiring, {"never": 1, "later": 1, "none": 1})

    moved = desk.broker.expire()

    assert [*moved] == [0, pytest.approx(3600, abs=5)]
    assert desk.where("never") == desk.where("later") == ["PENDING", "ready"]


def test_an_expired_task_can_be_forgotten_and_its_id_used_again(desk: Desk) -> None:
    desk.submit("t", expires=60)
    desk.let_expire("t")
    desk.broker.expire()

    assert desk.broker.forget("t", FINISHED, "request") is Status.EXPIRED
    assert desk.submit("t") == [Status.PENDING]


def test_no_more_than_a_batch_expires_in_one_call(desk: Desk) -> None:
    ids = [f"t{number}" for number in range(201)]
    desk.submit(*ids, expires=60)
    for task in ids:
        desk.let_expire(task)

    assert [desk.broker.expire() for _ in range(2)] == [(200, 0.0), (1, None)]
    desk.lawful()


@pytest.mark.usefixtures("long_lists")
def test_what_has_expired_in_a_long_list_stays_there_and_is_passed_by(desk: Desk, heard: Heard) -> None:
    desk.hire("w")
    desk.submit("t", "a", "b", "c", expires=60)
    desk.let_expire("t")

    assert desk.broker.expire()[0] == 1

    assert desk.where("t") == ["EXPIRED", "ready"]
    desk.lawful()
    claimed = desk.claim(count=2)
    assert ([one.id for one in claimed.deliveries], claimed.dropped, claimed.passed) == (["a", "b"], (), 1)
    assert _names(heard) == ["queued", "expired"]
    _is_over(desk)


@pytest.mark.usefixtures("long_lists")
def test_behind_more_dead_entries_than_one_claim_passes_by_the_next_one_finds_the_task(desk: Desk) -> None:
    desk.hire("w")
    ghosts = [f"g{number}" for number in range(150)]
    desk.submit(*ghosts, "t")
    desk.broker.cancel(ghosts)

    first, second = desk.claim(), desk.claim()

    assert (first.deliveries, first.passed, first.may_be_more) == ((), 100, True)
    assert ([one.id for one in second.deliveries], second.passed) == (["t"], 50)
    desk.lawful()


def test_an_index_that_another_program_has_overwritten_keeps_no_end_from_being_recorded(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("done", "cancelled", "expired", expires=60, tags=["x"])
    delivery = desk.take()
    for key in (desk.app.keys.tag("x"), desk.app.keys.expiring):
        desk.app.clients.commands.delete(key)
        desk.app.clients.commands.set(key, "another program's")
    desk.app.clients.commands.hset(desk.app.keys.task("expired"), "expires", "1")

    assert desk.settle(delivery)
    assert desk.cancel("cancelled") is Status.CANCELLED
    assert desk.claim().passed == 1

    assert [desk.where(task) for task in ("done", "cancelled", "expired")] == [["SUCCESS"], ["CANCELLED"], ["EXPIRED"]]
