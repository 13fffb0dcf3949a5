"""A worker thread whose claims and outcomes reach Redis, and whose answers do not come back."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.doorbell import Doorbell
from minicelery.errors import RedisUnavailable
from minicelery.handover import Claim, Claimed, Kept, Settlement
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.trouble import Trouble
from minicelery.turns import Turns
from minicelery.worker.bench import Bench
from minicelery.worker.board import Board, Count
from minicelery.worker.consumer import Consumer, _log
from tests.store.conftest import Desk

T = TypeVar("T")


class Deaf(Broker):
    """Does what it is asked, and hears two of three answers not."""

    calls = 0

    def claim(self, claim: Claim) -> Claimed:
        return self._lose(super().claim(claim))

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[Kept]:
        return self._lose(super().settle(worker, settlements))

    def exchange(
        self, worker: str, settlements: Sequence[Settlement], claim: Callable[[], Claim]
    ) -> tuple[list[Kept], Claimed]:
        return self._lose(super().exchange(worker, settlements, claim))

    def _lose(self, answer: T) -> T:
        self.calls += 1
        if self.calls % 3:
            raise RedisUnavailable("the answer was lost")
        return answer


class Exit(Doorbell):
    """Whoever finds nothing to do leaves."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping

    def wait(self, *_: Any, **__: Any) -> list[Any]:
        self._stopping.set()
        return ["ok", [], "0", 0]


def test_claims_and_outcomes_without_an_answer_are_repeated_until_there_is_one(fake_app: MiniCelery) -> None:
    desk = Desk(fake_app)
    desk.hire("w")
    desk.submit("t")
    stopping, board = threading.Event(), Board.create()
    board.open_slot(0)
    broker = Deaf(fake_app.scripts, fake_app.keys, 60)
    bench = Bench(
        worker="w",
        turns=Turns(("default",)),
        broker=broker,
        doorbell=Exit(stopping),
        execute=lambda delivery: Outcome(Status.SUCCESS, "3"),
        board=board,
        trouble=Trouble(_log, fake_app.world),
        world=fake_app.world,
        stopping=stopping,
    )

    Consumer(bench, 0).run()

    record = fake_app.inspector.task("t")
    assert (record.status, record.result, record.deliveries) == (Status.SUCCESS, 3, 1)
    assert broker.calls == 9, "a claim and an outcome with the next claim, each sent until it is answered"
    assert board.totals()[Count.SUCCEEDED] == 1
