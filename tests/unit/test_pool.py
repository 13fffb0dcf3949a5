"""The threads of a child, when one of them hangs."""

import threading
from collections.abc import Callable, Iterator

import pytest

from minicelery import MiniCelery
from minicelery.doorbell import Doorbell
from minicelery.errors import SoftTimeLimitExceeded
from minicelery.handover import Claim
from minicelery.interrupt import Run
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.trouble import Trouble
from minicelery.turns import Turns
from minicelery.worker.bench import Bench
from minicelery.worker.board import Board, Limit
from minicelery.worker.consumer import _log
from minicelery.worker.pool import Pool
from tests.stack import wait_until
from tests.store.conftest import Desk

OVER = Limit(0.0)
Tell = Callable[[Run, type[BaseException]], bool]
never: Tell = lambda *_: False  # noqa: E731


@pytest.fixture
def hang(fake_app: MiniCelery) -> Iterator[Callable[..., Pool]]:
    """A pool of one thread that hangs in the task "t", which has overrun its limit; it is let go afterwards."""
    desk, stopping, over = Desk(fake_app), threading.Event(), threading.Event()
    desk.hire("w")
    desk.submit("t")
    pools: list[Pool] = []

    def execute(delivery: Delivery) -> Outcome:
        over.wait(30)
        return Outcome(Status.SUCCESS, "3")

    def make(quarantine: bool, limit: Limit = OVER, tell: Tell = never) -> Pool:
        if quarantine:
            for number in (1, 2):
                fake_app.broker.claim(Claim("w", 9, number, f"nonce{number}", ("default",)))
                fake_app.broker.recover("w", ["t"])
                desk.hire("w")
        bench = Bench(
            worker="w",
            turns=Turns(("default",)),
            broker=fake_app.broker,
            doorbell=Doorbell(fake_app.clients.blocking, fake_app.keys),
            execute=execute,
            board=Board.create(),
            trouble=Trouble(_log, fake_app.world),
            world=fake_app.world,
            stopping=stopping,
            limit=lambda delivery: limit,
            interrupt=tell,
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
    hang: Callable[..., Pool], fake_app: MiniCelery
) -> None:
    pool = hang(False)

    pool.keep_limits()

    assert (pool.hanging, pool.alive) == (1, 1)
    assert fake_app.inspector.task("t").status is Status.FAILED


def test_in_quarantine_nothing_takes_the_place_of_what_hangs(hang: Callable[..., Pool], fake_app: MiniCelery) -> None:
    pool = hang(True)

    pool.keep_limits()

    assert (pool.hanging, pool.alive) == (1, 0)
    assert fake_app.inspector.task("t").status is Status.FAILED


def test_a_run_is_told_of_its_soft_limit_once(hang: Callable[..., Pool], fake_app: MiniCelery) -> None:
    told: list[tuple[Run, type[BaseException]]] = []
    pool = hang(False, Limit(soft=0.0), lambda *what: not told.append(what))  # type: ignore[func-returns-value]

    pool.keep_limits()
    pool.keep_limits()

    [((task_id, _), kind)] = told
    assert (task_id, kind) == ("t", SoftTimeLimitExceeded)
    assert pool.hanging == 0
    assert fake_app.inspector.task("t").status is Status.RUNNING


def test_a_run_that_can_not_be_told_now_is_told_soon(hang: Callable[..., Pool], fake_app: MiniCelery) -> None:
    answers = iter([False, False, True])
    pool = hang(False, Limit(60.0, soft=0.0), lambda *_: next(answers))

    soon = [pool.keep_limits() - fake_app.world.monotonic() for _ in range(3)]

    assert soon[0] < 1
    assert soon[1] < 1
    assert 50 < soon[2] <= 60, "the time limit is next"
    assert next(answers, None) is None


def test_the_next_limit_is_that_which_is_over_first(hang: Callable[..., Pool], fake_app: MiniCelery) -> None:
    pool = hang(False, Limit(60.0, soft=30.0))

    assert 20 < pool.keep_limits() - fake_app.world.monotonic() <= 30


def test_a_run_that_is_given_up_is_not_told_of_its_soft_limit(hang: Callable[..., Pool]) -> None:
    told: list[Run] = []
    pool = hang(False, Limit(0.0, soft=0.0), lambda run, _: not told.append(run))  # type: ignore[func-returns-value]

    assert pool.keep_limits() == float("inf")
    assert told == []
