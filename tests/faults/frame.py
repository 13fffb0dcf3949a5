"""What runs under kill -9 have in common: a server, workers of which some are killed all the while, and a verdict."""

import argparse
import importlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions
from tests.real.conftest import Crew, Worker, declare
from tests.stack import wait_until

from . import scene
from .history import keep_history

PATIENCE = 60.0
#: The queue is what is tried here, not the disk.
_MEMORY = Path("/dev/shm")
#: Nobody can have waited for its end.
_LEASE = "600"
#: Seconds between two looks for somebody to kill.
_LOOK = 0.01
Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """For how many seconds how many workers run, of which ``victims`` are killed, about ``pause`` seconds apart. Where
    one of these is 0, none is killed."""

    seconds: float = 120.0
    workers: int = 6
    victims: int = 3
    pause: float = 1.0
    threads: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1 or not 0 <= self.victims <= self.workers:
            raise ValueError(
                f"of {self.workers} workers {self.victims} can't be killed; give one worker or more, and 0 "
                "to as many victims"
            )

    @property
    def kills(self) -> bool:
        """Whether any worker is killed."""
        return bool(self.pause and self.victims)


@dataclass
class Ground:
    """A server that keeps its history, in the folder ``data``; an app that sends the tasks of ``module``; and the crew
    of those who run them."""

    module: str
    app: MiniCelery
    crew: Crew
    data: Path
    deaths: dict[int, float] = field(
        default_factory=dict
    )  #: process id → just before it was killed, by the time of day
    targets: list[Callable[[], int]] = field(default_factory=list)  #: the processes (0: none) that are best killed now
    on_death: list[Callable[[int], None]] = field(default_factory=list)  #: called with each process that is gone

    def start(self, *arguments: str, **environ: str) -> Worker:
        return self.crew.start(*arguments, app=f"{self.module}:app", **environ)

    def kill(self, worker: Worker) -> None:
        """kill -9 of a whole worker. All that it had sent is done when the callbacks are called."""
        children, now = _children(worker), time.time()
        scene.kill(worker)
        self.app.clients.commands.ping()
        for pid in children:
            self.deaths[pid] = now
            for callback in self.on_death:
                callback(pid)


def _children(worker: Worker) -> list[int]:
    return [child.pid for child in psutil.Process(worker.process.pid).children()]


class Outcome(Protocol):
    """What came out of a run."""

    @property
    def is_good(self) -> bool: ...

    def lines(self) -> list[str]: ...


class Case(Protocol):
    """Something that has to hold while workers are killed."""

    def begin(self, ground: Ground) -> None:
        """Give the workers, which are there, something to do."""

    def finish(self, ground: Ground) -> None:
        """Nobody is killed any more, and the workers are there yet."""

    def judge(self, ground: Ground) -> Outcome:
        """What came out, now that all workers are dead."""


@dataclass(frozen=True)
class Verdict:
    """What came out of a run with several cases. One in which nobody died tells of no kills."""

    kills: int
    violations: Sequence[str]
    outcomes: Sequence[Outcome]

    @property
    def is_good(self) -> bool:
        return not self.violations and all(one.is_good for one in self.outcomes)

    def lines(self) -> list[str]:
        shown = [f"{self.kills} workers killed, {len(self.violations)} breaches of the law {self.violations[:3] or ''}"]
        return [*shown, *(line for one in self.outcomes for line in one.lines())]


class Workers:
    """Workers of which some are killed at random moments, and others started in their place."""

    def __init__(self, ground: Ground, options: RunOptions) -> None:
        self.kills = 0
        self._ground = ground
        self._options = options
        self._random = random.Random(options.seed)
        self._workers = [self._start() for _ in range(options.workers)]
        wait_until(self._are_there, PATIENCE, "the start of the workers")

    def kill_some(self) -> None:
        """For the seconds of the options."""
        ends = time.monotonic() + self._options.seconds
        pause = self._options.pause if self._options.kills else 0
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, self._random.uniform(0.5, 1.5) * pause) if pause else left)
            if pause and time.monotonic() < ends:
                victim = self._victim()
                self._ground.kill(self._workers[victim])
                self._workers[victim] = self._start()
                self.kills += 1

    def _victim(self) -> int:
        """One at random; every second time one whose process a case wants to be killed, if there is any soon."""
        victims = range(self._options.victims)
        if self._ground.targets and self.kills % 2:
            processes = {pid: one for one in victims for pid in _children(self._workers[one])}
            ends = time.monotonic() + min(2 * self._options.pause, self._options.seconds / 10)
            while time.monotonic() < ends:
                for target in self._ground.targets:
                    if (pid := target()) in processes:
                        return processes[pid]
                time.sleep(_LOOK)
        return self._random.choice(victims)

    def kill_all(self) -> None:
        for worker in self._workers:
            self._ground.kill(worker)

    def _start(self) -> Worker:
        settings = {"MINICELERY_LEASE": _LEASE, "MINICELERY_LOG_LEVEL": "WARNING"}
        return self._ground.start("--threads", str(self._options.threads), **settings)

    def _are_there(self) -> bool:
        return len(self._ground.app.inspector.worker_ids()) >= self._options.workers


@contextmanager
def ground(module: str, folder: Path) -> Iterator[Ground]:
    """Ends all that was started on it."""
    source: MiniCelery = importlib.import_module(module).app
    namespace = module.rpartition(".")[2]
    with EmbeddedServer(ServerOptions(data=folder / "data")) as server:
        config = Config(redis_url=server.url, namespace=namespace)
        app = declare(MiniCelery(namespace, config=config, clients=connect(config)), source)
        keep_history(app.clients.commands)
        crew = Crew(server.url, namespace, folder)
        try:
            yield Ground(module, app, crew, folder / "data")
        finally:
            for process in crew.workers:
                launch.kill(process)
            app.clients.close()


def run(module: str, cases: Sequence[Case], options: RunOptions, folder: Path) -> Verdict:
    """Let workers work and be killed, and see what came out of each case."""
    with ground(module, folder) as where:
        workers = Workers(where, options)
        for case in cases:
            case.begin(where)
        workers.kill_some()
        for case in cases:
            case.finish(where)
        workers.kill_all()
        outcomes = [case.judge(where) for case in cases]
        violations = [str(violation) for violation in where.app.doctor.violations()]
        return Verdict(workers.kills, violations, outcomes)


def asked_for(kind: type[Options], module: str, description: str | None) -> Options:
    """The options on the command line: each field of a class, with its default."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{module}", description=description)
    defaults: Any = kind()
    for one in fields(defaults):
        value = getattr(defaults, one.name)
        parser.add_argument(f"--{one.name}", type=type(value), default=value, help=f"{value}")
    arguments = vars(parser.parse_args())
    try:
        return kind(**arguments)
    except ValueError as error:
        parser.error(str(error))


def told(*runs: Callable[[Path], Outcome]) -> int:
    """Make runs, each in a folder of its own, and print what came out; the last line is the verdict. The exit code."""
    is_good = True
    for one in runs:
        with tempfile.TemporaryDirectory(prefix="minicelery-run-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
            outcome = one(Path(folder))
        print("\n".join(outcome.lines()))
        is_good = is_good and outcome.is_good
    print(f"VERDICT: {'good' if is_good else 'BAD'}")
    return 0 if is_good else 1
