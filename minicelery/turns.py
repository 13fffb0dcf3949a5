"""In which order a worker looks into its queues: as they are named, or drawn anew for each claim, by weight."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .errors import InvalidInput
from .names import check_queue

HIGHEST_WEIGHT = 1000
_WEIGHTED = re.compile(r"(.*):([0-9]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Turns:
    """The queues of a worker. With ``weights``, one for each, a queue comes first in a claim as often as its weight is
    to all of them; the others follow in an order drawn in the same way, so that no claim goes away empty while
    something waits. Without weights each comes after those in front of it are empty.
    """

    queues: tuple[str, ...]
    weights: tuple[int, ...] = ()

    def order(self, random: Callable[[], float]) -> tuple[str, ...]:
        """The queues in the order in which one claim looks into them. ``random`` gives numbers from 0 to 1."""
        if not self.weights:
            return self.queues
        # Efraimidis and Spirakis: the largest of random ** (1 / weight) is that of a queue as often as its weight says.
        keys = [random() ** (1 / weight) for weight in self.weights]
        return tuple(queue for _, queue in sorted(zip(keys, self.queues, strict=True), reverse=True))


def read(entries: Iterable[str]) -> Turns:
    """The turns that a list of queues asks for: names, or names with their weights as in ``high:6``.

    Digits behind a last colon are a weight. Raises ``InvalidInput`` for what is no queue, and where some have weights
    and others have none.
    """
    found = [(entry, _WEIGHTED.fullmatch(entry)) for entry in entries]
    plain = [entry for entry, parts in found if not parts]
    weighted = [(parts[1], parts[2]) for _, parts in found if parts]
    if plain and weighted:
        name, weight = weighted[0]
        cure = f"give each queue a weight, such as {plain[0]}:1, or none"
        raise InvalidInput(f"'{name}' has the weight {weight:.20} and '{plain[0]}' has none; {cure}", "/queues")
    turns = Turns(tuple(plain or [name for name, _ in weighted]), tuple(_weight(*one) for one in weighted))
    for name in turns.queues:
        check_queue(name, "/queues")
    _refuse_repeats(turns)
    return turns


def _weight(queue: str, digits: str) -> int:
    if len(digits) < 10 and 1 <= int(digits) <= HIGHEST_WEIGHT:
        return int(digits)
    cure = f"use 1 to {HIGHEST_WEIGHT}, or give a queue whose own name ends so a weight of its own"
    raise InvalidInput(f"'{queue:.128}' has the weight {digits:.20}; {cure}", "/queues")


def _refuse_repeats(turns: Turns) -> None:
    """A queue with two weights is a slip; without weights a repeat changes nothing."""
    times = Counter(turns.queues if turns.weights else ())
    for name, count in times.items():
        if count > 1:
            raise InvalidInput(f"'{name}' stands twice; give each queue one weight", "/queues")
