"""Worker trees that a soak hurts, each behind a fault proxy of its own."""

import random
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from minicelery import launch
from tests.real.conftest import Crew, Worker
from tests.stack import ROOT

from .proxy import FaultProxy

APP = "tests.faults.tasks:app"
LEASE = 2.0


@dataclass(frozen=True, kw_only=True)
class CrowdOptions:
    """How many trees there are, and how each is started."""

    namespace: str
    trees: int = 3
    processes: int = 2
    threads: int = 5
    loss: float = 0.15  #: how probably the reply to a script is lost, all the time


class Tree:
    """A parent with its children. Starts again what was killed."""

    def __init__(self, crew: Crew, proxy: FaultProxy, arguments: tuple[str, ...]) -> None:
        self.proxy = proxy
        self.is_stopped = False
        self._crew = crew
        self._arguments = arguments
        self._worker = self._start()

    def pids(self) -> set[int]:
        return {process.pid for process in self._processes()}

    def kill(self) -> None:
        """Kill -9 of the parent, which takes its children along, and a new start."""
        self._worker.process.kill()
        self._worker.process.wait(10)
        self.is_stopped = False
        self._worker = self._start()

    def kill_child(self, chance: random.Random, spared: Collection[int] = ()) -> bool:
        """Kill -9 of one child, which its parent replaces. False if there is none but those to be spared."""
        children = [child for child in self._processes()[1:] if child.pid not in spared]
        if not children:
            return False
        with suppress(psutil.NoSuchProcess):
            chance.choice(children).kill()
        return True

    def stop(self) -> None:
        """Let all processes stand still."""
        self.is_stopped = True
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        if self.is_stopped:
            self.is_stopped = False
            self._signal(signal.SIGCONT)

    def end(self) -> None:
        launch.kill(self._worker.process)

    def has_ended_by_itself(self) -> bool:
        return self._worker.process.poll() is not None

    def lines(self, pattern: str) -> int:
        """How many lines of the logs of all its lives match."""
        logs = self._crew.folder.glob("worker*.log")
        return sum(len(re.findall(pattern, log.read_text(errors="replace"))) for log in logs)

    def _start(self) -> Worker:
        return self._crew.start(
            *self._arguments,
            app=APP,
            MINICELERY_LEASE=str(LEASE),
            MINICELERY_REDIS_TIMEOUT="1",
            MINICELERY_LOG_LEVEL="WARNING",
        )

    def _processes(self) -> list[psutil.Process]:
        """The parent first; empty if it is gone."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._worker.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def _signal(self, number: int) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@contextmanager
def crowd(port: int, options: CrowdOptions, folder: Path, seed: int) -> Iterator[list[Tree]]:
    """Trees at work for the server at a port. All are ended at the end, the stopped ones too."""
    trees: list[Tree] = []
    proxies: list[FaultProxy] = []
    arguments = ("--threads", str(options.threads), *processes_option(options.processes))
    try:
        for number in range(options.trees):
            own = folder / f"tree{number}"
            own.mkdir()
            proxy = FaultProxy(port, seed + number).__enter__()
            proxies.append(proxy)
            proxy.set(drop_replies=options.loss, only=b"EVAL")
            trees.append(Tree(Crew(proxy.url, options.namespace, own), proxy, arguments))
        yield trees
    finally:
        for tree in trees:
            tree.end()
        for proxy in proxies:
            proxy.__exit__(None, None, None)


def processes_option(count: int) -> tuple[str, ...]:
    return ("--processes", str(count)) if count > 1 and "--processes" in _help() else ()


@cache
def _help() -> str:
    command = [sys.executable, "worker.py", "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
