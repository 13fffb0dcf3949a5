"""Whom a parent blames for a child that does not move."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from minicelery.errors import RedisUnavailable
from minicelery.handover import Claim, Claimed, Kept, Settlement
from minicelery.message import Delivery
from minicelery.trouble import Trouble
from minicelery.worker import guard as module
from minicelery.worker.board import Board, Count, Held, Limit
from minicelery.worker.guard import Guard, _log
from minicelery.world import World

STALL = 10.0


@dataclass
class Stuck:
    """A child whose main thread no longer moves, with its parent's clock and what the parent does about it."""

    now: float = 100.0
    used: dict[int, float] = field(default_factory=dict)  #: processor time by thread
    settled: list[str] = field(default_factory=list)
    released: list[list[str]] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)  #: what Redis has given to a claim, by its nonce
    answered: list[tuple[int, int, str]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    is_redis_away: bool = False
    killed_for: str = ""
    blamed: list[str] | None = None
    worker: str = "w"
    born: float = 0.0

    def __post_init__(self) -> None:
        self.board = Board.create()
        self.process = SimpleNamespace(pid=1)
        self.guard: Any = Guard(self, self._world(), Trouble(_log, World()), STALL)

    def _world(self) -> World:
        return World(monotonic=lambda: self.now)

    def settle(self, worker: str, settlements: list[Settlement]) -> list[Kept]:
        self.settled += [one.id for one in settlements]
        return [None if one.id in self.cancelled else True for one in settlements]

    def release(self, worker: str, pairs: list[tuple[str, str]]) -> list[bool]:
        if self.is_redis_away:
            raise RedisUnavailable("away")
        self.released.append([task_id for task_id, _ in pairs])
        return [True] * len(pairs)

    def claim(self, claim: Claim) -> Claimed:
        assert claim.queues == (), "it must take nothing"
        self.answered.append((claim.thread, claim.number, claim.nonce))
        names = self.given.get(claim.nonce, [])
        return Claimed(tuple(Delivery(name, f"1.{claim.nonce}", name, "[]", "{}", "q", 0, 3, 0.0) for name in names))

    def kill(self, reason: str, blamed: list[Held]) -> None:
        self.killed_for, self.blamed = reason, [held.id for held in blamed]

    def run(self, name: str, thread: int, limit: float | None) -> None:
        """A thread begins a task."""
        self.board.open_slot(thread)
        self.board.enter(thread, thread)
        self.board.take(thread, name, name, f"1.{name}")
        self.board.begin(thread, self.now, None if limit is None else Limit(limit))

    def stand_still(self, seconds: float, busy: int | None = None) -> None:
        """So long, looked at twice a second until it is killed, while one thread uses the processor."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            if busy is not None:
                self.used[busy] = self.used.get(busy, 0.0) + 0.45
            if not self.killed_for:
                self.guard.look(self)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    child = Stuck()
    monkeypatch.setattr(module, "processor_time", lambda pid, thread: child.used.get(thread, 0.0))
    child.board.tick(child.now)
    yield child
    child.board.close()


def test_only_the_run_that_holds_the_lock_is_ended_for_its_limit(stuck: Stuck) -> None:
    stuck.run("neighbour", 0, limit=1)
    stuck.run("culprit", 1, limit=3)

    stuck.stand_still(6, busy=1)

    assert stuck.settled == ["culprit"]
    assert stuck.blamed == []


def test_a_neighbour_whose_limit_is_over_is_left_alone_until_the_stall_limit(stuck: Stuck) -> None:
    stuck.run("neighbour", 0, limit=1)
    stuck.run("culprit", 1, limit=None)

    stuck.stand_still(STALL - 1, busy=1)
    assert (stuck.settled, stuck.killed_for) == ([], "")
    stuck.stand_still(3, busy=1)

    assert stuck.settled == []
    assert stuck.blamed == ["culprit"]


def test_in_a_process_that_is_stopped_nobody_is_to_blame_more_than_another(stuck: Stuck) -> None:
    stuck.run("one", 0, limit=1)
    stuck.run("other", 1, limit=2)

    stuck.stand_still(STALL - 1)
    assert (stuck.settled, stuck.killed_for) == ([], "")
    stuck.stand_still(3)

    assert stuck.settled == []
    assert stuck.blamed == ["one", "other"]


def test_a_run_that_is_alone_is_ended_for_its_limit_whatever_it_waits_for(stuck: Stuck) -> None:
    stuck.run("alone", 0, limit=3)

    stuck.stand_still(6)

    assert stuck.settled == ["alone"]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_run_that_is_ended_counts_as_failed_unless_it_was_cancelled(stuck: Stuck, is_cancelled: bool) -> None:
    stuck.cancelled = {"alone"} if is_cancelled else set()
    stuck.run("alone", 0, limit=3)

    stuck.stand_still(6)

    totals = stuck.board.totals()
    assert (totals[Count.FAILED], totals[Count.CANCELLED]) == ((0, 1) if is_cancelled else (1, 0))


def test_a_child_that_moves_keeps_its_limits_by_itself(stuck: Stuck) -> None:
    stuck.run("one", 0, limit=1)

    for _ in range(20):
        stuck.stand_still(0.5, busy=0)
        stuck.board.tick(stuck.now)

    assert (stuck.settled, stuck.killed_for) == ([], "")


def test_a_parent_that_stood_still_itself_gives_its_child_time(stuck: Stuck) -> None:
    stuck.run("one", 0, limit=1)
    stuck.stand_still(0.5)

    stuck.now += 2 * STALL
    stuck.stand_still(1.5)

    assert (stuck.settled, stuck.killed_for) == ([], "")


def claim(stuck: Stuck, *names: str) -> None:
    stuck.board.lay_out(stuck.now, [(name, f"1.{name}") for name in names])


def test_what_waits_in_a_child_that_does_not_move_is_given_back_once_and_the_last_first(stuck: Stuck) -> None:
    claim(stuck, "one", "two", "three")
    stuck.run("one", 0, limit=None)

    stuck.stand_still(STALL - 1, busy=0)

    assert stuck.released == [["three", "two"]]


def test_a_child_is_told_of_it_before_anything_is_given_back(stuck: Stuck) -> None:
    claim(stuck, "one", "two")
    stuck.run("one", 0, limit=None)

    stuck.stand_still(2.5, busy=0)
    assert (stuck.board.recalled_at, stuck.released) == (stuck.now, [])

    stuck.stand_still(0.5, busy=0)
    assert stuck.released == [["two"]]


def test_events_do_not_shorten_the_time_that_a_child_has_to_notice(stuck: Stuck) -> None:
    claim(stuck, "one", "two")
    stuck.run("one", 0, limit=None)
    stuck.stand_still(2.5, busy=0)

    stuck.guard.look(stuck)
    stuck.guard.look(stuck)

    assert stuck.released == []


def test_what_waits_is_given_back_as_soon_as_redis_is_there(stuck: Stuck) -> None:
    claim(stuck, "one", "two")
    stuck.run("one", 0, limit=None)
    stuck.is_redis_away = True
    stuck.stand_still(4, busy=0)

    stuck.is_redis_away = False
    stuck.stand_still(0.5, busy=0)

    assert stuck.released == [["two"]]


def test_a_child_that_stands_still_again_is_told_again(stuck: Stuck) -> None:
    claim(stuck, "one", "two")
    stuck.run("one", 0, limit=None)
    stuck.stand_still(4, busy=0)
    stuck.board.tick(stuck.now)
    stuck.stand_still(0.5)
    claim(stuck, "three", "four")
    stuck.run("three", 0, limit=None)

    stuck.stand_still(4, busy=0)

    assert stuck.released == [["two"], ["four"]]


def test_what_the_waiting_threads_of_a_child_that_does_not_move_were_given_is_given_back(stuck: Stuck) -> None:
    stuck.run("one", 0, limit=None)
    for thread in (1, 2):
        stuck.board.open_slot(thread)
        stuck.board.ask(thread, stuck.now, 7, f"nonce{thread}")
    stuck.given["nonce2"] = ["two", "three"]

    stuck.stand_still(2.5, busy=0)
    assert stuck.answered == []

    stuck.stand_still(0.5, busy=0)
    assert stuck.answered == [(1, 7, "nonce1"), (2, 7, "nonce2")]
    assert stuck.released == [["three", "two"]]


def test_what_is_known_twice_is_given_back_once_and_what_has_begun_never(stuck: Stuck) -> None:
    stuck.board.open_slot(0)
    stuck.board.open_slot(1)
    stuck.board.ask(1, stuck.now, 7, "nonce")
    stuck.given["nonce"] = ["one", "two"]
    stuck.board.lay_out(stuck.now, [("one", "1.nonce"), ("two", "1.nonce")])
    stuck.board.enter(0, 0)
    stuck.board.take(0, "one", "one", "1.nonce")
    stuck.board.begin(0, stuck.now)

    stuck.stand_still(4, busy=0)

    assert stuck.released == [["two"]]


def test_who_has_heard_the_answer_to_what_it_asked_for_is_not_asked_about(stuck: Stuck) -> None:
    stuck.run("one", 0, limit=None)
    stuck.board.ask(0, stuck.now, 7, "nonce")
    stuck.board.hear(0)

    stuck.stand_still(STALL - 1, busy=0)

    assert stuck.answered == []


def test_from_a_child_that_moves_nothing_is_recalled(stuck: Stuck) -> None:
    claim(stuck, "one", "two")
    stuck.run("one", 0, limit=None)

    for _ in range(20):
        stuck.stand_still(0.5)
        stuck.board.tick(stuck.now)

    assert (stuck.released, stuck.board.recalled_at) == ([], 0.0)
