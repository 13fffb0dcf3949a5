"""How soon a task that runs sees that it is cancelled."""

from ..contender import OURS
from ..figures import share
from ..scenario import Column, Figures, Scenario
from ..trial import Trial
from .latency import PAUSE, warm_up

COUNT, QUICK = 500, 10
#: The milliseconds that are promised.
PROMISED = 100.0


def cancel(trial: Trial) -> Figures:
    """One task at a time, cancelled while it looks every millisecond whether it is."""
    with trial.workers():
        warm_up(trial)
        seconds = trial.ask("cancelled", count=QUICK if trial.quick else COUNT, pause=PAUSE)["seconds"]
    return figures_of(seconds)


def figures_of(seconds: list[float]) -> Figures:
    """In milliseconds, and how many of a hundred took longer than is promised."""
    late = sum(1000 * one > PROMISED for one in seconds)
    found = {"p50": share(seconds, 0.5), "p99": share(seconds, 0.99), "most": max(seconds)}
    return {**{name: 1000 * value for name, value in found.items()}, "late": 100 * late / len(seconds)}


SCENARIOS = (
    Scenario(
        "cancel",
        "Cancelling what runs: from the call until the task sees it",
        (
            Column("p50", "p50, ms"),
            Column("p99", "p99, ms"),
            Column("most", "at most, ms", is_compared=False),
            Column("late", f"later than {PROMISED:.0f} ms, %", is_compared=False),
        ),
        cancel,
        one_setting=True,
        names=(OURS,),
    ),
)
