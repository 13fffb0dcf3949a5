"""One worker thread: whatever goes wrong inside it, its task gets an outcome."""

import threading
from collections.abc import Callable

import pytest

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.doorbell import Doorbell
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.trouble import Trouble
from minicelery.worker.board import Board, Count
from minicelery.worker.consumer import Bench, Consumer, _log


@pytest.fixture
def bench(fake_app: MiniCelery) -> Callable[..., Bench]:
    fake_app.broker.beat({"w": "{}"}, 60)
    board = Board.create()

    def make(execute: Callable[[Delivery], Outcome | None], broker: Broker | None = None) -> Bench:
        stopping = threading.Event()

        def execute_and_stop(delivery: Delivery) -> Outcome | None:
            stopping.set()
            return execute(delivery)

        return Bench(
            worker="w",
            queues=("default",),
            broker=broker or fake_app.broker,
            doorbell=Doorbell(fake_app.clients.blocking, fake_app.keys),
            execute=execute_and_stop,
            board=board,
            trouble=Trouble(_log, fake_app.world),
            world=fake_app.world,
            stopping=stopping,
        )

    return make


@pytest.fixture
def submitted(fake_app: MiniCelery) -> str:
    @fake_app.task
    def add(x: int, y: int) -> int:
        return x + y

    return add.delay(1, 2).id


def test_an_error_of_our_own_while_running_is_recorded(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    def execute(delivery: Delivery) -> Outcome:
        raise RuntimeError("ours")

    Consumer(bench(execute), 0).run()

    record = fake_app.inspector.task(submitted)
    assert (record.status, (record.error or {})["message"]) == (Status.FAILED, "ours")


def test_an_outcome_that_can_never_be_recorded_is_a_failure_and_not_repeated_for_ever(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    made = bench(lambda delivery: Outcome(Status.RETRYING, "{}", float("nan")))

    Consumer(made, 0).run()

    record = fake_app.inspector.task(submitted)
    assert record.status is Status.FAILED
    assert "not a number of seconds" in (record.error or {})["message"]
    assert made.board.held() == []
    assert made.board.totals()[Count.FAILED] == 1


def test_what_was_claimed_while_stopping_is_left_in_hand_for_the_child_to_give_back(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    made = bench(lambda delivery: Outcome(Status.SUCCESS, "3"))
    original = fake_app.broker.claim

    class Slow(Broker):
        def claim(self, claim):  # type: ignore[no-untyped-def]
            answer = original(claim)
            made.stopping.set()
            return answer

        def settle(self, worker: str, settlements: object) -> list[bool]:
            raise AssertionError("nothing ran")

    slow = Slow(fake_app.scripts, fake_app.keys, 60)
    Consumer(Bench(**{**made.__dict__, "broker": slow}), 0).run()

    assert [(held.id, held.begun) for held in made.board.held()] == [(submitted, False)]
