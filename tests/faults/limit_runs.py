"""``python -m tests.faults.limit_runs``: limits under kill -9, checked from what tasks and Redis have written down.

Six workers run tasks with a rate and tasks with a concurrency, each with two keys; three of the workers are killed with
all their processes at random and started again. When a run began, says the event of its start (for rates, which hold
for claims), and the task itself (for concurrency); a killed run has ended when its process was killed.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import redis

from minicelery import MiniCelery, launch
from minicelery.embedded import EmbeddedServer
from tests.real.conftest import Crew, Worker

from .limit_tasks import CONCURRENCY, KEYS, RATE, RUNS, app

NAMESPACE = "limits"
#: Seconds by which times that are told in whole milliseconds may be off, together.
RESOLUTION = 0.002
APP = "tests.faults.limit_tasks:app"


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """For how many seconds how many workers run, of which ``killed`` are killed, about ``pause`` seconds apart (0:
    none)."""

    seconds: float = 120.0
    workers: int = 6
    killed: int = 3
    pause: float = 1.0
    threads: int = 5
    seed: int = 1


@dataclass
class Figures:
    """What came out, by key: the most runs at the same time; by how many starts a rate was passed in the worst span of
    time, and how many starts there were a second."""

    kills: int = 0
    most_at_once: dict[str, int] = field(default_factory=dict)
    surplus: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    violations: Sequence[str] = ()

    def lines(self) -> list[str]:
        return [
            f"{self.kills} workers killed, {len(self.violations)} breaches of the law",
            *(f"{key}: at most {most} runs at once (limit {CONCURRENCY})" for key, most in self.most_at_once.items()),
            *(
                f"{key}: {rate:.2f} starts a second (limit {RATE}), {self.surplus[key]:+.2f} at worst"
                for key, rate in self.rates.items()
            ),
        ]

    @property
    def is_good(self) -> bool:
        is_kept = all(most <= CONCURRENCY for most in self.most_at_once.values())
        return is_kept and all(more <= RESOLUTION * RATE for more in self.surplus.values()) and not self.violations


class Ear:
    """Writes down when the runs of the paced tasks were started, by Redis's clock; and the key of each by its id."""

    def __init__(self, url: str, prefix: str) -> None:
        self.starts: list[tuple[str, float]] = []
        self._client = redis.Redis.from_url(url, decode_responses=True)
        self._channel = self._client.pubsub(ignore_subscribe_messages=True)
        self._channel.psubscribe(f"{prefix}task:paced-*:events")
        self._channel.get_message(timeout=1)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for message in self._channel.listen():
            event = json.loads(message["data"])
            if event["event"] == "started":
                at = datetime.fromisoformat(event["data"]["at"]).timestamp()
                self.starts.append((event["data"]["task_id"].split("-")[1], at))

    def close(self) -> None:
        self._channel.punsubscribe()  # the listener ends with its last subscription
        self._thread.join(5)
        self._client.close()


@contextmanager
def _served(folder: Path) -> Iterator[tuple[MiniCelery, Crew]]:
    with EmbeddedServer() as server:
        app.configure(redis_url=server.url, namespace=NAMESPACE)
        crew = Crew(server.url, NAMESPACE, folder)
        try:
            yield app, crew
        finally:
            for process in crew.workers:
                launch.kill(process)
            app.clients.close()


def run(options: LimitOptions, folder: Path) -> Figures:
    """Let the workers work and be killed, and check what they have done."""
    chance = random.Random(options.seed)
    figures = Figures()
    with _served(folder) as (app, crew):
        _submit(app, int(options.seconds + 30))
        ear = Ear(app.config.redis_url, app.keys.prefix)
        workers = [_start(crew, options) for _ in range(options.workers)]
        for worker in workers:
            worker.ready()
        ends = time.time() + options.seconds
        deaths: dict[int, float] = {}
        while time.time() < ends:
            pause = chance.uniform(0.5, 1.5) * options.pause if options.pause else options.seconds
            time.sleep(max(0.0, min(pause, ends - time.time())))
            if options.pause and time.time() < ends:
                victim = chance.randrange(options.killed)
                deaths |= _kill(workers[victim])
                workers[victim] = _start(crew, options)
                figures.kills += 1
        now = time.time()
        for worker in workers:
            deaths |= _kill(worker)
        ear.close()
        lines = [json.loads(line) for line in app.clients.commands.lrange(f"{app.keys.prefix}{RUNS}", 0, -1)]
        figures.most_at_once = most_at_once(lines, deaths, now)
        figures.surplus, figures.rates = surplus_and_rate(ear.starts)
        figures.violations = [str(violation) for violation in app.doctor.violations()]
    return figures


def _submit(app: MiniCelery, seconds: int) -> None:
    paced, narrow = app.tasks.find("paced"), app.tasks.find("narrow")
    calls = [
        paced.s(number, key).set(task_id=f"paced-{key}-{number}") for number in range(seconds * RATE) for key in KEYS
    ]
    calls += [narrow.s(number, key) for number in range(seconds * CONCURRENCY * 30) for key in KEYS]
    app.submit_many(calls)


def _start(crew: Crew, options: LimitOptions) -> Worker:
    return crew.start("--threads", str(options.threads), app=APP, MINICELERY_LEASE="600")


def _kill(worker: Worker) -> dict[int, float]:
    """kill -9 of a whole worker: process id → just before when."""
    tree = psutil.Process(worker.process.pid)
    pids = [child.pid for child in tree.children()]
    now = time.time()
    worker.process.kill()
    worker.process.wait(10)
    return dict.fromkeys(pids, now)


def most_at_once(lines: Iterable[dict[str, Any]], deaths: dict[int, float], now: float) -> dict[str, int]:
    """key → the most runs at the same moment. A run without an end has ended with its process."""
    begun: dict[tuple[str, str, int], float] = {}
    changes: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for line in lines:
        run = (line["key"], line["run"], line["pid"])
        if line["what"] == "begin":
            begun[run] = line["at"]
        else:
            changes[line["key"]] += [(begun.pop(run), 1), (line["at"], -1)]
    for (key, _, pid), at in begun.items():
        changes[key] += [(at, 1), (max(at, deaths.get(pid, now)), -1)]
    found = {}
    for key, moves in changes.items():
        running = most = 0
        for _, change in sorted(moves):  # ends before beginnings of the same moment
            running += change
            most = max(most, running)
        found[key] = most
    return found


def surplus_and_rate(starts: Iterable[tuple[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """key → by how many starts the rate was passed in the worst span (below 0: it was not), and starts a second.

    In a span of T seconds at most (T + what a late start may be made up for) / interval + 1 may begin.
    """
    by_key: defaultdict[str, list[float]] = defaultdict(list)
    for key, at in starts:
        by_key[key].append(at)
    interval = 1 / RATE
    slack = max(0.25, min(interval, 1.0))
    surplus, rates = {}, {}
    for key, moments in by_key.items():
        moments.sort()
        lowest, worst = float("inf"), -float("inf")
        for number, at in enumerate(moments):
            level = number - at / interval
            lowest = min(lowest, level)
            worst = max(worst, level - lowest)
        surplus[key] = worst - slack / interval
        rates[key] = (len(moments) - 1) / (moments[-1] - moments[0])
    return surplus, rates


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.limit_runs", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two kills, about; 0: no kills")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = LimitOptions(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="minicelery-limits-") as folder:
        figures = run(options, Path(folder))
    print("\n".join(figures.lines()))
    print(f"VERDICT: {'good' if figures.is_good else 'bad'}")
    return 0 if figures.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
