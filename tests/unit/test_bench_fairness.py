"""What the benchmark makes of the time that ten tasks take behind a flood."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.scenarios import fairness
from bench.trial import Trial

SLOTS, SERVICE = 10, 0.02


class Flooded:
    """A trial with a clock of its own: others' tasks are done steadily, and ten take so long beside so many others."""

    quick = False
    contender = SimpleNamespace(slots=SLOTS)

    def __init__(self, seconds: float, others: int) -> None:
        self.now = 0.0
        self.stage = SimpleNamespace(client=self)
        self._seconds, self._others = seconds, others
        self._marks = 0

    def llen(self, key: str) -> int:
        return self._marks

    def until(self, is_so: Callable[[], bool], *told: Any) -> None:
        while not is_so():
            self.now += SERVICE
            self._marks += SLOTS

    def ask(self, deed: str, *, until_done: bool, count: int, **wish: Any) -> dict[str, float]:
        if until_done:
            self.now += self._seconds
            self._marks += count + self._others
        return {"seconds": self._seconds}


def measured(monkeypatch: pytest.MonkeyPatch, seconds: float, others: int) -> dict[str, float]:
    trial = Flooded(seconds, others)
    monkeypatch.setattr(time, "perf_counter", lambda: trial.now)
    return fairness.measured(cast(Trial, trial), fairness.Condition(2)).figures()


def test_ten_tasks_that_stand_still_for_forty_seconds_have_taken_as_many_service_times_as_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = measured(monkeypatch, 40.0, others=10)

    assert figures["service"] == pytest.approx(1000 * SERVICE)
    assert figures["times"] == pytest.approx(40.0 / SERVICE)
    assert figures["others"] == 10


def test_ten_tasks_among_as_many_of_others_take_two_service_times(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = measured(monkeypatch, 2 * SERVICE, others=10)

    assert figures["times"] == pytest.approx(2.0)
