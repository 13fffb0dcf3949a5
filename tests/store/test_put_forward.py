"""Who is put forward by a limit and is not taken: nobody passes it in its list, and it keeps back no other list."""

import json
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.options import task_settings
from tests.store.clock import Clock, install
from tests.store.conftest import Desk, staffed

BOTH = ("default", "other")


@pytest.fixture
def desk(app: MiniCelery, clock: Clock) -> Desk:
    return staffed(app)


def of(priority: str = "", **limits: Any) -> str:
    """What a message has more than others, with limits that are the same for all."""
    found = {"gates": task_settings("add", limits).limits.gates((), {}), "priority": priority}
    return json.dumps({name: value for name, value in found.items() if value})


class Room:
    """Tasks of one limit. One has begun, and all that come wait behind it."""

    def __init__(self, desk: Desk, clock: Clock, **limits: Any) -> None:
        self._desk, self._clock, self._limits = desk, clock, limits
        desk.submit("first", more=of(**limits))
        self._running = desk.take()

    def submit(self, *tasks: str, queue: str = "default", priority: str = "") -> None:
        self._desk.submit(*tasks, queue=queue, more=of(priority, **self._limits))
        while self._desk.claim(count=1, queues=BOTH).passed:
            pass
        assert self._desk.where(tasks[-1])[0] == "WAITING"

    def end(self) -> None:
        """The one that has begun ends; where it held a slot, one is put forward."""
        self._desk.settle(self._running)

    def wait(self, seconds: float = 5) -> None:
        self._clock.go_on(seconds)
        self._desk.broker.admit()
        self._desk.lawful()

    def next(self, *queues: str) -> str:
        """The next one of some queues begins, '' if there is none."""
        deliveries = self._desk.claim(queues=queues or BOTH).deliveries
        if not deliveries:
            return ""
        [self._running] = deliveries
        return self._running.id

    def in_turn(self, most: int = 99) -> list[str]:
        """The next ones, where each ends before the next begins."""
        found: list[str] = []
        self.end()
        while len(found) < most and (task := self.next()):
            found.append(task)
            self.end()
        self._desk.lawful()
        return found


@pytest.fixture
def slot(desk: Desk, clock: Clock) -> Room:
    """A limit of one at a time."""
    return Room(desk, clock, concurrency=1)


# ---- in its own list ----------------------------------------------------------------------------


def test_who_is_not_taken_stays_before_those_of_its_room(desk: Desk, clock: Clock) -> None:
    rate = Room(desk, clock, rate_limit="1/s")
    rate.submit("b", "c", "d")
    rate.wait(1)
    rate.wait(5)

    assert rate.next() == "b"


def test_where_the_workers_are_the_bottleneck_tasks_begin_in_the_order_in_which_they_came(
    desk: Desk, clock: Clock
) -> None:
    rate = Room(desk, clock, rate_limit="1/s")
    rate.submit(*"abcdef")

    started = []
    for _ in range(6):
        for _ in range(3):
            rate.wait(4)
        started.append(rate.next())
        rate.end()

    assert started == [*"abcdef"]


def test_who_is_not_taken_does_not_hold_up_what_no_limit_stops(desk: Desk, slot: Room) -> None:
    slot.submit("b", "c", "d")
    desk.submit("plain", name="free")
    slot.end()
    for _ in range(3):
        slot.wait(5)

    assert slot.next() == "b"
    assert slot.next() == "plain"


def test_who_is_in_no_list_any_more_is_not_waited_for(desk: Desk, clock: Clock, slot: Room) -> None:
    slot.submit("b", "c")
    slot.end()
    desk.app.clients.commands.lrem(desk.app.keys.queue("default"), 0, "b")

    clock.go_on(5)
    desk.broker.admit()

    assert slot.next() == "c"


def test_where_the_last_of_several_is_cancelled_nobody_passes_those_before_it(desk: Desk, clock: Clock) -> None:
    rate = Room(desk, clock, rate_limit="1/s")
    rate.submit("b", "c", "d", "e")
    rate.wait(3)
    assert [desk.where(task)[0] for task in "bcd"] == ["PENDING", "PENDING", "WAITING"]

    desk.cancel("c")

    assert [desk.where(task)[0] for task in "bd"] == ["PENDING", "WAITING"]
    assert rate.next() == "b"


# ---- other lists --------------------------------------------------------------------------------


