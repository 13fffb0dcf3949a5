"""One contender on a server of its own: its workers, and a process of its that sends."""

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from minicelery import launch
from minicelery.embedded import free_port

from . import environments
from .contender import Contender
from .stage import Stage

INSIDE = environments.ROOT / "bench" / "inside"
GRACE = 5.0
PATIENCE = 60.0
LINES_SHOWN = 3


def tree_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process and all that it has started, directly or not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_of(tree: list[psutil.Process]) -> float:
    """The seconds of processor time that the processes have taken."""
    times = [process.cpu_times() for process in tree]
    return float(sum(one.user + one.system for one in times))


def kill_session(leader: int) -> None:
    """kill -9 for all processes of a session, until none is left: one may just have started another.

    The session, as its members stay in it when their parent dies or they make a process group of their own. A worker
    that outlived its trial would take processor time from all that follow.
    """
    while members := [pid for pid in psutil.pids() if _session_of(pid) == leader]:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _session_of(pid: int) -> int:
    """0 for a process that is gone or only waits for its parent to look at it."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        return 0 if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else os.getsid(pid)
    return 0


class Failed(Exception):
    """What a contender could not do; its text becomes its row."""


class Trial:
    """What a scenario works with. ``quick`` asks for small counts."""

    def __init__(self, contender: Contender, stage: Stage, python: str, *, quick: bool) -> None:
        self.contender = contender
        self.stage = stage
        self.quick = quick
        self.python = python
        self._running: dict[subprocess.Popen[bytes], str] = {}
        self._logs = tempfile.TemporaryDirectory(prefix="minicelery-bench-logs-")
        self._sender: subprocess.Popen[bytes] | None = None

    @cached_property
    def port(self) -> int:
        """Where a web process of this trial listens."""
        return free_port()

    def ask(self, deed: str, **wish: Any) -> dict[str, Any]:
        """Have the contender's own process do something; its answer."""
        if self._sender is None:
            self._sender = self._start(("-u", str(INSIDE / "serve.py"), self.contender.module), "sender", pipes=True)
            self.ask("ready")
        assert self._sender.stdin is not None
        assert self._sender.stdout is not None
        self._sender.stdin.write(json.dumps({"do": deed, **wish}).encode() + b"\n")
        self._sender.stdin.flush()
        if not select.select([self._sender.stdout], [], [], PATIENCE)[0]:
            raise Failed(f"the sender took longer than {PATIENCE:g} s for '{deed}'")
        line = self._sender.stdout.readline()
        if not line:
            raise Failed(f"the sender ended: {self._last_words('sender')}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def fill(self, task: str, count: int) -> None:
        """Put tasks into the queue, by the fastest way it has."""
        self.ask("bulk" if self.contender.bulk else "enqueue", task=task, count=count)
        if self.waiting() != count:
            raise Failed(f"{self.waiting()} tasks wait where {count} were sent")

    @contextlib.contextmanager
    def workers(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        """The contender's workers, started and not waited for."""
        started = [self._start(command, f"worker {number}") for number, command in enumerate(self.contender.commands)]
        try:
            yield started
        finally:
            for process in started:
                launch.ask_to_end(process)
            for process in started:
                launch.end(process, GRACE)
                kill_session(process.pid)
                self._running.pop(process, None)

    def kill_workers(self, workers: list[subprocess.Popen[bytes]]) -> None:
        """kill -9 for all that each has started, so that nothing of it can clean up behind the rest."""
        for process in workers:
            kill_session(process.pid)
            process.wait()
            self._running.pop(process, None)

    def waiting(self) -> int:
        """How many tasks still wait."""
        return self.contender.waiting(self.stage.client)

    def until(self, is_so: Callable[[], bool], seconds: float, what: str, *, every: float = 0.02) -> None:
        """Wait for something that the workers bring about."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise Failed(f"{what} took longer than {seconds:g} s: {self._last_words('worker 0')}")
            self._check_processes()
            time.sleep(every)

    def _check_processes(self) -> None:
        for process, name in self._running.items():
            if process.poll() is not None:
                raise Failed(f"{name} ended with exit code {process.returncode}: {self._last_words(name)}")

    def close(self) -> None:
        """End whatever still runs."""
        for process in self._running:
            kill_session(process.pid)
            process.wait()
        self._running.clear()
        self._logs.cleanup()

    def _start(self, command: tuple[str, ...], name: str, *, pipes: bool = False) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(INSIDE), str(environments.ROOT)])
        environ = {**os.environ, "PYTHONPATH": paths, "BENCH_REDIS_URL": self.stage.url, **self.contender.environ}
        with (Path(self._logs.name) / name).open("ab") as log:
            process = launch.start(
                [self.python, *(self._filled(part) for part in command)],
                cwd=self._logs.name,
                env=environ,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else log,
                stderr=log,
            )
        self._running[process] = name
        return process

    def _filled(self, part: str) -> str:
        """A part of a command, with the addresses of this trial."""
        return part.replace("{url}", self.stage.url).replace("{port}", str(self.port))

    def _last_words(self, name: str) -> str:
        """The end of what a process wrote."""
        log = Path(self._logs.name) / name
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return " / ".join(lines[-LINES_SHOWN:]) or "(it wrote nothing)"
