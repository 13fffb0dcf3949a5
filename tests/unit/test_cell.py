"""What the process of an isolated task does with the signal for its soft limit."""

import faulthandler
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from minicelery import MiniCelery, SoftTimeLimitExceeded
from minicelery.config import Config
from minicelery.message import Delivery
from minicelery.worker.cell import SOFT_LIMIT, WHERE, Cell
from minicelery.world import World

SOFT = 5.0


class Wire:
    """The child at the other end. It takes ten seconds until it has said that the run begins."""

    def __init__(self, tokens: list[str], clock: list[float]) -> None:
        self.said: list[tuple[Any, ...]] = []
        self._deliveries = iter([Delivery("t", token, "t", "[]", "{}", "default", 0, 0, 0.0) for token in tokens])
        self._clock = clock

    def send(self, *words: Any) -> None:
        self.said.append(words)
        if words == ("begun",):
            self._clock[0] += 10

    def receive(self) -> list[Any]:
        try:
            return [SOFT, *next(self._deliveries)]
        except StopIteration:
            raise EOFError from None


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def last_words() -> Iterator[int]:
    """Signals and the interpreter's fault handler are as before afterwards."""
    was_enabled, handler = faulthandler.is_enabled(), signal.getsignal(SOFT_LIMIT)
    with tempfile.TemporaryFile() as file:
        yield file.fileno()
        signal.signal(SOFT_LIMIT, handler)
        faulthandler.unregister(WHERE)
        faulthandler.disable()
    if was_enabled:
        faulthandler.enable()


@pytest.fixture
def app(clock: list[float]) -> MiniCelery:
    return MiniCelery("cell", config=Config(), world=World(monotonic=lambda: clock[0]))


def test_a_signal_counts_from_the_moment_on_at_which_the_limit_is_over_for_the_child(
    app: MiniCelery, clock: list[float], last_words: int
) -> None:
    raised: list[type] = []

    @app.task(max_retries=0)
    def t() -> None:
        clock[0] += SOFT - 1  # the child counts from when it heard that the run has begun, and may be quick
        try:
            cell._meet_soft_limit()
        except SoftTimeLimitExceeded as error:
            raised.append(type(error))
        cell._meet_soft_limit()

    cell = Cell(app, Wire(["1.n"], clock), last_words)
    cell.serve()

    assert raised == [SoftTimeLimitExceeded], "once"


def test_a_late_signal_for_an_earlier_run_counts_for_no_other(
    app: MiniCelery, clock: list[float], last_words: int
) -> None:
    app.task(name="t", max_retries=0)(lambda: cell._meet_soft_limit())
    wire = Wire(["1.n", "2.n"], clock)
    wire.send = lambda *words: wire.said.append(words)  # type: ignore[method-assign]

    cell = Cell(app, wire, last_words)
    cell.serve()
    cell._meet_soft_limit()

    ended = [words[1] for words in wire.said if words[0] == "ended"]
    assert [outcome.status.value for outcome in ended] == ["SUCCESS"] * 2
