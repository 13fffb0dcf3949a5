"""``python -m tests.faults.limit_runs``: limits under kill -9, checked from what tasks and Redis have written down.

Six workers run tasks with a rate and tasks with a concurrency, each with two keys; three of the workers are killed with
all their processes at random and started again. When a run began, says the event of its start (for rates, which hold
for claims; the append-only file has to have the same starts), and the task itself (for concurrency); a killed run has
ended when its process was killed.

``--seconds 60 --workers 5 --threads 10 --victims 0``: whether 50 threads of 5 workers hold a rate to ±2 % for a minute.
"""

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from minicelery import MiniCelery

from .frame import Ground, RunOptions, asked_for, run, told
from .history import starts_recorded
from .limit_tasks import CONCURRENCY, KEYS, RATE, RUNS

MODULE = "tests.faults.limit_tasks"
#: Seconds by which times that are told in whole milliseconds may be off, together.
RESOLUTION = 0.002
#: The least and the most starts of a whole run, as shares of what the rate allows. Where workers are killed there may
#: be fewer, since a rate that has stood still for longer than a quarter of a second does not make up for it; and a run
#: with kills that is not long is mostly the start of those that follow.
STEADY, KILLED, BRIEF = (0.98, 1.02), (0.95, 1.02), (0.25, 1.1)
_LONG = 30.0
#: Seconds more than asked for, for which there are tasks.
_SPARE = 10
#: The id of a task, which has its key in it, and when it was started, by Redis's clock.
Start = tuple[str, float]


@dataclass
class Figures:
    """What came out, by key: the most runs at the same time; by how many starts a rate was passed in the worst span of
    time; how many starts there were a second of the whole run; and the tasks of which Redis's events and its
    append-only file tell another number of starts."""

    most_at_once: dict[str, int]
    surplus: dict[str, float]
    rates: dict[str, float]
    untold: Sequence[str] = ()
    wanted: tuple[float, float] = STEADY

    def lines(self) -> list[str]:
        least, top = (RATE * share for share in self.wanted)
        return [
            *(f"{key}: at most {most} runs at once (limit {CONCURRENCY})" for key, most in self.most_at_once.items()),
            *(
                f"{key}: {rate:.2f} starts a second (limit {RATE}, {least:g} to {top:g} wanted), "
                f"{self.surplus.get(key, 0):+.2f} at worst"
                for key, rate in self.rates.items()
            ),
            f"tasks whose starts Redis has told otherwise than put down: {len(self.untold)} {self.untold[:3] or ''}",
        ]

    @property
    def is_good(self) -> bool:
        """Whether each limit was reached, none was passed, and no start was missed."""
        is_reached = all(self.most_at_once.get(key, 0) >= CONCURRENCY for key in KEYS)
        least, top = self.wanted
        is_held = all(least * RATE <= self.rates.get(key, 0) <= top * RATE for key in KEYS)
        is_kept = all(most <= CONCURRENCY for most in self.most_at_once.values())
        is_passed = any(more > RESOLUTION * RATE for more in self.surplus.values())
        return is_reached and is_held and is_kept and not is_passed and not self.untold


class EventListener:
    """Writes down when the runs of the paced tasks were started."""

    def __init__(self, url: str, prefix: str) -> None:
        self.starts: list[Start] = []
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
                self.starts.append((event["data"]["task_id"], at))

    def close(self) -> None:
        self._channel.punsubscribe()  # the listener ends with its last subscription
        self._thread.join(5)
        self._client.close()


class Limits:
    """A case: there are always more tasks than their limits let run."""

    def __init__(self, options: RunOptions) -> None:
        self._seconds = int(options.seconds + _SPARE)
        self._wanted = (KILLED if options.seconds >= _LONG else BRIEF) if options.kills else STEADY

    def begin(self, ground: Ground) -> None:
        self._listener = EventListener(ground.app.config.redis_url, ground.app.keys.prefix)
        _submit(ground.app, self._seconds)
        self._begun = ground.app.agenda.now()

    def finish(self, ground: Ground) -> None:
        """What still waits is left."""
        self._ended = ground.app.agenda.now()

    def judge(self, ground: Ground) -> Figures:
        self._listener.close()
        prefix, starts = ground.app.keys.prefix, self._listener.starts
        texts = ground.app.clients.commands.lrange(f"{prefix}{RUNS}", 0, -1)
        return Figures(
            most_at_once(map(json.loads, texts), ground.deaths, time.time()),
            surplus(starts),
            rates(starts, self._begun, self._ended),
            untold(starts, starts_recorded(ground.data, prefix)),
            self._wanted,
        )


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


def surplus(starts: Iterable[Start]) -> dict[str, float]:
    """key → by how many starts the rate was passed in the worst span (below 0: it was not).

    In a span of T seconds at most (T + what a late start may be made up for) / interval + 1 may begin.
    """
    interval = 1 / RATE
    slack = max(0.25, min(interval, 1.0))
    found = {}
    for key, moments in _by_key(starts).items():
        lowest, worst = float("inf"), -float("inf")
        for number, at in enumerate(moments):
            level = number - at / interval
            lowest = min(lowest, level)
            worst = max(worst, level - lowest)
        found[key] = worst - slack / interval
    return found


def rates(starts: Iterable[Start], since: float, until: float) -> dict[str, float]:
    """key → starts a second between two times of Redis's clock, those in which nothing began included."""
    by_key = _by_key(starts).items()
    return {key: sum(since <= at < until for at in moments) / (until - since) for key, moments in by_key}


def untold(starts: Iterable[Start], recorded: Counter[str]) -> list[str]:
    """The paced tasks that events have told to be started another number of times than Redis has put down."""
    told = Counter(task_id for task_id, _ in starts)
    recorded = Counter({task_id: times for task_id, times in recorded.items() if task_id.startswith("paced-")})
    return sorted(task_id for task_id in told | recorded if told[task_id] != recorded[task_id])


def _by_key(starts: Iterable[Start]) -> dict[str, list[float]]:
    """key → when something began, sorted."""
    by_key: defaultdict[str, list[float]] = defaultdict(list)
    for task_id, at in starts:
        by_key[task_id.split("-")[1]].append(at)
    return {key: sorted(moments) for key, moments in by_key.items()}


if __name__ == "__main__":
    options = asked_for(RunOptions, "limit_runs", __doc__)
    sys.exit(told(lambda folder: run(MODULE, [Limits(options)], options, folder)))
