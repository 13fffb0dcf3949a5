"""The renewing of locks, by a clock that a test sets."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from minicelery.errors import RedisUnavailable
from minicelery.lock_keeper import Holding, Keeper
from minicelery.world import World
from tests.stack import wait_until


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A keeper that renews by ``answer``, without its thread."""

    def __init__(self, answer: Callable[[], Sequence[bool]]) -> None:
        self.clock = Clock()
        self.asked: list[list[str]] = []
        self.keeper = Keeper(self._renew, replace(World(), monotonic=self.clock, random=lambda: 1.0))
        self._answer = answer

    def _renew(self, holdings: Sequence[Holding]) -> list[bool]:
        self.asked.append([holding.name for holding in holdings])
        return list(self._answer())

    def hold(self, *names: str) -> list[Holding]:
        holdings = [Holding(name, "n", 7, 30.0, self.clock.now) for name in names]
        for holding in holdings:
            self.keeper._watch.due[holding] = 10.0
        return holdings

    def tend(self, at: float, holdings: Sequence[Holding]) -> list[float]:
        """Do what is due; when each is due again."""
        self.clock.now = at
        self.keeper._tend(self.keeper._watch, holdings)
        return [self.keeper._watch.due[holding] for holding in holdings if holding in self.keeper._watch.due]


def test_what_is_due_is_renewed_in_one_request_and_again_after_a_third_of_its_time() -> None:
    bench = Bench(lambda: [True, True])
    holdings = bench.hold("a", "b")

    due = bench.tend(10.0, holdings)

    assert bench.asked == [["a", "b"]]
    assert due == [20.0, 20.0]
    assert not any(holding.is_lost(39.9) for holding in holdings)
    assert all(holding.is_lost(40.0) for holding in holdings)


def test_the_time_of_a_lock_counts_from_when_the_request_was_sent() -> None:
    def answer() -> list[bool]:
        bench.clock.now += 5
        return [True]

    bench = Bench(answer)
    [holding] = bench.hold("a")

    bench.tend(10.0, [holding])

    assert not holding.is_lost(39.9)
    assert holding.is_lost(40.0)


def test_an_answer_that_comes_when_the_time_is_over_is_too_late(caplog: pytest.LogCaptureFixture) -> None:
    def answer() -> list[bool]:
        bench.clock.now += 20
        return [True]

    bench = Bench(answer)
    [holding] = bench.hold("a")

    due = bench.tend(10.0, [holding])

    assert (due, holding.is_lost(30.0)) == ([], True)
    assert "the lock 'a' (token 7) was lost" in caplog.text


def test_what_redis_does_not_have_is_lost_and_the_others_are_not() -> None:
    bench = Bench(lambda: [False, True])
    gone, held = bench.hold("gone", "held")

    due = bench.tend(10.0, [gone, held])

    assert (gone.is_lost(10.0), held.is_lost(10.0), due) == (True, False, [20.0])


@pytest.mark.parametrize("error", [RedisUnavailable("away"), ZeroDivisionError("a fault")])
def test_what_could_not_be_renewed_is_tried_again_soon_and_lost_at_its_end(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> list[bool]:
        raise error

    bench = Bench(fail)
    [holding] = bench.hold("a")

    assert bench.tend(10.0, [holding]) == [11.0]
    assert bench.tend(29.5, [holding]) == [30.0]
    assert not holding.is_lost(29.5)
    assert bench.tend(30.0, [holding]) == []
    assert len(bench.asked) == 2, "what is lost is not renewed"
    assert ("ZeroDivisionError" in caplog.text) == isinstance(error, ZeroDivisionError)


def test_what_was_released_meanwhile_is_not_kept() -> None:
    def answer() -> list[bool]:
        bench.keeper.drop(holding)
        return [False]

    bench = Bench(answer)
    [holding] = bench.hold("a")

    assert bench.tend(10.0, [holding]) == []


def test_a_thread_that_could_not_be_started_is_started_for_the_next_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    bench = Bench(lambda: [True])
    first, second = (Holding(name, "n", 7, 30.0, 0.0) for name in ("first", "second"))
    bench.clock.now = 15.0
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            bench.keeper.keep(first)

    bench.keeper.keep(second)

    wait_until(lambda: bench.asked == [["second"]], 5)
    bench.keeper.drop(second)
    wait_until(lambda: bench.keeper._watch.thread is None)
