"""``python -m tests.faults.kill_runs``: kill -9 of whole workers, and of their children, with the figures.

Whole trees: how many tasks never finished or were recorded twice, and how long after the last start the last one
finished. Children: how long after a kill the tasks that it hit began again.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from minicelery.record import TaskRecord
from tests.real.conftest import Worker
from tests.stack import wait_until

from .crowd import processes_option
from .frame import Ground, asked_for, ground, told
from .history import ends_recorded

MODULE = "tests.faults.tasks"
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


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How often a whole worker is killed, and how often a child, of how many processes."""

    trees: int = 10
    children: int = 50
    processes: int = 1
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

    @property
    def is_good(self) -> bool:
        return not (self.never_finished or self.recorded_twice or self.violations)

    def lines(self) -> list[str]:
        shown = [
            f"{self.tasks} tasks: {self.never_finished} never finished, {self.recorded_twice} recorded twice, "
            f"{self.extra_runs} extra runs, {len(self.violations)} breaches of the law",
        ]
        if self.waits:
            waits = sorted(self.waits)
            shares = {"p50": 0.5, "p99": 0.99, "most": 1.0}
            words = ", ".join(f"{name} {waits[int((len(waits) - 1) * share)]:.3f} s" for name, share in shares.items())
            return [*shown, f"{len(waits)} tasks hit began again after {words}"]
        return [
            *shown,
            f"the last one finished {self.last_after_start:.2f} s after the last start",
            f"claimed by the workers when they were killed: {', '.join(map(str, self.held))}",
        ]


class Run:
    """Tasks of a known number, and the workers that run them."""

    def __init__(self, ground: Ground, options: KillOptions) -> None:
        self.app = ground.app
        self.options = options
        self.random = random.Random(options.seed)
        self._ground = ground
        self._task = self.app.tasks.find("work")
        self._ids: list[str] = []

    def submit(self, count: int) -> None:
        known = len(self._ids)
        calls = (self._task.s(number, self.options.seconds) for number in range(known, known + count))
        self._ids += [result.id for result in self.app.submit_many(calls)]

    def start_worker(self) -> Worker:
        arguments = ("--threads", str(self.options.threads), *processes_option(self.options.processes))
        return self._ground.start(*arguments, MINICELERY_LEASE=str(self.options.lease))

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

    def figures(self, started: float, waits: Sequence[float] = (), held: Sequence[int] = ()) -> Figures:
        records, ends = self.records(), ends_recorded(self._ground.data, self.app.keys.prefix)
        return Figures(
            tasks=len(self._ids),
            never_finished=len(self._ids) - sum(record.finished for record in records),
            recorded_twice=sum(times > 1 for times in ends.values()),
            violations=[str(violation) for violation in self.app.doctor.violations()],
            extra_runs=sum(max(0, record.deliveries - 1) for record in records),
            last_after_start=max(record.updated_at for record in records) - started,
            waits=waits,
            held=held,
        )


def kill_trees(options: KillOptions, folder: Path) -> Figures:
    """Kill -9 of the whole worker at random moments of its work, again and again, and a new start each time."""
    with ground(MODULE, folder) as where:
        run = Run(where, options)
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
        return run.figures(started, held=held)


def kill_children(options: KillOptions, folder: Path) -> Figures:
    """Kill -9 of one child after the other, each in the middle of its tasks, of which there are always enough."""
    with ground(MODULE, folder) as where:
        run = Run(where, options)
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
        return run.figures(started, waits)


def _wait_quietly(condition: Callable[[], bool], patience: float) -> None:
    """Wait, at most so long: what is missing then is for the figures."""
    deadline = time.monotonic() + patience
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


if __name__ == "__main__":
    asked = asked_for(Asked, "kill_runs", __doc__)
    trees = KillOptions(kills=asked.trees, processes=asked.processes, seed=asked.seed)
    children = KillOptions(kills=asked.children, processes=asked.processes, seconds=0.2, seed=asked.seed)
    sys.exit(told(lambda folder: kill_trees(trees, folder), lambda folder: kill_children(children, folder)))
