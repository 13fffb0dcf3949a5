"""One process for isolated tasks, as the child sees it that has started it."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

from .. import identity, launch, task
from ..errors import MemoryLimitExceeded, TaskCrashed
from ..executor import Demand, Ending
from ..outcome import Outcome, overrun
from ..states import Status
from ..world import World
from .burial import describe
from .cell import SOFT_LIMIT, WHERE
from .running import ooms
from .wire import Wire

#: Seconds between two looks at the memory of a run that has a limit for it, and at a process that says nothing.
_MEMORY_LOOK, _LOOK = 0.05, 0.5
_LOADING = 60.0  #: seconds that a process has to load the application
_TAKING = 10.0  #: seconds that it has to take a task
_FAREWELL = 1.0  #: seconds that one which says nothing more has to end by itself
_STACK, _PAUSE = 0.2, 0.02  #: seconds that it has to say where it is, and after which it has said all
_LEAST = 0.001  #: seconds to wait for words, as none at all would mean not to wait for the rest of them
_NEVER = float("inf")
_MIB = 1 << 20


@dataclass(frozen=True)
class Cellblock:
    """What all cells have in common: the working directory, the application, and the settings of this worker."""

    folder: str
    app: str
    settings: dict[str, object]


class NotBegun(Exception):
    """The process has ended before the task began: another one may run it."""


class Warden:
    """Has a process run one task at a time, and ends it when a limit is over. Used by one thread, but for ``kill``."""

    def __init__(self, block: Cellblock, world: World) -> None:
        """Start the process, which dies with the thread that calls this."""
        self.runs = 0
        self.at_rest = 0  #: bytes of memory that it had when it was ready
        self._world = world
        self._verdict: Exception | None = None
        self._ooms = ooms()
        with contextlib.ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.callback(ours.close)
            self._last_words, end = os.pipe()
            on_failure.callback(os.close, self._last_words)
            for descriptor in (self._last_words, end):
                os.set_blocking(descriptor, False)  # nobody waits for these words, nor for room for them
            try:
                self._process = _start(block.folder, theirs.fileno(), end)
            finally:
                theirs.close()
                os.close(end)
            on_failure.pop_all()
        self._wire = Wire(ours, _TAKING)
        with contextlib.suppress(OSError):
            self._wire.send(block.app, block.settings, end)

    @property
    def is_fit(self) -> bool:
        """Whether another task can be given to it."""
        return self._verdict is None and self._process.poll() is None

    @property
    def memory(self) -> int:
        """Bytes of memory that the process has now; 0 where that can't be known."""
        return identity.resident(self._process.pid)

    def welcome(self) -> None:
        """Wait until it has loaded the application. Raises ``TaskCrashed`` where it can't, and is closed then."""
        try:
            words = self._wire.receive(_LOADING)
        except TimeoutError:
            fault = f"has not loaded the application within {_LOADING:g} s"
        except (EOFError, OSError):
            fault = self._end()
        else:
            if words == ["ready"]:
                self.at_rest = self.memory
                return
            fault = f"can't start: {words[-1]}"
        self.close()
        raise TaskCrashed(f"a process for isolated tasks {fault}")

    def run(self, demand: Demand) -> Ending:
        """Run a task, and end the process if it takes more than it may. Raises ``NotBegun``."""
        self.runs += 1
        self._read_last_words()
        try:
            self._wire.send(demand.limits.soft, *demand.delivery)
            has_begun = self._wire.receive(_TAKING) == ["begun"]
        except (EOFError, OSError):  # or nothing has come in time
            has_begun = False
        if self._verdict:
            return self._verdict
        if not has_begun:
            self.kill(NotBegun())
            raise NotBegun
        try:
            return self._attend(demand)
        except (EOFError, OSError):
            return self._autopsy()

    def kill(self, verdict: Exception) -> None:
        """End the process and what it has started, from any thread. The run in it ends by that error, unless it has
        ended before."""
        self._verdict = verdict
        launch.strike(self._process)

    def close(self) -> None:
        """End the process if it has not ended yet, and give back what belongs to it."""
        launch.kill(self._process)
        self._wire.close()
        os.close(self._last_words)

    def _attend(self, demand: Demand) -> Ending:
        """Answer what the run asks, and keep its limits, until it has ended."""
        hard, soft = demand.limits
        now = self._world.monotonic()
        soft_at, hard_at = now + (soft or _NEVER), now + (hard or _NEVER)
        while True:
            if soft_at <= now:
                soft_at = _NEVER
                self._process.send_signal(SOFT_LIMIT)
            if hard_at <= now:
                hard_at = _NEVER
                self._end_run(overrun(hard or 0.0, self._where()))
            self._look_at_memory(demand.max_memory_mb)
            look = _MEMORY_LOOK if demand.max_memory_mb else _LOOK
            try:
                kind, *words = self._wire.receive(max(_LEAST, min(look, soft_at - now, hard_at - now)))
            except TimeoutError:
                if self._process.poll() is not None:  # what it has started holds the other end of the wire
                    return self._autopsy()
            else:
                if kind == "ended":
                    return _outcome(*words)
                self._wire.send(demand.report(*words) if kind == "progress" else demand.cancelled())
            now = self._world.monotonic()

    def _look_at_memory(self, most_mb: int | None) -> None:
        if most_mb and (memory := self.memory) > most_mb * _MIB:
            self._end_run(
                MemoryLimitExceeded(
                    f"the process of the run had {memory // _MIB} MiB of memory, above its max_memory_mb of {most_mb}; "
                    f"with the application alone it had {self.at_rest // _MIB} MiB"
                )
            )

    def _end_run(self, verdict: Exception) -> None:
        if not self._verdict:
            self.kill(verdict)

    def _autopsy(self) -> Exception:
        how = self._end()
        if self._verdict:
            return self._verdict
        error = TaskCrashed(f"the process of the run {how}")
        if last_words := self._read_last_words():
            error.add_note(f"Its last words:\n{_of_the_task(last_words)}")
        return error

    def _end(self) -> str:
        """Wait for the end of a process that says nothing more. What has ended it, completing "the process …"."""
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            launch.kill(self._process)
            return "was ended, as it had closed the connection to its worker"
        return describe(self._process.returncode, ooms() > self._ooms)

    def _where(self) -> str:
        """Where the process is, as text for people. It is told in C, whatever Python is at."""
        self._read_last_words()
        self._process.send_signal(WHERE)
        with selectors.DefaultSelector() as selector:
            selector.register(self._last_words, selectors.EVENT_READ)
            text, patience = "", _STACK
            while selector.select(patience) and (more := self._read_last_words()):
                text, patience = text + more, _PAUSE
        return _of_the_task(text)

    def _read_last_words(self) -> str:
        """What the process has told of its end, or of where it is."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._last_words, 1 << 16).decode("utf-8", "replace")
        return ""


def _start(folder: str, wire: int, last_words: int) -> "subprocess.Popen[bytes]":
    return launch.start(
        [sys.executable, "-m", "minicelery.worker.cell", str(wire)],
        death_signal=signal.SIGKILL,
        lasting=True,
        pass_fds=(wire, last_words),
        stdin=subprocess.DEVNULL,
        cwd=folder,
    )


def _of_the_task(stack: str) -> str:
    """Without the frames that are ours; the last call stands first."""
    return stack.partition(f'  File "{task.__file__}"')[0]


def _outcome(words: "tuple[str, str, float] | None") -> Outcome | None:
    if words is None:
        return None
    status, body, delay = words
    return Outcome(Status(status), body, delay)
