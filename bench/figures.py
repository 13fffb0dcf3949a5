"""Numbers of several rounds as one: the median and the range."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1])


def ratio(ours: float, theirs: float) -> float:
    """How many times theirs ours is; without anything to compare with, infinitely many."""
    return ours / theirs if theirs else float("inf")


def share(values: Iterable[float], part: float) -> float:
    """The value that `part` of all values do not exceed: 0.5 is the median, 0.99 the p99."""
    known = sorted(values)
    return known[min(len(known) - 1, round(part * (len(known) - 1)))]


def rounded(value: float) -> str:
    """Three significant digits, for people: 12,300 · 4.56 · 0.00789."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        digits = max(0, len(str(int(abs(value)))) - 3)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"
