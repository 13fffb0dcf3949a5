"""What a thread gives to Redis and gets from there, and what the minder does when no thread comes to do it."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.connection import LONGEST_WAIT
from minicelery.doorbell import Doorbell
from minicelery.errors import RedisUnavailable
from minicelery.handover import Claim, Claimed, Kept, Settlement
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.scripts import Scripts
from minicelery.states import Status
from minicelery.trouble import Trouble
from minicelery.turns import Turns
from minicelery.worker.bench import Bench
from minicelery.worker.board import Board, Count
from minicelery.worker.buffer import NEVER, Buffer, Ended
from minicelery.worker.consumer import _log
from minicelery.worker.exchange import Exchange
from minicelery.worker.minder import Minder
from minicelery.worker.pace import PATIENCE


@pytest.fixture
def bench(fake_app: MiniCelery) -> Iterator[Bench]:
    """Of a worker that knows "add" to be short."""
    fake_app.broker.beat({"w": "{}"}, 60)
    board = Board.create()
    board.open_slot(1)
    made = Bench(
        worker="w",
        turns=Turns(("default",)),
        broker=fake_app.broker,
        doorbell=Doorbell(fake_app.clients.blocking, fake_app.keys),
        execute=lambda delivery: None,
        board=board,
        trouble=Trouble(_log, replace(fake_app.world, random=lambda: 0.0)),
        world=fake_app.world,
        stopping=threading.Event(),
    )
    made.crew.join()
    for _ in range(3):
        made.pace.note("add", 0.0001)
    yield made
    board.close()


@pytest.fixture
def submitted(fake_app: MiniCelery) -> list[str]:
    @fake_app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    return [add.delay(number, 1).id for number in range(4)]


def trade(bench: Bench, thread: int = 0) -> list[Delivery]:
    """What a thread gets that has not claimed before."""
    Exchange(bench, thread).trade()
    return [delivery for _, delivery in bench.buffer.late(float("inf"))][::-1]


def hold(bench: Bench, delivery: Delivery, outcome: Outcome, at: float = 0.0) -> None:
    bench.buffer.hold(Ended(delivery, outcome, 0.001, at))


def statuses(app: MiniCelery, ids: Sequence[str]) -> list[str]:
    return [record.status.value if record else "gone" for record in app.inspector.tasks(ids)]


def test_where_queues_have_weights_each_claim_draws_their_order(bench: Bench) -> None:
    numbers = iter([0.9, 0.1, 0.1, 0.9])
    drawn = replace(
        bench, turns=Turns(("high", "low"), (1, 1)), world=replace(bench.world, random=lambda: next(numbers))
    )
    exchange = Exchange(drawn, 0)

    claims = [exchange._next_claim(1.0) for _ in range(2)]

    assert [claim.queues for claim in claims] == [("high", "low"), ("low", "high")]


def test_a_trade_brings_all_that_is_short(bench: Bench, submitted: list[str]) -> None:
    assert [delivery.id for delivery in trade(bench)] == submitted
    assert bench.board.totals()[Count.TAKEN] == 4


def test_a_trade_brings_one_task_while_nothing_is_known_of_its_name(bench: Bench, submitted: list[str]) -> None:
    assert [delivery.id for delivery in trade(replace(bench, pace=type(bench.pace)()))] == submitted[:1]


def test_outcomes_go_back_in_the_call_that_claims(bench: Bench, submitted: list[str], fake_app: MiniCelery) -> None:
    class Single(Broker):
        def settle(self, *_: Any) -> list[Kept]:
            raise AssertionError("settled by itself")

        def claim(self, *_: Any) -> Claimed:
            raise AssertionError("claimed by itself")

    [first, *_] = trade(bench)
    hold(bench, first, Outcome(Status.SUCCESS, "3"))
    trade(replace(bench, broker=Single(fake_app.scripts, fake_app.keys, 60)), 1)

    assert statuses(fake_app, submitted)[0] == "SUCCESS"
    assert bench.buffer.unrecorded == []
    assert bench.board.totals()[Count.SUCCEEDED] == 1


def test_an_outcome_that_can_not_be_recorded_keeps_neither_the_others_nor_the_claim(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    deliveries = trade(bench)
    late = fake_app.tasks.find("add").delay(9, 1).id
    hold(bench, deliveries[0], Outcome(Status.SUCCESS, "1"))
    hold(bench, deliveries[1], Outcome(Status.RETRYING, "{}", float("nan")))
    hold(bench, deliveries[2], Outcome(Status.SUCCESS, "3"))

    assert [delivery.id for delivery in trade(bench, 1)] == [late]
    assert statuses(fake_app, submitted) == ["SUCCESS", "FAILED", "SUCCESS", "RUNNING"]
    assert bench.buffer.unrecorded == []


def test_an_outcome_stays_unrecorded_until_redis_is_back(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    class Away(Broker):
        seen: list[int]

        def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[Kept]:
            self.seen.append(len(bench.buffer.unrecorded))
            if len(self.seen) < 3:
                raise RedisUnavailable("away")
            return super().settle(worker, settlements)

    [first, *_] = trade(bench)
    hold(bench, first, Outcome(Status.SUCCESS, "3"))
    away = Away(fake_app.scripts, fake_app.keys, 60)
    away.seen = []
    Exchange(replace(bench, broker=away), 0).record(bench.buffer.ended())

    assert away.seen == [1, 1, 1]
    assert bench.buffer.unrecorded == []
    assert statuses(fake_app, submitted)[0] == "SUCCESS"


def test_an_outcome_that_came_too_late_counts_as_a_lost_lease(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    [first, *_] = trade(bench)
    fake_app.broker.recover("w")
    fake_app.broker.beat({"w": "{}"}, 60)
    hold(bench, first, Outcome(Status.SUCCESS, "3"))
    trade(bench, 1)

    assert bench.board.totals()[Count.LEASE_LOST] == 1
    assert bench.board.totals()[Count.SUCCEEDED] == 0


def test_a_claim_that_is_refused_with_outcomes_is_made_again(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    class Lapsed(Broker):
        def exchange(
            self, worker: str, settlements: Sequence[Settlement], claim: Callable[[], Claim]
        ) -> tuple[list[Kept], Claimed]:
            fake_app.broker.beat({"w": "{}"}, -1)
            answer = super().exchange(worker, settlements, claim)
            fake_app.broker.beat({"w": "{}"}, 60)
            return answer

    [first, *_] = trade(bench)
    late = fake_app.tasks.find("add").delay(9, 1).id
    hold(bench, first, Outcome(Status.SUCCESS, "3"))

    lapsed = replace(bench, broker=Lapsed(fake_app.scripts, fake_app.keys, 60))
    assert [delivery.id for delivery in trade(lapsed, 1)] == [late]


class Unneeded(Broker):
    def claim(self, claim: Claim) -> Claimed:
        raise AssertionError("it was claimed while it waited")


def _with(bench: Bench, app: MiniCelery, kind: type[Broker]) -> Bench:
    return replace(bench, broker=kind(app.scripts, app.keys, 60))


def test_what_is_there_when_a_bell_rings_is_claimed_in_that_moment(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    fake_app.scripts.load_all()
    made = _with(bench, fake_app, Unneeded)

    assert Exchange(made, 0).wait()

    assert [delivery.id for _, delivery in made.buffer.late(NEVER)][::-1] == submitted
    assert (made.board.totals()[Count.TAKEN], made.board.asked(NEVER)) == (4, [])


def test_a_claim_at_the_door_without_an_answer_is_repeated_and_brings_the_same_task(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    class Cut(Broker):
        def claim_behind(self, wait: Any, claim: Claim) -> Claimed:
            super().claim_behind(wait, claim)
            raise RedisUnavailable("the answer is lost")

    made = _with(bench, fake_app, Cut)

    assert Exchange(made, 0).wait()

    assert made.buffer.waiting == 4
    assert fake_app.inspector.task(submitted[0]).deliveries == 1


def test_who_is_refused_at_the_door_for_a_short_lease_claims_anew(bench: Bench, submitted: list[str]) -> None:
    made = replace(bench, least_lease=120.0)

    assert Exchange(made, 0).wait()

    assert [delivery.id for _, delivery in made.buffer.late(NEVER)][::-1] == submitted


def test_what_was_asked_for_before_a_recall_is_recalled_though_it_is_heard_later(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    class Frozen(Broker):
        def claim_behind(self, wait: Any, claim: Claim) -> Claimed:
            answer = super().claim_behind(wait, claim)
            assert bench.board.asked(NEVER) == [(0, claim.number, claim.nonce)]
            bench.board.recall(bench.world.monotonic())
            return answer

    made = _with(bench, fake_app, Frozen)

    assert Exchange(made, 0).wait()

    assert [delivery.id for _, delivery in made.buffer.late(bench.board.recalled_at)][::-1] == submitted


@pytest.mark.parametrize("others_have_it", [True, False])
def test_of_what_a_thread_hears_of_much_too_late_it_runs_only_what_is_still_its_own(
    bench: Bench, submitted: list[str], fake_app: MiniCelery, others_have_it: bool
) -> None:
    now = [100.0]

    class Frozen(Broker):
        def claim_behind(self, wait: Any, claim: Claim) -> Claimed:
            answer = super().claim_behind(wait, claim)
            now[0] += LONGEST_WAIT + 0.1
            if others_have_it:
                self.recover("w")
                self.beat({"w": "{}"}, 60)
            return answer

    made = replace(_with(bench, fake_app, Frozen), world=replace(bench.world, monotonic=lambda: now[0]))

    assert Exchange(made, 0).wait() is not others_have_it

    assert made.buffer.waiting == (0 if others_have_it else 4)
    assert statuses(fake_app, submitted) == ["PENDING" if others_have_it else "RUNNING"] * 4


def test_what_a_thread_has_heard_is_not_asked_about_before_it_can_begin(bench: Bench, submitted: list[str]) -> None:
    open_questions: list[Any] = []

    class Watched(Buffer):
        def put(self, deliveries: Sequence[Delivery], now: float) -> None:
            open_questions.extend(bench.board.asked(NEVER))
            super().put(deliveries, now)

    made = replace(bench, buffer=Watched())

    assert Exchange(made, 0).wait()

    assert (made.buffer.waiting, open_questions) == (4, [])


def test_a_claim_that_takes_the_place_of_one_at_the_door_passes_the_ring_on(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    claims: list[Claim] = []

    class Noted(Broker):
        def claim(self, claim: Claim) -> Claimed:
            claims.append(claim)
            return super().claim(claim)

    assert Exchange(replace(_with(bench, fake_app, Noted), least_lease=120.0), 0).wait()

    assert [(claim.woken, claim.least_lease) for claim in claims] == [(True, 0.0)] * 2


def test_the_minder_claims_more_when_a_thread_sees_that_little_is_left(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    bench.crew.begin_trade(0)
    bench.crew.end_trade(8)
    bench.buffer.want()

    Minder(bench).refill()

    assert bench.buffer.waiting == 4
    assert not bench.buffer.wanting.is_set()


def test_the_minder_claims_nothing_when_a_thread_has_done_so_meanwhile(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    bench.buffer.put(trade(bench), 100.0)
    bench.buffer.want()

    Minder(bench).refill()

    assert bench.buffer.waiting == 4


def test_the_minder_gives_back_what_waits_longer_than_the_patience(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    claimed = trade(bench)
    bench.buffer.put(claimed[:2], 100.0)
    bench.buffer.put(claimed[2:], 100.0 + PATIENCE)

    Minder(bench).look(100.0 + PATIENCE * 1.5)

    assert statuses(fake_app, submitted) == ["PENDING", "PENDING", "RUNNING", "RUNNING"]
    assert bench.buffer.waiting == 2
    assert bench.board.totals()[Count.HANDED_BACK] == 2
    assert [delivery.id for delivery in trade(bench, 1)][-2:] == submitted[:2], "at the head again, and in order"


def test_a_minder_that_is_about_to_sleep_when_its_child_stops_does_not(bench: Bench) -> None:
    class Last(threading.Event):
        def clear(self) -> None:
            super().clear()
            bench.stopping.set()

    clock = itertools.count(100.0, 2.0)
    bench.buffer.stirred = Last()
    minder = Minder(replace(bench, world=replace(bench.world, monotonic=lambda: next(clock))))

    minder.start()
    minder._thread.join(10)

    assert not minder._thread.is_alive()


def test_the_end_waits_for_what_the_minder_is_giving_back(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    class Slow(Broker):
        def release(self, worker: str, held: Iterable[tuple[str, str]]) -> list[Kept]:
            is_asked.set()
            may_answer.wait(60)
            return super().release(worker, held)

    app = fake_app
    slow = replace(bench, broker=Slow(Scripts(app.clients.commands, app.keys, app.world, 1), app.keys, 60))
    minder = Minder(slow)
    slow.buffer.put(trade(bench), 0.0)
    minder.start()
    assert is_asked.wait(60)
    slow.stopping.set()

    minder.end(0)
    assert {delivery.id for _, delivery in slow.buffer.leaving} == set(submitted), "the child's end sees them"
    may_answer.set()
    minder.end(60)

    assert (slow.buffer.leaving, slow.board.totals()[Count.HANDED_BACK]) == ([], 4)


def test_the_minder_records_outcomes_that_nobody_has_recorded_within_the_patience(
    bench: Bench, submitted: list[str], fake_app: MiniCelery
) -> None:
    first, *_ = trade(bench)
    hold(bench, first, Outcome(Status.SUCCESS, "3"), at=100.0)
    minder = Minder(bench)

    minder.look(100.0 + PATIENCE / 2)
    assert statuses(fake_app, submitted)[0] == "RUNNING"

    minder.look(100.0 + PATIENCE * 1.5)
    assert statuses(fake_app, submitted)[0] == "SUCCESS"
