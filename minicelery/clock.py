"""A clock that goes on only when it is told to, and the world that lives by it: for tests."""

import math
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from .errors import InvalidInput
from .world import World


class VirtualClock:
    """Epoch seconds in whole milliseconds, as the scripts count them. It never goes back.

    ``next_duty`` tells when ``duty`` is to be done next, such as renewing a lock that is held: whoever moves the clock
    past that moment has it done in that moment, as a thread beside them would do.
    """

    def __init__(self, start: float) -> None:
        self._ms = round(start * 1000)
        self._is_on_duty = False
        self.next_duty: Callable[[], float | None] = lambda: None
        self.duty: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self._ms / 1000

    def microseconds(self) -> tuple[int, int]:
        """The seconds and the microseconds of the present one, as Redis tells them."""
        return self._ms // 1000, self._ms % 1000 * 1000

    def sleep(self, seconds: float) -> None:
        self._pass(self._ms + _whole(max(0.0, seconds)))

    def go_to(self, moment: float) -> None:
        """Go on to a moment in epoch seconds; stay where that is past."""
        self._pass(_whole(moment))

    def _pass(self, target: int) -> None:
        while not self._is_on_duty and (due := self.next_duty()) is not None and _whole(due) <= target:
            self._ms = max(self._ms, _whole(due))
            self._is_on_duty = True
            try:
                self.duty()
            finally:
                self._is_on_duty = False
        self._ms = max(self._ms, target)


def world_of(clock: VirtualClock, seed: int) -> World:
    """A world on this clock. Its ids and its chance follow from the seed alone, and not from each other."""
    ids, nonces, chance = (random.Random(f"{seed} {what}") for what in ("ids", "nonces", "chance"))  # noqa: S311
    return World(
        monotonic=clock.now,
        sleep=clock.sleep,
        random=chance.random,
        new_id=lambda: str(uuid.UUID(int=ids.getrandbits(128), version=4)),
        nonce=lambda: f"{nonces.getrandbits(48):012x}",
    )


def moment_of(moment: object, pointer: str = "") -> float:
    """The epoch seconds of a moment with a time zone. Raises ``InvalidInput``."""
    if isinstance(moment, datetime) and moment.tzinfo is not None and moment.utcoffset() is not None:
        return moment.timestamp()
    raise InvalidInput(f"{moment!r:.100} is no moment; give a datetime with a time zone, such as UTC", pointer)


def utc(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def due_at(moment: float) -> float:
    """When a virtual clock gets to a moment: the first whole millisecond that is not before it, as ``now()`` tells it.
    What is due then must be compared by this, or the error of a float keeps the clock there for ever."""
    return _whole(moment) / 1000 if math.isfinite(moment) else moment


def _whole(seconds: float) -> int:
    """Milliseconds, rounded up, so that what is due is due; but for what is only the error of a float."""
    return math.ceil(round(seconds * 1000, 3))
