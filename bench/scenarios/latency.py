"""How long a task is under way: from idle until its result is back, and under load until it has run."""

import functools

from ..figures import share
from ..scenario import Column, Figures, Scenario
from ..trial import Trial

PAUSE = 0.005
RATE = 200.0
SECONDS = 3.0
#: One sender can't do much more, and the load is to be on the workers.
MOST = 2_000.0
COLUMNS = (Column("p50", "p50, ms"), Column("p99", "p99, ms"))


def from_idle(trial: Trial) -> Figures:
    """One task at a time, its result waited for, with a pause before the next."""
    with trial.workers():
        warm_up(trial)
        seconds = trial.ask("round_trips", count=20 if trial.quick else 1000, pause=PAUSE)["seconds"]
    return _in_ms(seconds)


def under_load(trial: Trial, *, half: bool) -> Figures:
    """So many tasks a second, each telling how long after its sending it ran."""
    with trial.workers():
        warm_up(trial)
        rate = half_load(trial) if half else RATE
        answer = trial.ask("paced", rate=rate, count=int(rate * (0.2 if trial.quick else SECONDS)))
    return {**_in_ms(answer["seconds"]), "rate": answer["rate"]}


def half_load(trial: Trial) -> float:
    """Half of what the sender and the workers reach together on this machine when the sender does not wait."""
    count = max(100, trial.contender.pace // (20 if trial.quick else 3))
    done: float = trial.ask("paced", rate=1e9, count=count)["done"]
    return min(done / 2, MOST)


def warm_up(trial: Trial) -> None:
    """Until the workers have run as many tasks as make sure that each of their processes is there."""
    for _ in range(20):
        trial.ask("send", task="noop", args=[])
    for _ in range(20):
        trial.ask("wait")


def _in_ms(seconds: list[float]) -> dict[str, float]:
    return {"p50": share(seconds, 0.5) * 1000, "p99": share(seconds, 0.99) * 1000}


def _under_load(name: str, title: str, *, half: bool) -> Scenario:
    columns = (*COLUMNS, Column("rate", "tasks a second"))
    return Scenario(name, title, columns, functools.partial(under_load, half=half), one_setting=True, once=half)


SCENARIOS = (
    Scenario("latency", "Latency from idle: sent until the result is back", COLUMNS, from_idle, one_setting=True),
    _under_load("latency-200", "Latency at 200 tasks a second: sent until it ran", half=False),
    _under_load("latency-half", "Latency at half load: sent until it ran", half=True),
)
