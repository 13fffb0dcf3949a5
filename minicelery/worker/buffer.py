"""What a child has claimed and not begun, and the outcomes that it has not recorded; shared by its threads."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..handover import Settlement
from ..message import Delivery
from ..outcome import Outcome

#: Later than anything: ``late(NEVER)`` takes all.
NEVER = float("inf")


class Ended(NamedTuple):
    """A run that has ended, at a moment of the monotonic clock, after so many seconds."""

    delivery: Delivery
    outcome: Outcome
    seconds: float
    at: float

    @property
    def settlement(self) -> Settlement:
        delivery, outcome = self.delivery, self.outcome
        return Settlement(delivery.id, delivery.token, outcome.status, outcome.body, outcome.delay)


class Buffer:
    """Two queues. Each thing in them is taken by exactly one thread, as taking from a deque is one step in Python."""

    def __init__(self) -> None:
        #: Set while something waits in here that is not about to be taken: the minder is to look after it.
        self.stirred = threading.Event()
        #: Set when what waits will soon be used up: the minder is to claim more.
        self.wanting = threading.Event()
        #: Held by who puts something in, so that all agree on the order.
        self.filling = threading.Lock()
        self._waiting: deque[tuple[float, Delivery]] = deque()
        self._ended: deque[Ended] = deque()
        self._unrecorded: dict[tuple[str, str], Ended] = {}
        self._leaving: dict[tuple[str, str], tuple[float, Delivery]] = {}

    def put(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Add what one claim has brought."""
        self._waiting.extend([(now, delivery) for delivery in deliveries])
        if len(deliveries) > 1:
            self.stir()

    def put_back(self, late: Iterable[tuple[float, Delivery]]) -> None:
        """Add again what ``late`` has taken out, last first."""
        found = [*late]
        self._waiting.extendleft(found)
        self.returned(found)

    def take(self) -> tuple[float, Delivery] | None:
        """The next task to run, and when it was claimed."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def late(self, before: float) -> list[tuple[float, Delivery]]:
        """Take out what was claimed before that moment, the last first, to be given back."""
        found: list[tuple[float, Delivery]] = []
        try:
            while self._waiting[0][0] < before:
                found.append(self._waiting.popleft())
        except IndexError:
            pass
        self._leaving.update({(delivery.id, delivery.token): (at, delivery) for at, delivery in found})
        return found[::-1]

    def returned(self, late: Iterable[tuple[float, Delivery]]) -> None:
        """Redis has answered for these, or they are in here again."""
        for _, delivery in late:
            self._leaving.pop((delivery.id, delivery.token), None)

    @property
    def leaving(self) -> list[tuple[float, Delivery]]:
        """All that ``late`` has taken out and Redis has not answered for, the last first."""
        return [*self._leaving.values()][::-1]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What is claimed and has not begun, by id and token."""
        return [(delivery.id, delivery.token) for _, delivery in self._waiting.copy()]

    @property
    def waiting(self) -> int:
        """How many claimed tasks have not begun."""
        return len(self._waiting)

    def hold(self, ended: Ended) -> None:
        """Keep an outcome until the next time that a thread talks to Redis."""
        self._unrecorded[ended.delivery.id, ended.delivery.token] = ended
        self._ended.append(ended)

    def ended(self) -> list[Ended]:
        """Take out all outcomes that nobody is recording."""
        found: list[Ended] = []
        try:
            while True:
                found.append(self._ended.popleft())
        except IndexError:
            return found

    @property
    def oldest_outcome(self) -> float | None:
        """When the first of the outcomes that nobody is recording ended."""
        try:
            return self._ended[0].at
        except IndexError:
            return None

    def recorded(self, several: Iterable[Ended]) -> None:
        """Redis has answered for these outcomes."""
        for ended in several:
            self._unrecorded.pop((ended.delivery.id, ended.delivery.token), None)

    @property
    def unrecorded(self) -> list[Ended]:
        """All outcomes for which Redis has not answered, also those that a thread is recording right now."""
        return [*self._unrecorded.values()]

    def stir(self) -> None:
        if not self.stirred.is_set():
            self.stirred.set()

    def want(self) -> None:
        if not self.wanting.is_set():
            self.wanting.set()
