"""Which cell runs a task, when cells end at the wrong moment."""

from typing import Any

import pytest

from minicelery.errors import TaskCrashed
from minicelery.executor import Demand
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.time_limits import NO_TIME_LIMITS
from minicelery.worker import isolation
from minicelery.worker.isolation import Isolation
from minicelery.worker.warden import NotBegun
from minicelery.world import World

DONE = Outcome(Status.SUCCESS, "1")
DEMAND = Demand(
    Delivery("t", "1.n", "t", "[]", "{}", "default", 0, 0, 0.0), NO_TIME_LIMITS, None, lambda *_: True, lambda: False
)


class Warden:
    """Of a cell that has ended before the task began, as often as there are ``failures``."""

    failures = 0
    made = 0

    def __init__(self, *_: Any) -> None:
        type(self).made += 1
        self.is_fit, self.runs, self.is_closed = True, 0, False

    def welcome(self) -> None:
        """It is ready."""

    def run(self, demand: Demand) -> Outcome:
        if type(self).failures:
            type(self).failures -= 1
            self.is_fit = False
            raise NotBegun
        return DONE

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def wardens(monkeypatch: pytest.MonkeyPatch) -> type[Warden]:
    kind = type("Fake", (Warden,), {})
    monkeypatch.setattr(isolation, "Warden", kind)
    return kind


def test_a_task_whose_cell_has_ended_before_it_began_runs_in_another_one(wardens: type[Warden]) -> None:
    wardens.failures = 2
    cells = Isolation("", {}, World())

    assert cells.run(DEMAND) == DONE
    assert cells.run(DEMAND) == DONE
    cells.close()

    assert wardens.made == 3


def test_a_task_that_no_cell_lives_to_begin_is_a_failure(wardens: type[Warden]) -> None:
    wardens.failures = 100
    cells = Isolation("", {}, World())

    ending = cells.run(DEMAND)
    cells.close()

    assert isinstance(ending, TaskCrashed)
    assert str(ending) == "3 processes have ended before the task began"
    assert wardens.made == 3


def test_a_cell_whose_run_was_left_by_a_fault_of_our_own_is_ended(wardens: type[Warden]) -> None:
    cells = Isolation("", {}, World())
    assert cells.run(DEMAND) == DONE
    [warden] = cells._at_rest

    def fail(_: Demand) -> Outcome:
        raise RuntimeError("ours")

    warden.run = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="ours"):
        cells.run(DEMAND)
    cells.close()

    assert warden.is_closed  # type: ignore[attr-defined]
    assert (cells._at_rest, cells._at_work) == ([], {})


def test_a_cell_that_can_not_be_started_is_a_failure_that_says_why(
    wardens: type[Warden], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(wardens, "__init__", refuse)
    cells = Isolation("", {}, World())

    ending = cells.run(DEMAND)
    cells.close()

    assert isinstance(ending, TaskCrashed)
    assert "Resource temporarily unavailable" in str(ending)
