"""Counts what the threads of a child are at, and so says who is to claim, and how much at once."""

import threading

from .pace import PATIENCE

_TRADERS = 2
_AHEAD = 8  #: tasks of one claim from which on it is worth to claim more before they are used up


class Crew:
    """Threads that run tasks. Those that have nothing to run either trade with Redis, for all of them, or wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._members = 0
        self._at_the_door = 0
        self._resting = 0
        self._trading = 0
        self._brought = 0

    def join(self) -> None:
        with self._changed:
            self._members += 1

    def leave(self) -> None:
        with self._changed:
            self._members -= 1

    def begin_trade(self, left: int) -> float | None:
        """A thread may claim, while ``left`` tasks wait in the buffer: the seconds of work that it may bring. What all
        that claim now bring together is used up within the patience, as long as nobody gets stuck.

        None if another thread is claiming what will do for this one, too.
        """
        with self._changed:
            expected = left + self._trading * (self._brought - 1)
            if self._trading >= _TRADERS and expected > self._resting:
                return None
            self._trading += 1
            return PATIENCE * max(1, self._members - self._at_the_door) / self._trading

    def end_trade(self, brought: int) -> None:
        """The claim has brought so many tasks."""
        with self._changed:
            self._trading -= 1
            self._brought = brought
            if self._resting:
                self._changed.notify(max(1, brought - 1))

    def is_low(self, left: int) -> bool:
        """Whether what a claim has brought is half used up and nobody is claiming, so that a thread should now."""
        return left < self._brought // 2 and self._brought >= _AHEAD and self._trading < _TRADERS

    def rest(self) -> None:
        """Wait until a claim that is under way has brought something, or has failed to for a moment."""
        with self._changed:
            if self._trading:
                self._resting += 1
                self._changed.wait(PATIENCE)
                self._resting -= 1

    def go_to_the_door(self) -> None:
        with self._changed:
            self._at_the_door += 1

    def come_back(self) -> None:
        with self._changed:
            self._at_the_door -= 1
