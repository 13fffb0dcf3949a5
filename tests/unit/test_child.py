"""How a child ends, and what it is given while its threads wait."""

import os
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.message import Delivery
from minicelery.worker.board import Board
from minicelery.worker.buffer import NEVER
from minicelery.worker.child import Child
from minicelery.worker.order import Order

TASK = Delivery("t", "1.n", "add", "[]", "{}", "default", 0, 3, 0.0)


@pytest.fixture
def child(fake_app: MiniCelery) -> Iterator[Any]:
    board, control, report = Board.create(), os.pipe(), os.pipe()
    order = Order(worker="w", app="", settings={}, board=board.fd, control=control[0], report=report[1])
    made: Any = Child(fake_app, order)
    yield made
    made._board._memory.close()
    board.close()
    for descriptor in (*control, *report, made._done_read, made._done_write):
        os.close(descriptor)


def test_a_child_ends_only_when_what_its_minder_gives_back_is_answered_for(child: Any) -> None:
    buffer, released = child._bench.buffer, list[Any]()
    buffer.put([TASK], 1.0)
    taken = buffer.late(NEVER)  # by the minder, which is about to be answered

    def release(worker: str, held: Iterable[tuple[str, str]]) -> list[bool]:
        released.extend(held)
        return [True for _ in held]

    child._farewell = SimpleNamespace(release=release)
    child._pool = SimpleNamespace(
        start=lambda: None, alive=0, has_broken=False, end=lambda patience: buffer.returned(taken)
    )

    assert child.run() == 0

    assert (released, child._board.left_behind) == ([], 0)


def test_the_threads_of_a_child_are_given_nothing_once_half_of_its_lease_is_over(child: Any) -> None:
    assert child._bench.least_lease == child._config.lease / 2
