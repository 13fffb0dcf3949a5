"""Knows how long the tasks of each name take, and so which of them are short enough to be claimed several at once."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from ..message import Delivery

#: Seconds that a task may wait behind others of its process which are known to be short.
PATIENCE = 0.010
#: The longest mean of a name that counts as short: at least two of it fit into the patience.
_SHORT = PATIENCE / 2
_RUNS = 3  #: after which a mean is trusted
_WEIGHT = 1 / 8
#: The most names that are told with a claim: those that ran last.
_MOST_NAMES = 16


@dataclass(slots=True)
class _Mean:
    seconds: float
    runs: int = 0
    last: int = 0


class Pace:
    """Moving averages of run times by name: exponential, with a weight of 1/8 for the newest run.

    One run counts for at most eight times the mean and a millisecond more, as threads that share Python's lock are
    stopped now and then in the middle of a run. Threads note without a lock: what is lost is one run of many.
    """

    def __init__(self) -> None:
        self._means: dict[str, _Mean] = {}
        self._notes = 0

    def note(self, name: str, seconds: float) -> None:
        """A run of that name has ended."""
        mean = self._means.get(name)
        if mean is None:
            mean = self._means[name] = _Mean(seconds)
        else:
            mean.seconds += _WEIGHT * (min(seconds, 8 * mean.seconds + 0.001) - mean.seconds)
        mean.runs += 1
        self._notes += 1
        mean.last = self._notes

    def is_short(self, name: str) -> bool:
        """Whether a task of that name is known to be short."""
        mean = self._means.get(name)
        return mean is not None and mean.runs >= _RUNS and mean.seconds <= _SHORT

    def seconds(self, deliveries: Iterable[Delivery]) -> float:
        """What these take together, as far as is known."""
        means = self._means
        return sum([means[one.name].seconds for one in deliveries if one.name in means])

    def costs(self) -> dict[str, int]:
        """The names known to be short, with their mean in whole microseconds, at least 1."""
        means = [*self._means.items()]
        if len(means) > _MOST_NAMES:
            means = heapq.nlargest(_MOST_NAMES, means, key=lambda item: item[1].last)
        return {
            name: max(1, round(mean.seconds * 1e6))
            for name, mean in means
            if mean.runs >= _RUNS and mean.seconds <= _SHORT
        }
