"""``python -m tests.faults.lock_runs``: workers that all want one lock, some killed and some stopped, with the figures.

Every begin and end under the lock is put down in Redis, in its order, and so are the kills and stops. These records
tell whether two ever held it, and whether the store behind it took anything from one whose time was over.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil

from minicelery import MiniCelery
from minicelery.identity import mark
from tests.real.conftest import Crew
from tests.stack import stand_still, wait_until

from .frame import Ground, RunOptions, asked_for, ground, told
from .lock_tasks import HISTORY, NAME, TTL, note

MODULE = "tests.faults.lock_tasks"
_BACKLOG = 200
#: Tasks that contend for the lock at a time, where workers have others to run, too. Few: who dies while it waits keeps
#: its place for a while, and the next kill is to meet one that holds it.
_CONTENDERS = 3
#: How long each of them holds it, and more than can do so in a second.
_HELD, _A_SECOND = 0.2, 5
#: Less than that, so that whoever is idle begins the next one, and not always the thread that has ended one.
_RATE = "4/s"
#: Seconds more than asked for, for which there are tasks.
_SPARE = 10
#: Seconds after which a kill has surely met a holder.
_ENOUGH = 30


@dataclass(frozen=True, kw_only=True)
class LockOptions:
    """How many workers there are, how many of them are killed, and how often one is stopped for longer than the ttl."""

    workers: int = 6
    kills: int = 3
    stops: int = 3
    threads: int = 2  #: of each worker; 0: no workers, but processes that do nothing but take the lock
    between: int = 20  #: holdings before each blow; 0: one kill follows the other at random within a fifth of a second
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.kills < self.workers:
            raise ValueError(f"{self.kills} kills leave none of {self.workers} workers; give fewer")


@dataclass
class Verdict:
    """What the records say. ``beliefs``: how often one began while another, which was stopped, had not ended."""

    holdings: int = 0
    overlaps: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)  #: tokens that did not grow
    stale_writes: list[str] = field(default_factory=list)  #: that the store took after one with a larger token
    beliefs: int = 0
    refused: int = 0
    waits: list[float] = field(default_factory=list)  #: seconds from a kill of a holder until the next holding
    least_waits: int = 0  #: so many holders had to die, and to be followed

    @property
    def is_good(self) -> bool:
        """Whether it was held, by those who follow a dead holder, too, and never by two."""
        is_tried = self.holdings > 0 and len(self.waits) >= self.least_waits
        return is_tried and not (self.overlaps or self.backwards or self.stale_writes)

    def lines(self) -> list[str]:
        waits = f"{max(self.waits):.2f} s" if self.waits else "none"
        return [
            f"holdings of the lock: {self.holdings:,}",
            f"held by two: {len(self.overlaps)} {self.overlaps[:3] or ''}",
            f"tokens that did not grow: {len(self.backwards)}",
            f"begun while one that was stopped believed to hold it: {self.beliefs}",
            f"stale writes refused: {self.refused}, taken: {len(self.stale_writes)}",
            f"holders that died and were followed: {len(self.waits)}, at least {self.least_waits} wanted",
            f"longest wait after the death of a holder: {waits}",
        ]


def judge(records: Sequence[str]) -> Verdict:
    """Read the records in their order."""
    verdict = Verdict()
    inside: dict[str, str] = {}  # token → process that has begun and not ended
    stopped: set[str] = set()  # tokens whose process has been stopped inside
    largest = written = 0
    orphaned = None  # since when the lock is that of a dead process
    for record in records:
        word, token, pid, at = record.split()
        if word == "begin":
            verdict.waits += [] if orphaned is None else [float(at) - orphaned]
            orphaned = None
            others = [other for other in inside if other not in stopped]
            verdict.overlaps += [f"{other} and {token}" for other in others]
            verdict.beliefs += any(other in stopped for other in inside)
            verdict.backwards += [record] if int(token) <= largest else []
            largest = max(largest, int(token))
            inside[token] = pid
            verdict.holdings += 1
        elif word == "end":
            inside.pop(token, None)
        elif word == "stopped":
            stopped |= {held for held, holder in inside.items() if holder == pid}
        elif word == "killed":
            orphaned = float(at) if pid in inside.values() else orphaned
            inside = {held: holder for held, holder in inside.items() if holder != pid}
        elif word == "write":
            verdict.stale_writes += [record] if int(token) < written else []
            written = max(written, int(token))
        elif word == "refused":
            verdict.refused += 1
    return verdict


class Hands:
    """Processes that do nothing but take the lock, as long as they live."""

    def __init__(self, crew: Crew, options: LockOptions) -> None:
        self._parent = crew.run("-m", MODULE, str(options.workers))

    def pids(self) -> list[int]:
        return [child.pid for child in psutil.Process(self._parent.process.pid).children()]

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def feed(self, app: MiniCelery) -> None:
        """They need nothing."""


class Workers:
    """Workers, each with one process, whose tasks take the lock."""

    def __init__(self, crew: Crew, options: LockOptions) -> None:
        more = ("--threads", str(options.threads))
        started = [crew.start(*more, app=f"{MODULE}:app") for _ in range(options.workers)]
        self._workers = {worker.ready().child().pid: worker for worker in started}

    def pids(self) -> list[int]:
        return list(self._workers)

    def kill(self, pid: int) -> None:
        """Kill the whole worker; its child goes along."""
        self._workers.pop(pid).process.kill()

    def feed(self, app: MiniCelery) -> None:
        """See to it that there is always enough to do."""
        if app.inspector.queue_length("default") < _BACKLOG / 2:
            app.submit_many(app.tasks.find("hold").s(0.005) for _ in range(_BACKLOG))


class Run:
    """Processes that take the lock all the time, and what is done to them."""

    def __init__(self, app: MiniCelery, crowd: Hands | Workers, options: LockOptions) -> None:
        self.app = app
        self.crowd = crowd
        self.options = options
        self.random = random.Random(options.seed)
        self._client = app.clients.commands

    def records(self) -> list[str]:
        return _records(self.app)

    def holdings(self) -> int:
        return sum(record.startswith("begin") for record in self.records())

    def has_gone_on(self, since: int) -> bool:
        """Whether there have been so many holdings."""
        self.crowd.feed(self.app)
        return self.holdings() >= since

    def go_on(self, more: int) -> None:
        wait_until(partial(self.has_gone_on, self.holdings() + more), 60, "further holdings")

    def holder(self) -> int:
        """The process that has the lock at this moment, or had it just now."""
        return int([record for record in self.records() if record.startswith("begin")][-1].split()[2])

    def kill(self) -> None:
        """Kill -9, half of the time of the one that holds the lock; it is not started again."""
        holder, pids = self.holder(), self.crowd.pids()
        pid = holder if holder in pids and self.random.random() < 0.5 else self.random.choice(pids)
        self.crowd.kill(pid)
        wait_until(lambda: not mark(pid), what="the end of the process")
        note(self._client, "killed", pid=pid)

    def stop(self) -> None:
        """Let a process that holds the lock stand still until others have had it, and go on."""
        pid = self._stop_a_holder()
        try:
            self.go_on(3)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _stop_a_holder(self) -> int:
        while True:
            self.go_on(1)
            pid = self.holder()
            stand_still(pid)
            words = [record.split() for record in self.records()]
            begun = {token for word, token, holder, _ in words if (word, holder) == ("begin", str(pid))}
            if begun - {token for word, token, *_ in words if word == "end"}:
                note(self._client, "stopped", pid=pid)
                return pid
            os.kill(pid, signal.SIGCONT)


def _records(app: MiniCelery) -> list[str]:
    return [str(record) for record in app.clients.commands.lrange(HISTORY, 0, -1)]


def holder_of(records: Sequence[str]) -> int:
    """The process that has the lock after these records, of which the last is enough; 0 if none has."""
    word, _, pid, _ = records[-1].split() if records else ("end", "", "0", "")
    return int(pid) if word in ("begin", "write") else 0


def _wait_until_free(app: MiniCelery) -> None:
    wait_until(lambda: not app.locks.held(), 5 * TTL, f"the end of the lock '{NAME}' of the dead")


class Locks:
    """A case: tasks of workers take the lock one after the other; whose process is killed is put down there, too."""

    def __init__(self, options: RunOptions) -> None:
        self._count = int(options.seconds + _SPARE) * _A_SECOND
        self.least_waits = int(options.kills and options.seconds >= _ENOUGH)

    def begin(self, ground: Ground) -> None:
        app = ground.app
        ground.targets.append(lambda: holder_of(app.clients.commands.lrange(HISTORY, -1, -1)))
        ground.on_death.append(lambda pid: note(app.clients.commands, "killed", pid=pid))
        app.limits.set_task("hold", concurrency=_CONTENDERS, rate=_RATE)
        app.submit_many(app.tasks.find("hold").s(_HELD) for _ in range(self._count))

    def finish(self, ground: Ground) -> None:
        """What still waits is left."""

    def judge(self, ground: Ground) -> Verdict:
        _wait_until_free(ground.app)
        return replace(judge(_records(ground.app)), least_waits=self.least_waits)


def kill_and_stop(options: LockOptions, folder: Path) -> Verdict:
    """Kill some for good and stop others for a while, at random moments, one after the other."""
    with ground(MODULE, folder) as where:
        crowd = Workers(where.crew, options) if options.threads else Hands(where.crew, options)
        run = Run(where.app, crowd, options)
        run.go_on(1)
        blows = [run.kill] * options.kills + [run.stop] * options.stops
        run.random.shuffle(blows)
        for blow in blows:
            if options.between:
                run.go_on(options.between)
            time.sleep(run.random.uniform(0, 0.01 if options.between else 0.2))
            blow()
        run.go_on(options.between or 20)
        for pid in run.crowd.pids():
            run.crowd.kill(pid)
        _wait_until_free(where.app)
        return judge(run.records())


if __name__ == "__main__":
    options = asked_for(LockOptions, "lock_runs", __doc__)
    sys.exit(told(lambda folder: kill_and_stop(options, folder)))
