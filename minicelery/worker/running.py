"""One child at work, as its parent sees it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import identity, launch
from .board import Board, Held
from .order import Hello, Order, Retiring, WorkerOptions, report


@dataclass
class Running:
    """A child process, and what its parent holds of it."""

    worker: str
    process: "subprocess.Popen[bytes]"
    board: Board
    control: int
    born: float
    quarantine: bool
    ooms: int  #: processes that the kernel had ended for want of memory when this one was born
    mark: str = ""
    hello: Hello | None = None  #: what it has said after loading the application
    is_enrolled: bool = False  #: others know it as a worker
    is_slow: bool = False  #: to load the application, which has been told
    is_retiring: bool = False
    killed_for: str = ""  #: why we have killed it, completing "a child …"
    blamed: list[Held] | None = None  #: for that; None: whatever had begun is, as it has ended by itself

    @property
    def is_welcome(self) -> bool:
        return self.hello is not None and self.hello.config is not None

    def tell(self, command: bytes) -> None:
        """Write a command into the control pipe, unless nobody is left to read it."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.control, command)

    def kill(self, reason: str, blamed: Sequence[Held] = ()) -> None:
        """End it now; ``reason`` completes "a child …", and a crash is counted for who is ``blamed``."""
        if not self.killed_for:
            self.killed_for, self.blamed = reason, list(blamed)
        launch.kill(self.process)

    def close(self) -> None:
        """Give back what the parent held, once the process has ended."""
        os.close(self.control)
        self.board.close()


@dataclass(frozen=True)
class Birth:
    """Who is to be born, and when."""

    worker: str
    at: float
    quarantine: bool = False


Tell = Callable[[str, Running, "Hello | Retiring | None"], None]


def bear(birth: Birth, options: WorkerOptions, tell: Tell) -> Running:
    """Start a child. ``tell`` hears "said" with each of its reports and then "end", from threads of the child's own."""
    board = Board.create()
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(board.close)
        control_read, control_write = _pipe(on_failure)
        report_read, report_write = _pipe(on_failure)
        process = _start(birth, options, (board.fd, control_read, report_write))
        on_failure.pop_all()
    os.close(control_read)
    os.close(report_write)
    child = Running(birth.worker, process, board, control_write, birth.at, birth.quarantine, ooms())
    child.mark = identity.mark(process.pid)
    for target, args in ((_read, (child, report_read, tell)), (_wait, (child, tell))):
        threading.Thread(target=target, args=args, name=target.__name__, daemon=True).start()
    return child


def _pipe(on_failure: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        on_failure.callback(os.close, end)
    return ends


def _start(birth: Birth, options: WorkerOptions, fds: tuple[int, int, int]) -> "subprocess.Popen[bytes]":
    """The process; its order comes by its standard input, as others may read its command line."""
    board, control, report = fds
    order = Order(
        worker=birth.worker,
        app=options.app,
        settings=options.settings(),
        board=board,
        control=control,
        report=report,
        quarantine=birth.quarantine,
    )
    process = launch.start(
        [sys.executable, "-m", "minicelery.worker.child"],
        death_signal=signal.SIGKILL,
        pass_fds=fds,
        stdin=subprocess.PIPE,
    )
    assert process.stdin
    with process.stdin as pipe, contextlib.suppress(BrokenPipeError):
        pipe.write(order.dump().encode())
    return process


def _read(child: Running, descriptor: int, tell: Tell) -> None:
    """Passes on what a child says. A process that a task has left behind may keep the pipe open for longer."""
    with os.fdopen(descriptor, encoding="utf-8") as pipe:
        for line in pipe:
            try:
                tell("said", child, report(line))
            except ValueError:  # it died in the middle of the line
                return
            except TypeError:
                child.kill("was ended since it is of another release than its parent: start the worker anew")


def _wait(child: Running, tell: Tell) -> None:
    child.process.wait()
    tell("end", child, None)


def ooms() -> int:
    """How many processes the kernel has ended for want of memory since it was booted; 0 where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
