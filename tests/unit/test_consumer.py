"""One worker thread: whatever goes wrong inside it, its task gets an outcome."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.doorbell import Doorbell
from minicelery.errors import RedisUnavailable
from minicelery.handover import Claim, Claimed, Kept, Settlement
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.trouble import Trouble
from minicelery.turns import Turns
from minicelery.worker.bench import Bench
from minicelery.worker.board import Board, Count, Limit
from minicelery.worker.buffer import NEVER
from minicelery.worker.consumer import Consumer, _log


@pytest.fixture
def bench(fake_app: MiniCelery) -> Callable[..., Bench]:
    fake_app.broker.beat({"w": "{}"}, 60)
    board = Board.create()
    board.open_slot(0)

    def make(execute: Callable[[Delivery], Outcome | None], broker: Broker | None = None) -> Bench:
        stopping = threading.Event()

        def execute_and_stop(delivery: Delivery) -> Outcome | None:
            stopping.set()
            return execute(delivery)

        return Bench(
            worker="w",
            turns=Turns(("default",)),
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


def test_what_was_cancelled_after_its_claim_never_begins(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    def never(delivery: Delivery) -> Outcome:
        raise AssertionError("it begins")

    made = bench(never)

    def cancelled(delivery: Delivery) -> bool:
        fake_app.cancel([delivery.id])
        made.stopping.set()
        return True

    Consumer(replace(made, cancelled=cancelled), 0).run()

    totals = made.board.totals()
    assert (totals[Count.CANCELLED], totals[Count.HANDED_BACK], totals[Count.LEASE_LOST]) == (1, 0, 0)
    assert made.board.held() == []
    assert fake_app.inspector.task(submitted).status is Status.CANCELLED
    assert not fake_app.clients.commands.exists(fake_app.keys.claimed("w"))


class Slow(Broker):
    """Answers a claim just as the child is told to stop."""

    stopping: threading.Event
    is_away_for_releases = False

    def claim(self, claim: Claim) -> Claimed:
        answer = super().claim(claim)
        self.stopping.set()
        return answer

    def release(self, worker: str, held: Iterable[tuple[str, str]]) -> list[Kept]:
        if self.is_away_for_releases:
            raise RedisUnavailable("away")
        return super().release(worker, held)


@pytest.fixture
def slow(bench: Callable[..., Bench], fake_app: MiniCelery) -> tuple[Slow, Bench]:
    def never(delivery: Delivery) -> Outcome:
        raise AssertionError("nothing runs")

    broker = Slow(fake_app.scripts, fake_app.keys, 60)
    made = bench(never, broker)
    broker.stopping = made.stopping
    return broker, made


def test_what_was_claimed_while_stopping_is_given_back_at_once(
    slow: tuple[Slow, Bench], submitted: str, fake_app: MiniCelery
) -> None:
    _, made = slow

    Consumer(made, 0).run()

    record = fake_app.inspector.task(submitted)
    assert (record.status, record.released, record.crashes) == (Status.PENDING, 1, 0)
    assert made.board.held() == []
    assert made.board.totals()[Count.HANDED_BACK] == 1


def test_what_could_not_be_given_back_stays_in_the_buffer_for_the_end_of_the_child(
    slow: tuple[Slow, Bench], submitted: str
) -> None:
    broker, made = slow
    broker.is_away_for_releases = True

    Consumer(made, 0).run()

    assert [delivery.id for _, delivery in made.buffer.late(NEVER)] == [submitted]


def test_a_task_of_unknown_name_does_not_run(bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery) -> None:
    made = bench(lambda delivery: Outcome(Status.SUCCESS, "3"))
    claims = iter([made.stopping.clear, made.stopping.set])

    class Once(Broker):
        def claim(self, claim: Claim) -> Claimed:
            next(claims)()
            return super().claim(claim) if not made.stopping.is_set() else Claimed()

    broker = Once(fake_app.scripts, fake_app.keys, 60)
    Consumer(replace(made, broker=broker, knows=lambda name: False), 0).run()

    record = fake_app.inspector.task(submitted)
    assert record.status is Status.FAILED
    assert record.error is not None
    assert record.error["type"] == "UnknownTask"
    assert "nor at any live worker of queue 'default'" in record.error["message"]
    assert made.board.totals()[Count.FAILED] == 1


def test_a_claim_that_was_answered_before_the_lease_was_over_is_asked_for_again(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    """Its answer is lost, the lease ends, the claim is refused, and the lease is there again."""

    class Lossy(Broker):
        times = 0

        def claim(self, claim: Claim) -> Claimed:
            self.times += 1
            if self.times == 1:
                super().claim(claim)
                fake_app.broker.beat({"w": "{}"}, -1)
                raise RedisUnavailable("the answer is lost")
            if self.times == 3:
                fake_app.broker.beat({"w": "{}"}, 60)
            if self.times > 3:
                made.stopping.set()  # it has given up on the task
            return super().claim(claim)

    lossy = Lossy(fake_app.scripts, fake_app.keys, 60)
    made = bench(lambda delivery: Outcome(Status.SUCCESS, "3"), lossy)
    Consumer(made, 0).run()

    record = fake_app.inspector.task(submitted)
    assert (record.status, record.deliveries) == (Status.SUCCESS, 1)
    assert lossy.times == 3


def test_a_claim_that_was_refused_is_followed_by_another_one_at_once(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    class Late(Broker):
        times = 0

        def claim(self, claim: Claim) -> Claimed:
            self.times += 1
            fake_app.broker.beat({"w": "{}"}, -1 if self.times == 1 else 60)
            return super().claim(claim)

    class Door(Doorbell):
        waits = 0

        def wait(self, *_: Any, **__: Any) -> bool:
            self.waits += 1
            return True

    late, door = Late(fake_app.scripts, fake_app.keys, 60), Door(fake_app.clients.blocking, fake_app.keys)
    made = replace(bench(lambda delivery: Outcome(Status.SUCCESS, "3"), late), doorbell=door)
    Consumer(made, 0).run()

    assert fake_app.inspector.task(submitted).status is Status.SUCCESS
    assert (late.times, door.waits) == (3, 0), "refused, repeated in vain, and anew"


def test_the_limit_of_a_run_that_is_over_is_lifted_while_it_is_recorded(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    deadlines: list[float] = []

    class Watched(Broker):
        def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[Kept]:
            deadlines.extend(held.deadline for held in made.board.held())
            return super().settle(worker, settlements)

    watched = Watched(fake_app.scripts, fake_app.keys, 60)
    made = replace(bench(lambda delivery: Outcome(Status.SUCCESS, "3"), watched), limit=lambda delivery: Limit(1.0))
    Consumer(made, 0).run()

    assert deadlines == [float("inf")]


def test_what_was_recalled_is_given_back_and_not_run_and_counts_as_handed_back(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    """Its parent has given the first of the two back already."""
    other = fake_app.tasks.find(fake_app.inspector.task(submitted).name).delay(3, 4).id

    def execute(delivery: Delivery) -> Outcome:
        raise AssertionError("it was recalled")

    made = bench(execute)
    for _ in range(3):
        made.pace.note(fake_app.inspector.task(submitted).name, 0.0001)

    class Recalled(Broker):
        def claim(self, claim: Claim) -> Claimed:
            claimed = super().claim(claim)
            assert [one.id for one in claimed.deliveries] == [submitted, other]
            first = claimed.deliveries[0]
            super().release("w", [(first.id, first.token)])
            made.board.recall(fake_app.world.monotonic() + 60)
            return claimed

        def release(self, worker: str, held: Iterable[tuple[str, str]]) -> list[Kept]:
            made.stopping.set()
            return super().release(worker, held)

    Consumer(replace(made, broker=Recalled(fake_app.scripts, fake_app.keys, 60)), 0).run()

    assert [fake_app.inspector.task(one).status for one in (submitted, other)] == [Status.PENDING] * 2
    assert made.buffer.waiting == 0
    assert made.board.held() == []
    assert (made.board.totals()[Count.HANDED_BACK], made.board.totals()[Count.LEASE_LOST]) == (2, 0)


def test_a_run_that_is_given_up_records_nothing_and_ends_its_thread(
    bench: Callable[..., Bench], submitted: str, fake_app: MiniCelery
) -> None:
    consumers: list[Consumer] = []

    def execute(delivery: Delivery) -> Outcome:
        assert not consumers[0].give_up(delivery.id, "another token")
        assert consumers[0].give_up(delivery.id, delivery.token)
        return Outcome(Status.SUCCESS, "3")

    made = bench(execute)
    consumers.append(Consumer(made, 0))
    consumers[0].run()

    assert fake_app.inspector.task(submitted).status is Status.RUNNING
    assert made.buffer.unrecorded == [], "nobody else records it either"
    assert consumers[0].is_given_up
    assert not Consumer(bench(execute), 0).give_up("t", "1.x"), "nothing runs there"
