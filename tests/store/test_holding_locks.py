"""Locks and semaphores as user code has them, on every server."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from minicelery import Lock, LockLost, LockNotAcquired, MiniCelery, MiniCeleryError, RedisUnavailable
from minicelery.config import Config
from minicelery.connection import Clients, connect
from minicelery.embedded import EmbeddedServer, free_port
from minicelery.errors import InvalidInput, LockNotHeld
from minicelery.testing import eager
from tests.conftest import make_app
from tests.faults.proxy import FaultProxy
from tests.stack import wait_until


@dataclass
class Clock:
    """A monotonic clock that goes on by itself, and ahead when told to."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(app: MiniCelery) -> Clock:
    clock = Clock()
    app.world = replace(app.world, monotonic=clock)
    return clock


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Runs a function in a thread, which must end with the test."""
    threads = []

    def start(function: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=function)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def is_free(app: MiniCelery) -> bool:
    other = app.lock("x")
    if other.acquire(blocking=False):
        other.release()
        return True
    return False


def is_waited_for(app: MiniCelery, count: int = 1) -> bool:
    return app.locks.find("x").waiting == count


def take_from(lock: Lock, app: MiniCelery) -> Lock:
    """Another one gets the lock, since Redis finds its time to be over."""
    assert lock._holding
    app.clients.commands.zadd(app.keys.lock("x"), {lock._holding.nonce: 1})
    other = app.lock("x")
    assert other.acquire(blocking=False)
    return other


def test_a_lock_is_held_inside_the_block_and_free_behind_it(app: MiniCelery) -> None:
    with app.lock("x") as lock:
        assert (lock.held, lock.lost) == (True, False)
        assert not is_free(app)

    assert (lock.held, lock.lost) == (False, False)
    assert is_free(app)


def test_the_block_is_not_entered_if_the_lock_is_not_to_be_had(app: MiniCelery) -> None:
    with app.lock("x"):
        with pytest.raises(LockNotAcquired, match="held by others"), app.lock("x", blocking=False):
            pytest.fail("entered")
        with pytest.raises(LockNotAcquired), app.lock("x", timeout=0.05):
            pytest.fail("entered")
        assert not app.lock("x").acquire(timeout=0)
        assert is_waited_for(app, 0)


def test_acquiring_waits_as_the_lock_was_made_to_or_as_it_is_told(app: MiniCelery) -> None:
    with app.lock("x"):
        assert not app.lock("x", blocking=False).acquire()
        assert not app.lock("x", timeout=0.05).acquire()
        assert not app.lock("x", blocking=False).acquire(timeout=0.05)
        assert not app.lock("x", timeout=60).acquire(blocking=False)


def test_a_lock_is_free_when_the_block_fails(app: MiniCelery) -> None:
    with pytest.raises(ZeroDivisionError), app.lock("x"):
        raise ZeroDivisionError

    assert is_free(app)


def test_who_waits_gets_it_at_once_when_it_is_released(app: MiniCelery, in_thread: Callable[..., Any]) -> None:
    got: list[tuple[int, float]] = []

    def wait() -> None:
        with app.lock("x", timeout=10) as lock:
            got.append((lock.token, time.monotonic()))

    with app.lock("x") as lock:
        in_thread(wait)
        wait_until(lambda: is_waited_for(app))
        token, released = lock.token, time.monotonic()

    wait_until(lambda: got)
    assert got[0][0] > token
    assert got[0][1] - released < 1


def test_who_waits_gets_it_when_the_time_of_a_dead_holder_is_over(real_app: MiniCelery) -> None:
    dead = real_app.lock("x", ttl=0.4, renew=False)
    dead.acquire()

    with real_app.lock("x", timeout=10) as lock:
        assert dead.lost
        assert lock.token > dead.token


def test_many_wait_and_each_gets_it_in_turn(app: MiniCelery, in_thread: Callable[..., Any]) -> None:
    got: list[int] = []
    inside = []

    def wait(number: int) -> None:
        with app.lock("x", timeout=20):
            inside.append(number)
            assert inside == [number]
            got.append(number)
            inside.remove(number)

    with app.lock("x"):
        for number in range(5):
            in_thread(partial(wait, number))
            wait_until(partial(is_waited_for, app, number + 1))

    wait_until(lambda: len(got) == 5)
    assert got == list(range(5))


def test_a_semaphore_is_held_by_as_many_as_its_limit_says(app: MiniCelery) -> None:
    with app.semaphore("x", 2) as first, app.semaphore("x", 2) as second:
        assert not app.semaphore("x", 2).acquire(blocking=False)
        assert first.token != second.token

    assert app.semaphore("x", 2).acquire(blocking=False)


# ---- renewing and losing ----------------------------------------------------------------------


def test_a_lock_is_renewed_while_it_is_held(real_app: MiniCelery) -> None:
    with real_app.lock("x", ttl=1.5) as lock, real_app.lock("y", ttl=1.5) as other:
        time.sleep(2)
        assert lock.held
        assert other.held
        assert not is_free(real_app)


def test_a_lock_that_is_not_renewed_ends(real_app: MiniCelery) -> None:
    lock = real_app.lock("x", ttl=0.2, renew=False)
    lock.acquire()

    wait_until(lambda: lock.lost)
    wait_until(lambda: is_free(real_app))

    assert not lock.held
    with pytest.raises(LockLost, match="not renewed in time"):
        lock.check()
    with pytest.raises(LockLost, match="another may have had it"):
        lock.release()


def test_a_lock_that_is_not_renewed_by_itself_can_be_extended(app: MiniCelery, clock: Clock) -> None:
    lock = app.lock("x", ttl=30, renew=False)
    lock.acquire()
    [before] = app.locks.find("x").holders

    clock.ahead = 20
    lock.extend()
    clock.ahead = 40

    [after] = app.locks.find("x").holders
    assert (lock.held, after.expires >= before.expires) == (True, True)
    clock.ahead = 50
    assert lock.lost


def test_a_lock_whose_object_is_gone_is_not_renewed(real_app: MiniCelery) -> None:
    assert real_app.lock("x", ttl=0.3).acquire()
    gc.collect()

    wait_until(lambda: is_free(real_app), 2)


def test_a_lock_counts_as_lost_when_its_time_is_over_by_the_clock_of_this_machine(
    app: MiniCelery, clock: Clock
) -> None:
    lock = app.lock("x", ttl=30)
    lock.acquire()
    lock.check()

    clock.ahead = 30

    assert (lock.lost, lock.held) == (True, False)
    with pytest.raises(LockLost):
        lock.check()
    with pytest.raises(LockLost):
        lock.extend()
    assert lock.lost, "that it could be renewed after all does not make it good again"
    lock.release()  # nobody else has had it


def test_the_end_of_a_block_whose_lock_another_has_got_tells_and_does_not_touch_theirs(app: MiniCelery) -> None:
    with pytest.raises(LockLost, match="another may have had it"), app.lock("x") as lock:
        other = take_from(lock, app)

    assert other.held
    assert [holder.token for holder in app.locks.find("x").holders] == [other.token]
    other.release()


def test_an_error_in_the_block_is_not_hidden_by_a_lost_lock(app: MiniCelery) -> None:
    with pytest.raises(ZeroDivisionError), app.lock("x") as lock:
        1 / len(take_from(lock, app).name[1:])


def test_a_lock_that_was_broken_is_lost_at_its_next_renewal(app: MiniCelery, caplog: pytest.LogCaptureFixture) -> None:
    lock = app.lock("x", ttl=0.3)
    lock.acquire()

    assert app.locks.break_open("x") == 1

    wait_until(lambda: lock.lost)
    assert is_free(app)
    wait_until(lambda: "the lock 'x'" in caplog.text)
    with pytest.raises(LockLost):
        lock.release()
    with pytest.raises(LockNotHeld, match="Nobody holds a lock 'x'"):
        app.locks.break_open("x")


# ---- wrong use --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "pointer"),
    [
        (lambda app: app.lock("a b"), "/name"),
        (lambda app: app.lock(""), "/name"),
        (lambda app: app.lock("x", ttl=0), "/ttl"),
        (lambda app: app.lock("x", ttl="30"), "/ttl"),
        (lambda app: app.lock("x", ttl=float("nan")), "/ttl"),
        (lambda app: app.lock("x", ttl=1e6), "/ttl"),
        (lambda app: app.lock("x", timeout=-1), "/timeout"),
        (lambda app: app.lock("x", timeout=1, blocking=False), "/timeout"),
        (lambda app: app.lock("x").acquire(blocking=False, timeout=1), "/timeout"),
        (lambda app: app.semaphore("x", 0), "/limit"),
        (lambda app: app.semaphore("x", 2.0), "/limit"),
        (lambda app: app.semaphore("x", 1001), "/limit"),
        (lambda app: app.semaphore("x", True), "/limit"),
    ],
)
def test_a_wrong_option_is_named(app: MiniCelery, make: Callable[[MiniCelery], object], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(app)

    assert caught.value.pointer == pointer


def test_an_object_holds_its_lock_once_at_a_time(app: MiniCelery) -> None:
    lock = app.lock("x")
    for _ in range(2):
        with pytest.raises(LockLost, match="not held by this object"):
            lock.release()
        with lock, pytest.raises(InvalidInput, match="already"):
            lock.acquire()


# ---- Redis away -------------------------------------------------------------------------------


def test_an_answer_that_takes_as_long_as_the_lock_is_to_last_is_none(
    app: MiniCelery, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, asked = app.locks._store.lock_acquire, []

    def slow(*args: Any) -> Any:
        answer = acquire(*args)
        asked.append(args[0].nonce)
        clock.ahead += 40 if len(asked) == 1 else 0
        return answer

    monkeypatch.setattr(app.locks._store, "lock_acquire", slow)

    with app.lock("x", ttl=30, timeout=100) as lock:
        assert lock.held

    assert len(set(asked)) == 2


def test_who_is_interrupted_while_waiting_leaves_the_line(app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        assert is_waited_for(app)
        raise KeyboardInterrupt

    monkeypatch.setattr(app.locks, "_wait_for_bell", interrupt)
    with app.lock("x"):
        with pytest.raises(KeyboardInterrupt):
            app.lock("x").acquire()

        assert is_waited_for(app, 0)


def test_who_learns_that_he_has_to_wait_when_his_time_is_over_leaves_the_line(
    app: MiniCelery, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = app.locks._store.lock_acquire

    def slow(*args: Any) -> Any:
        clock.ahead += 0.1
        return acquire(*args)

    monkeypatch.setattr(app.locks._store, "lock_acquire", slow)

    with app.lock("x"):
        assert not app.lock("x").acquire(timeout=0.05)
        assert is_waited_for(app, 0)

    assert app.lock("x").acquire(timeout=0.05)


def test_without_redis_a_lock_is_not_to_be_had_and_says_why() -> None:
    config = Config(redis_url=f"redis://127.0.0.1:{free_port()}", patience=0.1)
    app = MiniCelery("away", config=config)

    with pytest.raises(RedisUnavailable):
        app.lock("x").acquire()


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def shaky(real_app: MiniCelery, proxy: FaultProxy) -> Iterator[MiniCelery]:
    """An app whose way to Redis may be cut."""
    config = replace(real_app.config, patience=0.2, redis_url=proxy.url, redis_timeout=0.3)
    app = MiniCelery("shaky", config=config, clients=connect(config))
    yield app
    app.clients.close()


def test_a_lock_that_can_not_be_released_ends_by_itself_and_the_work_is_not_undone(
    real_app: MiniCelery, shaky: MiniCelery, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    with shaky.lock("x", ttl=0.5):
        proxy.refuse()
        proxy.cut_all()

    assert "the lock 'x' was not released, and ends within 0.5 s" in caplog.text
    wait_until(lambda: is_free(real_app), 2)


def test_a_lock_that_can_not_be_renewed_in_time_is_lost(
    shaky: MiniCelery, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "minicelery.locks")
    lock = shaky.lock("x", ttl=0.5)
    lock.acquire()
    proxy.refuse()
    proxy.cut_all()

    wait_until(lambda: lock.lost, 2)

    wait_until(lambda: "the lock 'x' (token" in caplog.text)
    assert "could not be renewed" in caplog.text
    with pytest.raises(RedisUnavailable):
        lock.release()
    assert (lock.held, lock.lost) == (False, False)


def test_a_lock_outlives_a_short_outage(shaky: MiniCelery, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "minicelery.locks")
    with shaky.lock("x", ttl=1.5) as lock:
        [before] = shaky.locks.find("x").holders
        proxy.refuse()
        proxy.cut_all()
        wait_until(lambda: "could not be renewed" in caplog.text)
        proxy.heal()

        wait_until(lambda: shaky.locks.find("x").holders[0].expires > before.expires)
        assert lock.held


def test_lost_answers_make_neither_two_holdings_nor_a_lost_lock(shaky: MiniCelery, proxy: FaultProxy) -> None:
    proxy.lose_next(only=b"EVAL")
    lock = shaky.lock("x")
    assert lock.acquire()
    assert len(shaky.locks.find("x").holders) == 1

    proxy.lose_next(only=b"EVAL")
    lock.release()

    assert proxy.counts.scripts_lost == 2
    assert is_free(shaky)


def test_who_waits_lives_through_a_cut(shaky: MiniCelery, proxy: FaultProxy, in_thread: Callable[..., Any]) -> None:
    got: list[bool] = []

    def wait() -> None:
        with shaky.lock("x", timeout=10) as lock:
            got.append(lock.held)

    with shaky.lock("x"):
        in_thread(wait)
        wait_until(lambda: is_waited_for(shaky))
        proxy.cut_all()

    wait_until(lambda: got == [True])


def test_every_error_of_locks_is_one_of_ours_and_tells_what_to_do() -> None:
    for error in (LockNotAcquired("x"), LockLost("x", "is lost"), LockNotHeld("x")):
        assert isinstance(error, MiniCeleryError)
        assert "'x'" in str(error)
        assert len(str(error).split()) > 8


def test_a_task_that_is_run_at_once_takes_locks_of_fakeredis(fake_clients: Clients, namespace: str) -> None:
    app = make_app(fake_clients, namespace)

    @app.task
    def pay() -> int:
        with app.lock("invoice:42") as lock:
            return lock.token

    with eager(app):
        assert pay.delay().get() > 0


def test_the_thread_that_renews_is_there_while_something_is_held(app: MiniCelery) -> None:
    def renewing() -> int:
        return [thread.name for thread in threading.enumerate()].count("minicelery-locks")

    with app.lock("x"), app.lock("y"):
        assert renewing() == 1

    wait_until(lambda: renewing() == 0)
