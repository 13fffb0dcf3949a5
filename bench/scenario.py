"""What is measured, and how its figures stand in a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .contender import Contender
from .trial import Trial

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """A figure, what stands above it, and which end of it wins."""

    figure: str
    heading: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Scenario:
    """``measure`` gives the figures of one trial; ``takes`` says who takes part."""

    name: str
    title: str
    columns: tuple[Column, ...]
    measure: Callable[[Trial], Figures]
    takes: Callable[[Contender], bool] = lambda _: True
