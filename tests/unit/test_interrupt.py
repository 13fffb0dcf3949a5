"""An exception that is raised in another thread hits the task's function, once, and nothing else."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minicelery import interrupt
from minicelery.errors import SoftTimeLimitExceeded
from minicelery.interrupt import Interrupts
from tests.stack import wait_until

RUN = ("t", "1.n")
PATIENCE = 10.0


class Runner:
    """A thread that runs a function as a task, and then some code that is not the task's."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        self.over = threading.Event()
        self.ending: Any = None
        self.hit_outside: BaseException | None = None

    def start(self, function: Callable[[], Any]) -> None:
        self.thread = threading.Thread(target=self._run, args=(function,))
        self.thread.start()

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            try:
                self.ending = self.interrupts.guarded(RUN, function)
            except Exception as error:
                self.ending = error
            while not self.over.wait(0.001):
                pass
        except BaseException as error:
            self.hit_outside = error

    def end(self) -> Any:
        """How the function ended, once the thread has gone on for a while and ended, too."""
        self.over.set()
        self.thread.join(PATIENCE)
        assert self.hit_outside is None
        return self.ending


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(Interrupts())
    yield made
    made.over.set()


def _spin(entered: threading.Event) -> None:
    entered.set()
    while True:
        pass


def test_a_run_inside_its_function_is_interrupted_there(runner: Runner) -> None:
    entered = threading.Event()
    runner.start(lambda: _spin(entered))
    entered.wait(PATIENCE)

    assert runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)

    assert isinstance(runner.end(), SoftTimeLimitExceeded)


def test_a_run_that_has_ended_or_not_begun_is_not_interrupted(runner: Runner) -> None:
    assert not runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)

    runner.start(lambda: "done")
    wait_until(lambda: runner.ending)

    assert not runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)
    assert runner.end() == "done"


def test_the_next_run_of_the_same_thread_is_not_interrupted_for_the_one_before(runner: Runner) -> None:
    entered = threading.Event()

    def next_run() -> str:
        return runner.interrupts.guarded(("t", "2.n"), lambda: "next" if entered.wait(PATIENCE) else "late")

    runner.start(lambda: None)
    wait_until(lambda: not runner.interrupts._inside)
    runner.end()
    runner.start(next_run)
    interrupted = runner.interrupts.interrupt(("t", "0.n"), SoftTimeLimitExceeded)
    entered.set()

    assert (interrupted, runner.end()) == (False, "next")


@pytest.fixture
def late(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Whoever interrupts has found the run inside its function, which is told by this event, and goes on only when it
    is not there any more."""
    looked, send = threading.Event(), interrupt._send

    def send_late(thread: int, kind: type[BaseException] | None) -> bool:
        if kind is not None:
            looked.set()
            wait_until(lambda: not runner.interrupts._inside, what="the run's leaving")
        return send(thread, kind)

    monkeypatch.setattr(interrupt, "_send", send_late)
    return looked


def test_what_comes_when_the_function_has_just_returned_hits_nothing(runner: Runner, late: threading.Event) -> None:
    runner.start(lambda: late.wait(PATIENCE) and "just in time")
    wait_until(lambda: runner.interrupts._inside)

    runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)

    assert runner.end() == "just in time"
    assert not runner.interrupts._told


def test_what_comes_when_the_function_has_just_raised_leaves_its_error(runner: Runner, late: threading.Event) -> None:
    def fail() -> None:
        late.wait(PATIENCE)
        raise ValueError("its own")

    runner.start(fail)
    wait_until(lambda: runner.interrupts._inside)

    runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)

    assert str(runner.end()) == "its own"


def test_what_comes_when_a_report_is_about_to_begin_is_raised_before_it(runner: Runner, late: threading.Event) -> None:
    reports: list[str] = []

    def work() -> None:
        late.wait(PATIENCE)
        runner.interrupts.shielded(RUN, lambda: reports.append("sent"))

    runner.start(work)
    wait_until(lambda: runner.interrupts._inside)

    runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)

    assert isinstance(runner.end(), SoftTimeLimitExceeded)
    assert reports == []


def test_a_report_is_not_interrupted_and_the_function_behind_it_is(runner: Runner) -> None:
    reporting, told = threading.Event(), threading.Event()
    seen: list[object] = []

    def report() -> None:
        reporting.set()
        seen.append(told.wait(PATIENCE))

    def work() -> None:
        runner.interrupts.shielded(RUN, report)
        seen.append("never")

    runner.start(work)
    reporting.wait(PATIENCE)
    assert runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)
    told.set()

    assert isinstance(runner.end(), SoftTimeLimitExceeded)
    assert seen == [True]


def test_what_comes_when_a_report_has_just_ended_is_raised_once(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who interrupts has seen the report, and notes only when it is over what is to be raised behind it."""
    reporting, seen, over = threading.Event(), threading.Event(), threading.Event()
    raised: list[BaseException] = []

    class Slow(dict[Any, Any]):
        def __setitem__(self, *item: Any) -> None:
            seen.set()
            over.wait(PATIENCE)
            super().__setitem__(*item)

    def report() -> None:
        reporting.set()
        seen.wait(PATIENCE)

    def work() -> None:
        runner.interrupts.shielded(RUN, report)
        over.set()
        for _ in range(2):
            try:
                wait_until(lambda: False, 0.1)
            except SoftTimeLimitExceeded as error:
                raised.append(error)
            except AssertionError:
                pass

    monkeypatch.setattr(runner.interrupts, "_noted", Slow())
    runner.start(work)
    reporting.wait(PATIENCE)
    assert runner.interrupts.interrupt(RUN, SoftTimeLimitExceeded)

    runner.end()
    assert len(raised) == 1


def test_a_signal_strikes_the_function_of_its_thread_and_nothing_outside() -> None:
    interrupts = Interrupts()

    interrupts.strike(SoftTimeLimitExceeded)
    assert interrupts.guarded(RUN, lambda: "done") == "done"
    with pytest.raises(SoftTimeLimitExceeded):
        interrupts.guarded(RUN, lambda: interrupts.strike(SoftTimeLimitExceeded))


def test_a_signal_during_a_report_strikes_behind_it() -> None:
    interrupts, seen = Interrupts(), list[str]()

    def report() -> None:
        interrupts.strike(SoftTimeLimitExceeded)
        seen.append("sent")

    def work() -> None:
        interrupts.shielded(RUN, report)
        seen.append("never")

    with pytest.raises(SoftTimeLimitExceeded):
        interrupts.guarded(RUN, work)
    assert seen == ["sent"]
