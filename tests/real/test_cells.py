"""Processes for isolated tasks, without a worker around them."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from minicelery import codec
from minicelery.errors import MemoryLimitExceeded, TaskCancelled, TaskCrashed, TimeLimitExceeded
from minicelery.executor import Demand, Ending
from minicelery.interrupt import Run
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.worker.isolation import Isolation
from minicelery.world import World
from tests.real import isolated_tasks
from tests.stack import ROOT, wait_until

APP = "tests.real.isolated_tasks:app"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of another process's memory and files")


class Block:
    """Cells, and what their runs report."""

    def __init__(self, app: str = APP, max_runs: int = 0) -> None:
        self.isolation = Isolation(app, {}, World(), max_runs)
        self.runs = 0  #: how many there were; each is a delivery of its own
        self.reports: list[tuple[str, ...]] = []
        self.is_current: bool | None = True
        self.is_cancelled = False

    def run(self, name: str, *args: Any) -> Ending:
        task = isolated_tasks.app.tasks.find(name)
        self.runs += 1
        delivery = Delivery("t", self.token, name, codec.encode(args), "{}", "default", 0, 0, 0.0)
        return self.isolation.run(
            Demand(delivery, task.time_limits, task.max_memory_mb, self._report, lambda: self.is_cancelled)
        )

    @property
    def token(self) -> str:
        """That of the last run."""
        return f"1.{self.runs}"

    def value(self, name: str, *args: Any) -> Any:
        """The result of a run that succeeds."""
        ending = self.run(name, *args)
        assert isinstance(ending, Outcome), ending
        assert ending.status is Status.SUCCESS, ending
        return codec.decode(ending.body)

    def pid(self) -> Any:
        """That of the cell whose turn it is."""
        return self.value("pids")[0]

    def _report(self, *words: str) -> bool | None:
        self.reports.append(words)
        return self.is_current


def has_ended(pid: int) -> bool:
    """Whether a process has, although perhaps nobody has waited for it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def shared() -> Iterator[Block]:
    made = Block()
    made.pid()
    yield made
    made.isolation.close()


@pytest.fixture
def block(shared: Block) -> Block:
    shared.reports.clear()
    shared.is_current, shared.is_cancelled = True, False
    return shared


@pytest.fixture
def worn() -> Iterator[Block]:
    """Cells that are replaced after two tasks."""
    made = Block(max_runs=2)
    yield made
    made.isolation.close()


def test_a_cell_is_a_process_of_its_own_and_stays_warm(block: Block) -> None:
    first, second = block.value("pids"), block.value("pids")

    assert first == second
    assert first[0] != os.getpid()
    assert first[1] == os.getpid()


def test_a_cell_outlives_the_thread_that_needed_it_first(block: Block) -> None:
    block.run("die", "exit")  # so that there is none
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(block.pid()))
    thread.start()
    thread.join(10)

    assert [block.pid()] == pids


@pytest.mark.parametrize("value", [None, [], {}, "\x1b ü 𝄞", 2**70, -0.0, {"a": [1, {"b": "x" * 500_000}]}])
def test_values_come_through_unchanged(block: Block, value: Any) -> None:
    assert repr(block.value("echo", value)) == repr(value)


def test_an_error_of_the_task_is_its_outcome(block: Block) -> None:
    ending = block.run("fail", "wrong")

    assert isinstance(ending, Outcome)
    assert ending.status is Status.FAILED
    error = codec.decode(ending.body)
    assert (error["type"], error["message"]) == ("ValueError", "wrong")
    assert "raise ValueError(message)" in error["traceback"]


DEATHS = {
    "segfault": "the process of the run was ended by SIGSEGV",
    "exit": "the process of the run has ended with exit code 3",
    "kill": "the process of the run was ended by SIGKILL",
    "close": "the process of the run was ended, as it had closed the connection to its worker",
}


@pytest.mark.parametrize("how", DEATHS)
def test_a_crash_is_told_as_what_it_was_and_the_next_cell_serves(block: Block, how: str) -> None:
    before = block.pid()

    ending = block.run("die", how)

    assert isinstance(ending, TaskCrashed)
    assert str(ending) == DEATHS[how]
    assert not psutil.pid_exists(before)
    assert block.pid() != before


def test_a_crash_in_c_shows_the_line_of_the_task(block: Block) -> None:
    ending = block.run("die", "segfault")

    assert isinstance(ending, TaskCrashed)
    assert "isolated_tasks.py" in ending.__notes__[0]
    assert ending.__notes__[0].rstrip().endswith("in die")


def test_a_run_that_holds_pythons_lock_is_ended_at_its_limit_with_the_line_where_it_was(block: Block) -> None:
    before = block.pid()

    ending = block.run("hold_the_lock_for_ever")

    assert isinstance(ending, TimeLimitExceeded)
    assert ending.__notes__[0].rstrip().endswith("in hold_the_lock_for_ever")
    assert not psutil.pid_exists(before)


def test_a_soft_limit_ends_a_wait_in_c(block: Block) -> None:
    assert block.value("tidy_up") == "tidied up"


def test_limits_are_kept_whatever_the_task_before_has_done_to_signals(block: Block) -> None:
    before = block.value("forget_signals")

    assert block.value("tidy_up") == "tidied up"
    assert block.pid() == before
    ending = block.run("hold_the_lock_for_ever")
    assert isinstance(ending, TimeLimitExceeded)
    assert "in hold_the_lock_for_ever" in ending.__notes__[0]


