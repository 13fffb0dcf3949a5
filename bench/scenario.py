"""What is measured, and how its figures stand in a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .contender import Contender
from .trial import Trial

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """A figure, what stands above it, which end of it wins, and whether conditions are compared by it."""

    figure: str
    heading: str
    more_is_better: bool = False
    is_compared: bool = True


@dataclass(frozen=True)
class Scenario:
    """``measure`` gives the figures of one trial.

    With ``one_setting`` a queue takes part in one setting only: the one that is for this scenario, else its first;
    with ``reliable`` the first in which it keeps tasks, if it has such. With ``once`` it is measured in the first round
    alone. ``names`` limits it to these queues. Where there are ``conditions``, each with its words, its table has a
    line for each; the figures' names begin with the condition's.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    measure: Callable[[Trial], Figures]
    one_setting: bool = False
    reliable: bool = False
    once: bool = False
    names: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()

    def those_of(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Who takes part."""
        fitting = [one for one in contenders if self.name in one.only or not (one.only or self._is_closed_to(one))]
        if not self.one_setting:
            return fitting
        first: dict[str, Contender] = {}
        for one in sorted(fitting, key=lambda one: (self.name not in one.only, self.reliable and not one.keeps)):
            first.setdefault(one.name, one)
        return [one for one in fitting if first[one.name] is one]

    def _is_closed_to(self, contender: Contender) -> bool:
        return bool(self.names) and contender.name not in self.names