def test_behind_a_paused_queue_the_first_that_goes_to_another_is_put_forward(desk: Desk, slot: Room) -> None:
    slot.submit("b", "c", "d")
    slot.submit("x", queue="other")
    desk.app.limits.pause_queue("default")
    slot.end()

    slot.wait(5)

    assert slot.next() == "x"
    desk.app.limits.resume_queue("default")
    assert slot.in_turn() == ["b", "c", "d"]


def test_who_is_put_forward_to_another_list_lets_nobody_pass_in_the_first_one(desk: Desk, slot: Room) -> None:
    slot.submit("b", "c")
    slot.submit("x", "y", queue="other")
    slot.end()
    slot.wait(5)
    assert slot.next("other") == "x"
    slot.end()

    assert desk.where("y")[0] == "PENDING"
    assert slot.next("default") == "b"


def test_behind_a_paused_queue_those_of_others_follow_as_fast_as_the_limit_lets_them(desk: Desk, clock: Clock) -> None:
    rate = Room(desk, clock, rate_limit="1/s")
    rate.submit("b", "c")
    rate.submit("x", "y", "z", queue="other")
    desk.app.limits.pause_queue("default")
    rate.wait(1)
    rate.wait(5)
    assert [rate.next(), rate.next()] == ["x", "y"]
    rate.wait(1)

    assert rate.next() == "z"


def test_those_who_are_put_forward_together_to_several_lists_keep_their_order_in_each(desk: Desk, clock: Clock) -> None:
    rate = Room(desk, clock, rate_limit="10/s")
    for task, queue in zip("bxcy", ("default", "other") * 2, strict=True):
        rate.submit(task, queue=queue)
    rate.wait(0.25)
    assert [desk.where(task)[0] for task in "bxcy"] == ["PENDING", "PENDING", "WAITING", "WAITING"]

    assert rate.next("other") == "x"

    assert rate.next("default") == "b"


@pytest.fixture
def deep(desk: Desk, slot: Room) -> Room:
    """A hundred and twenty of a paused queue wait before "x" of another one."""
    slot.submit(*(f"b{number}" for number in range(120)))
    slot.submit("x", queue="other")
    desk.app.limits.pause_queue("default")
    slot.end()
    return slot


def test_however_many_of_a_paused_queue_wait_those_behind_them_come_to_their_turn(deep: Room) -> None:
    deep.wait(5)
    assert deep.next() == ""
    deep.wait(5)

    assert deep.next() == "x"


def test_who_comes_to_a_place_that_was_looked_at_already_is_not_passed_over(desk: Desk, deep: Room) -> None:
    deep.wait(5)
    deep.submit("y", queue="other", priority="9")
    deep.wait(5)

    assert deep.next() == "y"


def test_when_a_queue_goes_on_all_that_was_looked_through_comes_in_order(desk: Desk, deep: Room) -> None:
    deep.wait(5)
    deep.wait(5)
    assert deep.next() == "x"
    desk.app.limits.resume_queue("default")

    assert deep.in_turn(3) == ["b0", "b1", "b2"]


# ---- where a queue is purged or moved -----------------------------------------------------------


def test_a_purge_takes_who_was_put_forward_and_none_that_waits_for_the_limit(desk: Desk, slot: Room) -> None:
    slot.submit("b", "c", "d")
    slot.end()

    assert desk.app.limits.purge("default") == 1

    assert [desk.where(task)[0] for task in "bcd"] == ["CANCELLED", "WAITING", "WAITING"]
    slot.wait(5)
    assert slot.in_turn() == ["c", "d"]


def test_a_purge_takes_all_that_is_ready_behind_those_who_were_put_forward(
    real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    clock, desk = Clock(real_app), Desk(real_app)
    desk.hire("w")
    slot = Room(desk, clock, concurrency=1)
    slot.submit(*"bcdef")
    desk.submit(*(f"p{number}" for number in range(598)), name="free")
    slot.end()

    assert real_app.limits.purge("default") == 599

    assert real_app.inspector.queue_length("default") == 0


def test_of_a_room_whose_only_one_is_purged_nothing_is_left(desk: Desk, slot: Room) -> None:
    slot.submit("b")
    slot.end()

    desk.app.limits.purge("default")

    assert desk.app.clients.commands.keys(f"{desk.app.keys.prefix}room:*") == []


def test_who_is_moved_to_the_tail_of_another_queue_keeps_nobody_back_there(desk: Desk, slot: Room) -> None:
    slot.submit("b")
    slot.submit("x", queue="other")
    desk.submit("plain", queue="other", name="free")
    slot.end()

    desk.app.limits.move("default", "other")

    slot.wait(5)
    assert slot.in_turn() == ["x", "plain", "b"]
