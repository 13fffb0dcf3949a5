"""Living through an outage of Redis."""

import logging
from dataclasses import replace

import pytest

from minicelery.trouble import Trouble
from minicelery.world import World


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def _trouble(clock: Clock) -> Trouble:
    return Trouble(logging.getLogger("outage"), replace(World(), monotonic=clock, random=lambda: 1.0))


def test_an_outage_is_said_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    trouble = _trouble(clock)

    for _ in range(5):
        trouble.pause_after(ConnectionError("refused"))
    for clock.now in (17.5, 18.0, 18.5, 20.0):
        trouble.over()

    assert [record.getMessage() for record in caplog.records] == [
        "refused; trying until it is back",
        "Redis is back after 7.5 s",
    ]


def test_an_outage_that_lets_some_calls_through_is_one_outage(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    trouble = _trouble(clock)

    for clock.now in (10.0, 10.9, 11.8, 12.7):
        trouble.pause_after(ConnectionError("read only"))
        trouble.over()
    clock.now = 13.7
    trouble.over()

    assert [record.getMessage() for record in caplog.records] == [
        "read only; trying until it is back",
        "Redis is back after 2.7 s",
    ]


def test_pauses_grow_with_full_jitter_up_to_half_a_second_and_start_anew_afterwards() -> None:
    trouble = _trouble(Clock())

    pauses = [trouble.pause_after(ConnectionError()) for _ in range(6)]
    trouble.over()

    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
    assert trouble.pause_after(ConnectionError()) == 0.05


def test_an_error_that_goes_on_is_news_once_a_minute() -> None:
    clock = Clock()
    trouble = _trouble(clock)
    one, other = ValueError("wrong type"), ValueError("another")

    assert [trouble.is_news(error) for error in (one, other)] == [True, True]
    for clock.now in (11.0, 40.0, 69.9):
        assert not trouble.is_news(one)
    clock.now = 70.0
    assert trouble.is_news(one)
