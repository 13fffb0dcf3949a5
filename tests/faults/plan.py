"""What a soak submits: tasks whose outcomes are known beforehand."""

import random
from dataclasses import dataclass
from typing import Any

from minicelery import MiniCelery
from minicelery.states import Status
from minicelery.task import Signature

from .tasks import answer


@dataclass(frozen=True)
class Planned:
    """One task: how it is called, and how it has to end. ``is_poison``: it kills its process in every run."""

    id: str
    name: str
    args: tuple[Any, ...]
    countdown: float | None = None
    status: Status = Status.SUCCESS
    result: int | None = None
    is_poison: bool = False

    def call(self, app: MiniCelery) -> Signature[Any]:
        """The call under its id, so that it may be sent again."""
        return app.tasks.find(self.name).s(*self.args).set(task_id=self.id, countdown=self.countdown)


def make_plan(count: int, poison: int, seed: int) -> list[Planned]:
    """Mostly short tasks; some long enough to be found running, some delayed, some that fail once, twice or always."""
    chance = random.Random(seed)
    poisonous = {(number + 1) * count // (poison + 1) for number in range(poison)}
    return [_poison(number) if number in poisonous else _healthy(number, chance) for number in range(count)]


def _poison(number: int) -> Planned:
    return Planned(f"soak-{number}", "poison", (number,), status=Status.FAILED, is_poison=True)


def _healthy(number: int, chance: random.Random) -> Planned:
    name, kind = f"soak-{number}", chance.random()
    if kind < 0.04:
        return Planned(name, "fail", (number,), status=Status.FAILED)
    right = answer(number)
    if kind < 0.17:
        return Planned(name, "stumble", (number, chance.randint(1, 2)), result=right)
    if kind < 0.27:
        return Planned(name, "work", (number, 0.005), chance.uniform(0.2, 3.0), result=right)
    seconds = chance.uniform(0.3, 1.5) if kind < 0.37 else chance.uniform(0.001, 0.02)
    return Planned(name, "work", (number, seconds), result=right)
