"""What a parent does when a child can't be started, and what it hands to one."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from minicelery import launch
from minicelery.server import Reception, Verdict
from minicelery.worker import parent as module
from minicelery.worker.order import WorkerOptions
from minicelery.worker.parent import Parent
from minicelery.worker.running import Birth, bear
from minicelery.world import World

WRONG = Verdict(refusals=("set it to noeviction",))


def _refuse(*_: Any, **__: Any) -> Any:
    raise OSError(11, "Resource temporarily unavailable")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here to count descriptors in")
def test_a_start_that_fails_leaves_no_descriptor_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "start", _refuse)
    before = os.listdir("/proc/self/fd")

    with pytest.raises(OSError, match="temporarily unavailable"):
        bear(Birth("w", 0.0), WorkerOptions(), lambda *_: None)

    assert os.listdir("/proc/self/fd") == before


def test_a_child_that_can_not_be_started_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bear", _refuse)
    parent = Parent(WorkerOptions(), World())
    [first] = parent._births

    parent._bear_who_is_due()

    [second] = parent._births
    assert second.at > first.at
    assert parent._children == []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], list[str]]]:
    """What a worker refuses, and what it complains of, as it meets servers with these verdicts one after the other."""

    def told(*verdicts: Verdict) -> tuple[list[str], list[str]]:
        answers, complaints = iter(verdicts), []
        monkeypatch.setattr("minicelery.server.check", lambda client, *, replicated: next(answers))
        reception = Reception(None, replicated=False, log=lambda _, words: complaints.append(words))
        refusals = [reception.refusal() for _ in verdicts]
        return [refusal for refusal in refusals if refusal], complaints

    return told


def test_a_wrong_server_is_refused_at_the_first_contact(told: Callable[..., tuple[list[str], list[str]]]) -> None:
    assert told(WRONG) == (["set it to noeviction"], [])


def test_a_wrong_server_met_later_is_only_complained_of(told: Callable[..., tuple[list[str], list[str]]]) -> None:
    assert told(Verdict(), WRONG, WRONG) == ([], ["set it to noeviction"])


def test_the_same_warning_is_told_once(told: Callable[..., tuple[list[str], list[str]]]) -> None:
    warning = Verdict(warnings=("keeps nothing",))

    assert told(warning, warning, Verdict(), warning) == ([], ["keeps nothing", "keeps nothing"])
