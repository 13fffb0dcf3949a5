"""``python -m tests.faults.schedule_runs``: workers that are killed all the while fire schedules, with the figures.

20 schedules, half from code and half made at run time, are due every second or every five. What was fired is read off
the tasks' ids and the server's own history.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.schedule import task_id_of
from tests.real.conftest import Crew, Worker, declare
from tests.stack import wait_until

from . import schedule_tasks as module
from .history import ends_recorded, keep_history, submissions_recorded

APP = "tests.faults.schedule_tasks:app"
NAMESPACE = "schedules"
EVERY: Mapping[str, int] = module.OF_CODE | module.ADDED
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How many workers there are, how many of them are killed again and again, and for how long."""

    workers: int = 6
    victims: int = 3
    seconds: float = 120.0
    pause: float = 3.0  #: the longest between two kills
    seed: int = 1


@dataclass(frozen=True)
class ScheduleFigures:
    """What came out: due times in the window, and what was ``missing``, beside them, ``doubled`` or recorded twice."""

    due: int
    missing: Sequence[str]
    undue: Sequence[str]
    doubled: Sequence[str]
    recorded_twice: Sequence[str]
    violations: Sequence[str]
    kills: int
    late: Sequence[float]  #: seconds between due time and task, sorted

    @property
    def is_good(self) -> bool:
        return not (self.missing or self.undue or self.doubled or self.recorded_twice or self.violations)

    def lines(self) -> list[str]:
        half, most = self.late[len(self.late) // 2], self.late[-1]
        return [
            f"{self.due} due times of {len(EVERY)} schedules, {self.kills} kills: {len(self.missing)} missing, "
            f"{len(self.undue)} not due, {len(self.doubled)} fired twice, {len(self.recorded_twice)} recorded twice, "
            f"{len(self.violations)} breaches of the law",
            f"fired after p50 {half * 1000:.1f} ms, p99 {self.late[len(self.late) * 99 // 100] * 1000:.1f} ms, "
            f"most {most * 1000:.1f} ms",
        ]


@dataclass
class _Run:
    app: MiniCelery
    crew: Crew
    options: ScheduleOptions

    def start(self) -> Worker:
        """A worker with so long a lease that nobody can have waited for its end."""
        return self.crew.start("--threads", "2", app=APP, MINICELERY_LEASE="600", MINICELERY_LOG_LEVEL="WARNING")

    def add(self) -> None:
        tick = self.app.tasks.find("tick")
        for name, every in module.ADDED.items():
            self.app.schedules.add(name, tick.s(name), every=every)

    def are_all_there(self) -> bool:
        return sum(record.next is not None for record in self.app.schedules.list()) == len(EVERY)

    def kill_until(self, end: float, workers: list[Worker]) -> int:
        """Kill -9 of one of the victims at random moments, and start another in its place. How often that was."""
        chance, kills = random.Random(self.options.seed), 0
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, chance.uniform(0.1, self.options.pause)))
            victim = chance.randrange(self.options.victims)
            workers[victim].process.kill()
            workers[victim].process.wait(10)
            workers[victim] = self.start()
            kills += 1
        return kills

    def has_finished_all(self) -> bool:
        return all(record is None or record.finished for record in self.app.inspector.tasks(self.ids()))

    def ids(self) -> list[str]:
        return sorted(set(self.app.inspector.task_ids()))

    def figures(self, data: Path, window: tuple[float, float], kills: int) -> ScheduleFigures:
        start, end = window
        slots = {
            task_id_of(name, slot): slot
            for name, every in EVERY.items()
            for slot in range(int(start) // every * every + every, int(end) + 1, every)
        }
        submitted, ends = submissions_recorded(data, f"{NAMESPACE}:"), ends_recorded(data, f"{NAMESPACE}:")
        first, last = (f"{task_id_of('', int(moment))}" for moment in window)
        inside = [one for one in submitted if first < one[one.index(":") :] <= last]
        created = {one.id: one.created_at for one in self.app.inspector.tasks(sorted(slots)) if one}
        return ScheduleFigures(
            due=len(slots),
            missing=sorted(slots.keys() - submitted),
            undue=sorted(set(inside) - slots.keys()),
            doubled=[one for one, times in submitted.items() if times > 1],
            recorded_twice=[one for one, times in ends.items() if times > 1],
            violations=[str(violation) for violation in self.app.doctor.violations()],
            kills=kills,
            late=sorted(at - slots[one] for one, at in created.items()),
        )


@contextmanager
def _run(options: ScheduleOptions, folder: Path) -> Iterator[_Run]:
    with EmbeddedServer(ServerOptions(data=folder / "data")) as server:
        config = Config(redis_url=server.url, namespace=NAMESPACE)
        app = declare(MiniCelery("schedules", config=config, clients=connect(config)), module.app)
        keep_history(app.clients.commands)
        crew = Crew(server.url, NAMESPACE, folder)
        try:
            yield _Run(app, crew, options)
        finally:
            for process in crew.workers:
                launch.kill(process)
            app.clients.close()


def fire_under_kills(options: ScheduleOptions, folder: Path) -> ScheduleFigures:
    """Let the workers fire for so many seconds while some of them die, and look what they have fired."""
    with _run(options, folder) as run:
        workers = [run.start() for _ in range(options.workers)]
        run.add()
        wait_until(run.are_all_there, _PATIENCE, "the declaration of the schedules")
        start = run.app.agenda.now()
        kills = run.kill_until(time.monotonic() + options.seconds, workers)
        end = run.app.agenda.now()
        # Whoever is alive has fired what was due by then, or does so in a moment.
        wait_until(lambda: all((one.next or 0) > end for one in run.app.schedules.list()), _PATIENCE, "the last ones")
        for name in EVERY:
            run.app.schedules.pause(name)
        wait_until(run.has_finished_all, _PATIENCE, "the end of all tasks")
        return run.figures(folder / "data", (start, end), kills)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.schedule_runs", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--victims", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = ScheduleOptions(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="minicelery-schedules-") as folder:
        figures = fire_under_kills(options, Path(folder))
    print("\n".join(figures.lines()))
    return 0 if figures.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
