"""Which processes of this machine are gone for certain."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicelery import identity

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")


@pytest.fixture
def dead() -> str:
    """The mark of a process that has ended and was waited for."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        mark = identity.mark(process.pid)
        process.kill()
    return mark


def test_a_process_that_runs_is_not_gone() -> None:
    assert not identity.are_gone([identity.mark(os.getpid())])


def test_one_that_has_ended_is_gone(dead: str) -> None:
    assert identity.are_gone([dead])
    assert not identity.are_gone([dead, identity.mark(os.getpid())])


def test_one_that_has_ended_and_was_not_waited_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        mark = identity.mark(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert identity.are_gone([mark])
        assert identity.mark(process.pid) == ""


def test_of_no_process_at_all_nothing_is_known() -> None:
    assert not identity.are_gone([])


def test_a_process_that_proc_hides_is_not_taken_for_gone(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = identity.mark(os.getpid())
    monkeypatch.setattr(identity, "_PROC", Path("/nowhere"))

    assert not identity.are_gone([alive])
    assert identity.are_gone([dead])


def test_the_processor_time_of_a_thread_grows_with_its_work() -> None:
    me = (os.getpid(), os.getpid())
    before = identity.processor_time(*me)
    while identity.processor_time(*me) < before + 0.05:
        sum(range(10_000))

    assert identity.processor_time(os.getpid(), 999_999_999) == 0.0