def test_a_soft_limit_strikes_a_task_that_reports_without_a_pause(block: Block) -> None:
    before = block.pid()

    ending = block.run("report_for_ever")

    assert isinstance(ending, Outcome)
    assert codec.decode(ending.body)["type"] == "minicelery.errors.SoftTimeLimitExceeded"
    assert block.pid() == before, "nothing was torn in two"


def test_what_a_run_has_started_ends_with_it_at_its_limit(block: Block, tmp_path: Path) -> None:
    block.run("start_and_wait", str(tmp_path / "pid"), False)

    started = int((tmp_path / "pid").read_text())
    wait_until(lambda: has_ended(started), what="its end")


def test_a_task_that_dies_of_being_asked_where_it_is_is_ended_whole(block: Block, tmp_path: Path) -> None:
    ending = block.run("start_and_wait", str(tmp_path / "pid"), True)

    started = int((tmp_path / "pid").read_text())
    wait_until(lambda: has_ended(started), what="the end of what it has started")
    assert isinstance(ending, TimeLimitExceeded)


@ON_LINUX
def test_a_run_with_too_much_memory_is_ended(block: Block) -> None:
    ending = block.run("grow_and_wait", 400)

    assert isinstance(ending, MemoryLimitExceeded)
    assert "above its max_memory_mb of 200" in str(ending)


@ON_LINUX
def test_memory_that_earlier_tasks_have_left_is_not_charged_to_the_next(block: Block) -> None:
    before = block.value("leave_memory", 300)

    assert block.value("grow", 20) == 1
    assert not psutil.pid_exists(before)


def test_progress_goes_through_with_the_token(block: Block) -> None:
    assert block.value("steps", 2) == ["t", block.token, "default"]

    assert block.reports == [
        ("t", block.token, '"done":1,"total":2,"message":"step 1"'),
        ("t", block.token, '"done":2,"total":2,"message":"step 2"'),
    ]


@pytest.mark.parametrize(("answer", "word"), [(False, "LeaseLost"), (None, "TaskCancelled")])
def test_a_run_that_is_in_vain_learns_so(block: Block, tmp_path: Path, answer: bool | None, word: str) -> None:
    block.is_current = answer

    assert block.value("outlive", str(tmp_path / "marker")) == "too late"
    assert (tmp_path / "marker").read_text() == word


def test_a_task_hears_that_it_is_cancelled(block: Block, tmp_path: Path) -> None:
    block.is_cancelled = True

    block.value("until_cancelled", str(tmp_path / "marker"))

    assert (tmp_path / "marker").exists()


def test_a_run_is_ended_from_outside_by_an_error_and_no_other_run_is(block: Block) -> None:
    endings: list[Ending] = []
    thread = threading.Thread(target=lambda: endings.append(block.run("announce_and_wait", 60)))
    thread.start()
    wait_until(lambda: block.reports, what="the start")

    others: list[Run] = [("t", "2.n"), ("u", block.token)]
    assert [block.isolation.kill(run, TaskCancelled()) for run in others] == [False, False]
    assert block.isolation.kill(("t", block.token), TaskCancelled("t"))
    thread.join(10)

    assert str(endings[0]) == "task t was cancelled"
    assert block.value("echo", 1) == 1, "the next run has nothing of it"
    assert not block.isolation.kill(("t", block.token), TaskCancelled())


def test_a_cell_that_was_ended_at_rest_costs_no_task(block: Block) -> None:
    os.kill(block.pid(), signal.SIGKILL)

    assert block.value("echo", 1) == 1


def test_a_copy_that_a_task_forks_ends_and_disturbs_nobody(block: Block) -> None:
    assert block.value("fork_and_return") == "the original"
    assert block.value("echo", 1) == 1


def test_a_crash_is_noticed_though_another_process_holds_what_was_open(block: Block) -> None:
    ending = block.run("leave_a_process", 3)

    assert str(ending) == "the process of the run has ended with exit code 5"


def test_a_thread_that_an_earlier_run_has_left_can_report_nothing(block: Block) -> None:
    before = block.value("leave_a_thread")
    left = block.token

    assert [block.value("echo", number) for number in range(50)] == list(range(50))

    assert block.pid() == before
    wait_until(lambda: psutil.Process(before).num_threads() == 1, what="the end of the thread")
    assert {token for _, token, _ in block.reports} <= {left}


@ON_LINUX
def test_a_cell_inherits_nothing_that_its_parent_has_open(block: Block) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    with (ROOT / "README.md").open() as file:
        os.set_inheritable(file.fileno(), True)
        block.run("die", "kill")  # the next cell starts now

        opened = block.value("open_descriptors")

    os.close(reading)
    os.close(writing)
    assert opened == ["pipe", "socket"], "where its last words go, and the wire"


def test_a_cell_is_replaced_after_its_number_of_tasks(worn: Block) -> None:
    pids = [worn.pid() for _ in range(4)]

    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_cell_that_can_not_load_the_application_is_told() -> None:
    block = Block("tests.real.isolated_tasks:nothing")

    ending = block.run("echo", 1)
    block.isolation.close()

    assert isinstance(ending, TaskCrashed)
    assert "can't start: 'tests.real.isolated_tasks:nothing' is not a MiniCelery object" in str(ending)


def test_a_cell_ends_when_nobody_needs_it_any_more() -> None:
    block = Block()
    pid = block.pid()

    block.isolation.close()

    assert not psutil.pid_exists(pid)
