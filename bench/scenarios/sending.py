"""How fast one process sends, while nobody works."""

from ..scenario import Column, Figures, Scenario
from ..trial import Failed, Trial

SECONDS = 2.0
QUICK = 0.1
COLUMNS = (Column("rate", "tasks a second", more_is_better=True),)


def one_by_one(trial: Trial) -> Figures:
    """Each call waited for; once before, so that connections and scripts are there."""
    return _sent(trial, "enqueue", 8_000)


def many(trial: Trial) -> Figures:
    """By the queue's own way of sending many; where it has none, 50 calls at once if it is asynchronous."""
    if not trial.contender.bulk:
        raise Failed("it has no way to send many")
    return _sent(trial, "bulk", 40_000 if trial.contender.module == "with_minicelery" else 8_000)


def _sent(trial: Trial, deed: str, pace: int) -> Figures:
    count = int(pace * (QUICK if trial.quick else SECONDS))
    trial.ask(deed, task="noop", count=count // 20)
    return {"rate": count / trial.ask(deed, task="noop", count=count)["seconds"]}


SCENARIOS = (
    Scenario("enqueue", "Enqueue, one by one", COLUMNS, one_by_one, one_setting=True),
    Scenario("bulk", "Enqueue, many at a time", COLUMNS, many, one_setting=True),
)
