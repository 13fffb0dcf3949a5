"""The benchmark's backlogs of limited tasks are what they say."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.scenarios import limited
from bench.stage import Stage


@pytest.fixture
def backlog(monkeypatch: pytest.MonkeyPatch) -> Iterator[limited.Backlog]:
    monkeypatch.setattr(limited, "KEYS", 100)
    with Stage() as stage, closing(limited.Backlog(stage, limited.SCARCE)) as backlog:
        yield backlog


def test_tasks_that_were_put_aside_come_back_one_by_one_as_their_gates_open(backlog: limited.Backlog) -> None:
    backlog.be_put_aside(300)
    backlog.let_some_in()

    assert backlog.figures()["bytes"] > 100


def test_tasks_with_ample_limits_are_claimed_as_they_stand(backlog: limited.Backlog) -> None:
    backlog.be_ready(300)

    assert backlog.figures()["bytes"] > 100
