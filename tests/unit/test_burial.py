"""What becomes of the tasks of a child that has ended."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.config import Config
from minicelery.errors import RedisUnavailable
from minicelery.handover import Recovery
from minicelery.trouble import Trouble
from minicelery.worker.board import Board, Count
from minicelery.worker.burial import Burial, _log, describe
from minicelery.worker.order import Hello
from minicelery.worker.running import Running, ooms
from minicelery.world import World
from tests.store.conftest import Desk

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def desk(fake_app: MiniCelery) -> Desk:
    return Desk(fake_app)


@pytest.fixture
def child(desk: Desk) -> Callable[[str], Running]:
    """A child that has ended as the program does, with "begun" and "claimed" in the hands of its two threads."""
    desk.hire("w")
    desk.submit("begun", "claimed")
    board = Board.create()
    for thread, delivery in enumerate((desk.take(), desk.take())):
        board.open_slot(thread)
        board.take(thread, delivery.id, delivery.name, delivery.token)
    board.begin(0, 1.0)
    board.count(0, Count.TAKEN, 2)

    def end(program: str) -> Running:
        process = subprocess.Popen([sys.executable, "-c", program])
        process.wait()
        control = os.open(os.devnull, os.O_WRONLY)
        return Running("w", process, board, control, 0.0, False, 0, hello=Hello(config=Config()), is_enrolled=True)

    return end


def crashes(desk: Desk) -> dict[str, int]:
    return {task: desk.app.inspector.task(task).crashes for task in ("begun", "claimed")}


def test_what_a_dead_child_had_in_hand_is_ready_and_what_had_begun_counts_a_crash(
    desk: Desk, child: Callable[[str], Running]
) -> None:
    burial = Burial(Trouble(_log, World()))

    burial.bury(child(CRASH))
    burial.recover(desk.broker, stopping=False)

    assert desk.where("begun") == desk.where("claimed") == ["PENDING", "ready"]
    assert crashes(desk) == {"begun": 1, "claimed": 0}
    assert desk.app.inspector.task("begun").last_crash == "was ended by SIGKILL"
    desk.lawful()


@pytest.mark.parametrize(
    ("program", "is_killed_by_us"), [("", False), (CRASH, True)], ids=["it has ended in order", "we have killed it"]
)
def test_a_child_whose_end_no_task_has_brought_about_counts_no_crash(
    desk: Desk, child: Callable[[str], Running], program: str, is_killed_by_us: bool
) -> None:
    burial, ended = Burial(Trouble(_log, World())), child(program)
    if is_killed_by_us:
        ended.kill("was ended since it did not stop")
    else:
        ended.board.leave()

    burial.bury(ended)
    burial.recover(desk.broker, stopping=True)

    assert crashes(desk) == {"begun": 0, "claimed": 0}
    assert "2 handed back" in burial.account()


def test_a_task_that_exits_with_code_0_counts_a_crash(desk: Desk, child: Callable[[str], Running]) -> None:
    burial = Burial(Trouble(_log, World()))

    burial.bury(child("import os; os._exit(0)"))
    burial.recover(desk.broker, stopping=False)

    assert crashes(desk) == {"begun": 1, "claimed": 0}
    assert desk.app.inspector.task("begun").last_crash == "has ended with exit code 0"


def test_only_who_is_blamed_for_our_killing_counts_a_crash(desk: Desk, child: Callable[[str], Running]) -> None:
    burial, ended = Burial(Trouble(_log, World())), child(CRASH)
    ended.kill("was ended since it had stood still for 120 s", blamed=ended.board.held()[:1])

    burial.bury(ended)
    burial.recover(desk.broker, stopping=False)

    assert crashes(desk) == {"begun": 1, "claimed": 0}
    assert desk.app.inspector.task("begun").last_crash == "was ended since it had stood still for 120 s"


def test_what_redis_does_not_take_back_is_tried_again(desk: Desk, child: Callable[[str], Running]) -> None:
    class Away(Broker):
        def recover(self, *args: object, **options: object) -> Recovery:
            raise RedisUnavailable("away")

    burial = Burial(Trouble(_log, World()))
    burial.bury(child(CRASH))
    burial.recover(Away(desk.app.scripts, desk.app.keys, 60), stopping=False)
    assert "2 left to the end of the lease" in burial.account()

    burial.recover(desk.broker, stopping=False)

    assert desk.where("begun") == desk.where("claimed") == ["PENDING", "ready"]
    assert "left to the end" not in burial.account()


@pytest.mark.parametrize(
    ("code", "was_memory_short", "words"),
    [
        (3, False, "has ended with exit code 3"),
        (-11, False, "was ended by SIGSEGV"),
        (-9, False, "was ended by SIGKILL"),
        (-9, True, "was ended by SIGKILL, as the machine was out of memory"),
        (-11, True, "was ended by SIGSEGV"),
        (-99, False, "was ended by signal 99"),
    ],
)
def test_what_ended_a_process_is_told_in_words(code: int, was_memory_short: bool, words: str) -> None:
    assert describe(code, was_memory_short) == words


@pytest.mark.skipif(not Path("/proc/vmstat").exists(), reason="there is no /proc/vmstat here")
def test_processes_that_the_kernel_ended_for_want_of_memory_are_counted() -> None:
    assert ooms() == int(re.findall(r"^oom_kill (\d+)", Path("/proc/vmstat").read_text(), re.MULTILINE)[0])
