"""``python -m tests.faults.kill_runs``: kill -9 of whole workers, and of their children, with the figures.

Whole trees: how many tasks never finished or were recorded twice, and how long after the last start the last one
finished. Children: how long after a kill the tasks that it hit began again.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.record import TaskRecord
from tests.real.conftest import Crew, Worker
from tests.stack import wait_until

from .conftest import declare
from .crowd import APP, processes_option
from .history import ends_recorded, keep_history

NAMESPACE = "kills"
_DEFAULT_LEASE = 15.0


@dataclass(frozen=True, kw_only=True)
class KillOptions:
    """How many tasks there are, each of some seconds, and how often something is killed."""

    tasks: int = 500
    seconds: float = 0.02
    kills: int = 10
    threads: int = 5
    processes: int = 1
    lease: float = _DEFAULT_LEASE
    patience: float = 60.0
    seed: int = 1


@dataclass(frozen=True)
class Figures:
    """What came out. ``waits`` are seconds: of each task that a kill hit, until it began again. ``held``: how many
    tasks a worker had claimed and not recorded when it was killed, for each."""

    tasks: int
    never_finished: int
    recorded_twice: int
    violations: Sequence[str]
    extra_runs: int
    last_after_start: float
    waits: Sequence[float] = ()
    held: Sequence[int] = ()

    def lines(self) -> list[str]:
        shown = [
            f"{self.tasks} tasks: {self.never_finished} never finished, {self.recorded_twice} recorded twice, "
            f"{self.extra_runs} extra runs, {len(self.violations)} breaches of the law",
        ]
        if self.waits:
            waits = sorted(self.waits)
            shares = {"p50": 0.5, "p99": 0.99, "most": 1.0}
            told = ", ".join(f"{name} {waits[int((len(waits) - 1) * share)]:.3f} s" for name, share in shares.items())
            return [*shown, f"{len(waits)} tasks hit began again after {told}"]
        return [
            *shown,
            f"the last one finished {self.last_after_start:.2f} s after the last start",
            f"claimed by the workers when they were killed: {', '.join(map(str, self.held))}",
        ]


class Run:
    """Tasks of a known number in a namespace of their own, and the workers that run them."""

    def __init__(self, app: MiniCelery, crew: Crew, options: KillOptions) -> None:
        self.app = app
        self.options = options
        self.random = random.Random(options.seed)
        self._crew = crew
        self._task = app.tasks.find("work")
        self._ids: list[str] = []

    def submit(self, count: int) -> None:
        known = len(self._ids)
        calls = (self._task.s(number, self.options.seconds) for number in range(known, known + count))
        self._ids += [result.id for result in self.app.submit_many(calls)]

    def start_worker(self) -> Worker:
        arguments = ("--threads", str(self.options.threads), *processes_option(self.options.processes))
        return self._crew.start(*arguments, app=APP, MINICELERY_LEASE=str(self.options.lease))

    def records(self) -> list[TaskRecord]:
        return [record for record in self.app.inspector.tasks(self._ids) if record]

    def finished(self) -> int:
        return sum(record.finished for record in self.records())

    def waiting(self) -> int:
        return self.app.inspector.queue_length("default")

    def has_taken_of(self, waiting: int) -> bool:
        return self.waiting() < waiting

    def has_finished_all(self) -> bool:
        return self.finished() == len(self._ids)

    def have_moved_on(self, hit: Sequence[TaskRecord]) -> bool:
        """Whether all of these have begun again, or were finished after all."""
        now = {record.id: record for record in self.records()}
        return all(now[one.id].deliveries > one.deliveries or now[one.id].finished for one in hit)

    def hit(self, worker: Worker) -> tuple[psutil.Process, list[TaskRecord]] | None:
        """A child that has something in hand, with the tasks."""
        children = {child.pid: child for child in psutil.Process(worker.process.pid).children()}
        for one in self.app.inspector.workers():
            child = children.get(int(str(one.info.get("pid", 0))))
            if child and one.claimed:
                return child, [record for record in self.records() if record.worker == one.id and not record.finished]
        return None

    def held(self) -> int:
        """How many tasks are claimed by anybody, dead or alive."""
        return sum(worker.claimed for worker in self.app.inspector.workers())

    def figures(self, data: Path, started: float, waits: Sequence[float] = (), held: Sequence[int] = ()) -> Figures:
        records = self.records()
        return Figures(
            tasks=len(self._ids),
            never_finished=len(self._ids) - sum(record.finished for record in records),
            recorded_twice=sum(times > 1 for times in ends_recorded(data, f"{NAMESPACE}:").values()),
            violations=[str(violation) for violation in self.app.doctor.violations()],
            extra_runs=sum(max(0, record.deliveries - 1) for record in records),
            last_after_start=max(record.updated_at for record in records) - started,
            waits=waits,
            held=held,
        )


@contextmanager
def _run(options: KillOptions, folder: Path) -> Iterator[Run]:
    with EmbeddedServer(ServerOptions(data=folder / "data")) as server:
        config = Config(redis_url=server.url, namespace=NAMESPACE)
        app = declare(MiniCelery("kills", config=config, clients=connect(config)))
        keep_history(app.clients.commands)
        crew = Crew(server.url, NAMESPACE, folder)
        try:
            yield Run(app, crew, options)
        finally:
            for process in crew.workers:
                launch.kill(process)
            app.clients.close()


def kill_trees(options: KillOptions, folder: Path) -> Figures:
    """Kill -9 of the whole worker at random moments of its work, again and again, and a new start each time."""
    with _run(options, folder) as run:
        run.submit(options.tasks)
        longest = options.tasks * options.seconds / options.threads / options.processes / options.kills
        started, worker = time.time(), run.start_worker()
        held: list[int] = []
        for _ in range(options.kills):
            before = run.waiting()
            wait_until(partial(run.has_taken_of, before), options.patience, "the work of a new worker")
            time.sleep(run.random.uniform(0, longest))
            worker.process.kill()
            worker.process.wait(10)
            held.append(run.held())
            started, worker = time.time(), run.start_worker()
        _wait_quietly(run.has_finished_all, options.patience)
        return run.figures(folder / "data", started, held=held)


def kill_children(options: KillOptions, folder: Path) -> Figures:
    """Kill -9 of one child after the other, each in the middle of its tasks, of which there are always enough."""
    with _run(options, folder) as run:
        started, worker = time.time(), run.start_worker()
        waits: list[float] = []
        for _ in range(options.kills):
            run.submit(options.threads * options.processes * 2)
            child, hit = wait_until(partial(run.hit, worker), options.patience, "tasks in the hands of a child")
            time.sleep(run.random.uniform(0, options.seconds / 2))
            killed = time.time()
            child.kill()
            wait_until(partial(run.have_moved_on, hit), options.patience, "the next run of what was hit")
            again = {record.id: record for record in run.records()}
            rerun = [again[one.id] for one in hit if again[one.id].deliveries > one.deliveries]
            waits += [(record.started_at or 0) - killed for record in rerun]
            _wait_quietly(run.has_finished_all, options.patience)  # what is hit twice would go into quarantine
        return run.figures(folder / "data", started, waits)


def _wait_quietly(condition: Callable[[], bool], patience: float) -> None:
    """Wait, at most so long: what is missing then is for the figures."""
    deadline = time.monotonic() + patience
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill_runs", description=__doc__)
    parser.add_argument("--tree-kills", type=int, default=10)
    parser.add_argument("--child-kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    trees = KillOptions(kills=given.tree_kills, processes=given.processes, seed=given.seed)
    children = KillOptions(kills=given.child_kills, processes=given.processes, seconds=0.2, seed=given.seed)
    is_good = True
    for title, run, options in (("Whole workers", kill_trees, trees), ("Children", kill_children, children)):
        with tempfile.TemporaryDirectory(prefix="minicelery-kills-") as folder:
            figures = run(options, Path(folder))
        print("\n".join([f"{title}, killed {options.kills} times:", *(f"  {line}" for line in figures.lines())]))
        is_good = is_good and not (figures.never_finished or figures.recorded_twice or figures.violations)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
