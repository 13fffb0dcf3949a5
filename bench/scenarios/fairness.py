"""How long the few tasks of one tenant take while others have flooded the queue."""

from dataclasses import dataclass
from functools import partial

from ..contender import OURS
from ..figures import share
from ..scenario import Column, Figures, Scenario
from ..trial import Trial
from .latency import warm_up

#: It takes 20 ms, and leaves a mark.
TASK, MARKS = "mark", "bench:marks"
#: The tasks of the tenant that floods, of each further one that has enough to do, and of the one that is looked at.
FLOOD, ENOUGH, FEW = 10_000, 1_000, 10
QUICK_FLOOD, QUICK_ENOUGH = 200, 50
TIMES, QUICK_TIMES = 5, 1


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


def fairness(trial: Trial) -> Figures:
    """From the sending of ten tasks until the last result is here, some times over, always of another tenant."""
    figures: dict[str, float] = {}
    for name, (condition, _) in CONDITIONS.items():
        trial.stage.client.flushall()
        with trial.workers():
            warm_up(trial)
            seconds, service = measured(trial, condition)
        figures |= {
            f"{name}_half": 1000 * share(seconds, 0.5),
            f"{name}_most": 1000 * max(seconds),
            f"{name}_service": 1000 * service,
            f"{name}_times": max(seconds) / service,
            f"{name}_allowed": condition.allowed,
        }
    return figures


def measured(trial: Trial, condition: Condition) -> tuple[list[float], float]:
    """The seconds of each ten tasks, and those that a slot of the workers had for one task meanwhile."""
    flood, enough = (QUICK_FLOOD, QUICK_ENOUGH) if trial.quick else (FLOOD, ENOUGH)
    for number in range(condition.tenants - 1):
        send(trial, condition, f"busy-{number}", enough if number else flood)
    times = TIMES if condition.is_fair and not trial.quick else 1
    before = trial.stage.client.llen(MARKS)
    seconds = [send(trial, condition, f"small-{number}", FEW, until_done=True) for number in range(times)]
    done = trial.stage.client.llen(MARKS) - before
    return seconds, sum(seconds) * trial.contender.slots / done


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
            _figure("allowed", "promised"),
        ),
        fairness,
        one_setting=True,
        once=True,
        names=(OURS,),
        conditions=tuple((name, words) for name, (_, words) in CONDITIONS.items()),
    ),
)
