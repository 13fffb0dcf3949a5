"""``python -m tests.faults.limit_runs``: limits under kill -9, checked from what tasks and Redis have written down.

Six workers run tasks with a rate and tasks with a concurrency, each with two keys; three of the workers are killed with
all their processes at random and started again. When a run began, says the event of its start (for rates, which hold
for claims), and the task itself (for concurrency); a killed run has ended when its process was killed.
"""

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis

from minicelery import MiniCelery

from .frame import Ground, RunOptions, asked_for, run, told
from .limit_tasks import CONCURRENCY, KEYS, RATE, RUNS

MODULE = "tests.faults.limit_tasks"
#: Seconds by which times that are told in whole milliseconds may be off, together.
RESOLUTION = 0.002
#: Seconds more than asked for, for which there are tasks.
_SPARE = 10


@dataclass
class Figures:
    """What came out, by key: the most runs at the same time; by how many starts a rate was passed in the worst span of
    time, and how many starts there were a second."""

    most_at_once: dict[str, int] = field(default_factory=dict)
    surplus: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        return [
            *(f"{key}: at most {most} runs at once (limit {CONCURRENCY})" for key, most in self.most_at_once.items()),
            *(
                f"{key}: {rate:.2f} starts a second (limit {RATE}), {self.surplus[key]:+.2f} at worst"
                for key, rate in self.rates.items()
            ),
        ]

    @property
    def is_good(self) -> bool:
        """Whether no limit was passed, and there was something that could have passed each."""
        is_tried = all(self.rates.get(key, 0) > 0 and self.most_at_once.get(key, 0) > 1 for key in KEYS)
        is_kept = all(most <= CONCURRENCY for most in self.most_at_once.values())
        return is_tried and is_kept and all(more <= RESOLUTION * RATE for more in self.surplus.values())


class EventListener:
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


class Limits:
    """A case: there are always more tasks than their limits let run."""

    def __init__(self, seconds: float) -> None:
        self._seconds = int(seconds + _SPARE)

    def begin(self, ground: Ground) -> None:
        self._listener = EventListener(ground.app.config.redis_url, ground.app.keys.prefix)
        _submit(ground.app, self._seconds)

    def finish(self, ground: Ground) -> None:
        """What still waits is left."""

    def judge(self, ground: Ground) -> Figures:
        self._listener.close()
        texts = ground.app.clients.commands.lrange(f"{ground.app.keys.prefix}{RUNS}", 0, -1)
        surplus, rates = surplus_and_rate(self._listener.starts)
        return Figures(most_at_once(map(json.loads, texts), ground.deaths, time.time()), surplus, rates)


def _submit(app: MiniCelery, seconds: int) -> None:
    paced, narrow = app.tasks.find("paced"), app.tasks.find("narrow")
    calls = [
        paced.s(number, key).set(task_id=f"paced-{key}-{number}") for number in range(seconds * RATE) for key in KEYS
    ]
    calls += [narrow.s(number, key) for number in range(seconds * CONCURRENCY * 30) for key in KEYS]
    app.submit_many(calls)


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


if __name__ == "__main__":
    options = asked_for(RunOptions, "limit_runs", __doc__)
    sys.exit(told(lambda folder: run(MODULE, [Limits(options.seconds)], options, folder)))
