"""How long the few tasks of one tenant take while others have flooded the queue."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..contender import OURS
from ..figures import share
from ..scenario import Column, Figures, Scenario
from ..trial import PATIENCE, Trial
from .latency import warm_up

#: It takes 20 ms, and leaves a mark.
TASK, MARKS = "mark", "bench:marks"
#: The tasks of the tenant that floods, of each further one that has enough to do, and of the one that is looked at.
FLOOD, ENOUGH, FEW = 10_000, 1_000, 10
QUICK_FLOOD, QUICK_ENOUGH = 200, 50
TIMES, QUICK_TIMES = 5, 1
#: The tasks of the others over which a service time is taken, before the ten are sent.
STEADY, QUICK_STEADY = 500, 50


@dataclass(frozen=True)
class Condition:
    """So many tenants have tasks at once, the one that is looked at included."""

    tenants: int
    is_fair: bool = True

    @property
    def allowed(self) -> float:
        """The most service times that are promised."""
        return 2.0 * self.tenants


CONDITIONS = {
    "without": (Condition(2, is_fair=False), "2 tenants, without a fair_key"),
    "two": (Condition(2), "2 tenants"),
    "ten": (Condition(10), "10 tenants"),
}


@dataclass(frozen=True)
class Measured:
    """The seconds of a service time while the flood ran alone; of each ten tasks the seconds, and how many of others
    were done meanwhile."""

    service: float
    seconds: Sequence[float]
    others: Sequence[int]

    def figures(self) -> dict[str, float]:
        return {
            "half": 1000 * share(self.seconds, 0.5),
            "most": 1000 * max(self.seconds),
            "service": 1000 * self.service,
            "times": max(self.seconds) / self.service,
            "others": max(self.others),
        }


def fairness(trial: Trial) -> Figures:
    """From the sending of ten tasks until the last result is here, some times over, always of another tenant."""
    figures: dict[str, float] = {}
    for name, (condition, _) in CONDITIONS.items():
        trial.stage.client.flushall()
        with trial.workers():
            warm_up(trial)
            found = measured(trial, condition)
        figures |= {f"{name}_{figure}": value for figure, value in found.figures().items()}
        figures[f"{name}_allowed"] = condition.allowed
    return figures


def measured(trial: Trial, condition: Condition) -> Measured:
    """Flood the queue, take the service time from that alone, and send the ten tasks."""
    flood, enough = (QUICK_FLOOD, QUICK_ENOUGH) if trial.quick else (FLOOD, ENOUGH)
    for number in range(condition.tenants - 1):
        send(trial, condition, f"busy-{number}", enough if number else flood)
    service = service_time(trial)
    times = TIMES if condition.is_fair and not trial.quick else QUICK_TIMES
    seconds, others = [], []
    for number in range(times):
        before = done(trial)
        seconds.append(send(trial, condition, f"small-{number}", FEW, until_done=True))
        others.append(done(trial) - before - FEW)
    return Measured(service, seconds, others)


def service_time(trial: Trial) -> float:
    """The seconds that a slot of the workers has for one task, with so much to do that none is ever idle."""
    wanted = QUICK_STEADY if trial.quick else STEADY
    begun, before = time.perf_counter(), done(trial)
    trial.until(lambda: done(trial) >= before + wanted, PATIENCE, f"the running of {wanted} tasks")
    passed, count = time.perf_counter() - begun, done(trial) - before
    return passed * trial.contender.slots / count


def done(trial: Trial) -> int:
    """How many tasks have left their marks."""
    return int(trial.stage.client.llen(MARKS))


def send(trial: Trial, condition: Condition, tenant: str, count: int, *, until_done: bool = False) -> float:
    """Send tasks of a tenant; the seconds that it took."""
    wish = {"tenant": tenant, "task": TASK, "count": count, "is_fair": condition.is_fair, "until_done": until_done}
    seconds: float = trial.ask("of_tenant", **wish)["seconds"]
    return seconds


_figure = partial(Column, is_compared=False)

SCENARIOS = (
    Scenario(
        "fairness",
        "Ten tasks of 20 ms behind 10,000 of another tenant, ten threads",
        (
            _figure("half", "until all ten are done: p50, ms"),
            _figure("most", "at most, ms"),
            _figure("service", "a service time, ms"),
            _figure("times", "service times, at most"),
            _figure("others", "tasks of others meanwhile, at most"),
            _figure("allowed", "promised"),
        ),
        fairness,
        one_setting=True,
        once=True,
        names=(OURS,),
        conditions=tuple((name, words) for name, (_, words) in CONDITIONS.items()),
    ),
)
