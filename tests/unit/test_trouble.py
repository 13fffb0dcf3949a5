"""Living through an outage of Redis."""

import logging
from dataclasses import replace

import pytest

from minicelery.trouble import Trouble
from minicelery.world import World


def test_an_outage_is_said_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([10.0, 17.5])
    trouble = Trouble(logging.getLogger("outage"), replace(World(), monotonic=lambda: next(times)))

    for _ in range(5):
        trouble.pause_after(ConnectionError("refused"))
    trouble.over()
    trouble.over()

    assert [record.getMessage() for record in caplog.records] == [
        "refused; trying until it is back",
        "Redis is back after 7.5 s",
    ]


def test_pauses_grow_with_full_jitter_up_to_a_second_and_start_anew_afterwards() -> None:
    trouble = Trouble(logging.getLogger("outage"), replace(World(), random=lambda: 1.0))

    pauses = [trouble.pause_after(ConnectionError()) for _ in range(7)]
    trouble.over()

    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert trouble.pause_after(ConnectionError()) == 0.05
