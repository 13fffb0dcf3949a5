"""How exactly delayed tasks start when they are due, on workers that have nothing else to do."""

from typing import Any

from ..figures import share
from ..scenario import Column, Figures, Scenario
from ..trial import Failed, Trial
from .latency import warm_up

RATE = 200.0
SECONDS, QUICK = 3.0, 0.2
DELAY = 1.0


def eta(trial: Trial) -> Figures:
    """So many tasks a second, each due a second later. Each tells how long after that it ran, by the time of day; of
    ours Redis tells, too, when it has started it."""
    if not trial.contender.delays:
        raise Failed("delayed tasks need a further process")
    with trial.workers():
        warm_up(trial)
        count = int(RATE * (QUICK if trial.quick else SECONDS))
        answer = trial.ask("delayed", rate=RATE, count=count, delay=DELAY)
    late = answer["seconds"]
    figures = {"p99": share(late, 0.99), "p50": share(late, 0.5), "first": min(late)}
    if trial.contender.is_ours:
        figures["redis"] = share(late_by_redis(trial.stage.client), 0.99)
    return {**{name: 1000 * value for name, value in figures.items()}, "rate": answer["rate"]}


def late_by_redis(client: Any) -> list[float]:
    """Of each delayed task the seconds from when it was due until it was started. All of it is by Redis's clock, from
    which a countdown is counted."""
    late = []
    for key in client.scan_iter("task:*", count=1000):
        if client.type(key) == b"hash":
            name, created, started = client.hmget(key, "name", "created_at", "started_at")
            late += [float(started) - float(created) - DELAY] if name == b"stamp" else []
    return late


SCENARIOS = (
    Scenario(
        "eta",
        "Delayed tasks, 200 a second: from when they were due until they ran",
        (
            Column("p99", "p99, ms"),
            Column("p50", "p50, ms"),
            Column("first", "earliest, ms"),
            Column("redis", "p99 of the start by Redis, ms"),
            Column("rate", "tasks a second", more_is_better=True),
        ),
        eta,
        one_setting=True,
    ),
)
