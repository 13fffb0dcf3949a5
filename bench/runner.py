"""Runs trials, interleaved: in each round every contender has its turn in every scenario, in every second one the last
first."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import psutil
from redis import RedisError

from . import environments
from .contender import Contender
from .results import Reading
from .scenario import Scenario
from .stage import Stage
from .trial import Failed, Trial

Say = Callable[[str], None]


class Runner:
    """``quick`` asks for small counts: whether all works, not how fast."""

    def __init__(self, contenders: Sequence[Contender], say: Say, *, quick: bool) -> None:
        self._contenders = contenders
        self._say = say
        self._quick = quick
        self._pythons: dict[str, str] = {}
        self._missing: dict[str, str] = {}

    def install(self) -> None:
        """Make the environments of all contenders before anything is measured."""
        for name in dict.fromkeys(one.name for one in self._contenders):
            try:
                self._pythons[name] = environments.python_of(name)
            except environments.InstallFailed as failure:
                self._say(str(failure))
                self._missing[name] = str(failure)

    def run(self, scenarios: Sequence[Scenario], rounds: int) -> Iterator[Reading]:
        for number in range(1, rounds + 1):
            for scenario in scenarios:
                if number > 1 and scenario.once:
                    continue
                taking_part = scenario.those_of(self._contenders)
                for contender in taking_part if number % 2 else reversed(taking_part):
                    yield self._read(scenario, contender, number)

    def _read(self, scenario: Scenario, contender: Contender, number: int) -> Reading:
        if contender.name in self._missing:
            return Reading(scenario.name, contender.key, number, failure=self._missing[contender.name])
        try:
            figures = self._measure(scenario, contender)
        except (Failed, RedisError, psutil.Error, OSError) as failure:
            self._say(f"{scenario.name}: {contender.label}: {failure}")
            return Reading(scenario.name, contender.key, number, failure=str(failure))
        return Reading(scenario.name, contender.key, number, figures)

    def _measure(self, scenario: Scenario, contender: Contender) -> dict[str, float]:
        with Stage() as stage:
            trial = Trial(contender, stage, self._pythons[contender.name], quick=self._quick)
            with closing(trial):
                return dict(scenario.measure(trial))
