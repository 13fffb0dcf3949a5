"""The threads of a child, when one of them hangs."""

import threading
from collections.abc import Callable, Iterator

import pytest

from minicelery import MiniCelery
from minicelery.doorbell import Doorbell
from minicelery.handover import Claim
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.trouble import Trouble
from minicelery.worker.bench import Bench
from minicelery.worker.board import Board, Limit
from minicelery.worker.consumer import _log
from minicelery.worker.pool import Pool
from tests.stack import wait_until
from tests.store.conftest import Desk


@pytest.fixture
def hang(fake_app: MiniCelery) -> Iterator[Callable[[bool], Pool]]:
    """A pool of one thread that hangs in the task "t", which has overrun its limit; it is let go afterwards."""
    desk, stopping, over = Desk(fake_app), threading.Event(), threading.Event()
    desk.hire("w")
    desk.submit("t")
    pools: list[Pool] = []

    def execute(delivery: Delivery) -> Outcome:
        over.wait(30)
        return Outcome(Status.SUCCESS, "3")

    def make(quarantine: bool) -> Pool:
        if quarantine:
            for number in (1, 2):
                fake_app.broker.claim(Claim("w", 9, number, f"nonce{number}", ("default",)))
                fake_app.broker.recover("w", ["t"])
                desk.hire("w")
        bench = Bench(
            worker="w",
            queues=("default",),
            broker=fake_app.broker,
            doorbell=Doorbell(fake_app.clients.blocking, fake_app.keys),
            execute=execute,
            board=Board.create(),
            trouble=Trouble(_log, fake_app.world),
            world=fake_app.world,
            stopping=stopping,
            limit=lambda delivery: Limit(0.0),
            quarantine=quarantine,
        )
        pool = Pool(bench, 1, fake_app.broker, lambda: None)
        pools.append(pool)
        pool.start()
        wait_until(lambda: any(held.begun for held in bench.board.held()), what="the start of the task")
        return pool

    yield make
    stopping.set()
    over.set()
    fake_app.broker.wake("w", 2)
    for pool in pools:
        pool._executor.shutdown()


def test_a_thread_that_hangs_is_given_up_and_another_takes_its_place(
    hang: Callable[[bool], Pool], fake_app: MiniCelery
) -> None:
    pool = hang(False)

    pool.give_up_on_overdue()

    assert (pool.hanging, pool.alive) == (1, 1)
    assert fake_app.inspector.task("t").status is Status.FAILED


def test_in_quarantine_nothing_takes_the_place_of_what_hangs(
    hang: Callable[[bool], Pool], fake_app: MiniCelery
) -> None:
    pool = hang(True)

    pool.give_up_on_overdue()

    assert (pool.hanging, pool.alive) == (1, 0)
    assert fake_app.inspector.task("t").status is Status.FAILED
