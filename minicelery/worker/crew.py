"""Counts what the threads of a child are at, and so says who is to claim, and how much at once."""

import threading

from .pace import PATIENCE

_TRADERS = 2
#: Seconds of work that are worth to wake a thread for. For less the one that has claimed is done with it before others
#: have got hold of Python's lock, and they only take turns in finding nothing left.
_WORTH_WAKING = 0.0005
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
        self._seconds = 0.0  #: that one of these tasks takes

    def join(self) -> None:
        with self._changed:
            self._members += 1

    def leave(self) -> None:
        with self._changed:
            self._members -= 1

    def begin_trade(self, left: int) -> float | None:
        """A thread may claim, while ``left`` tasks wait in the buffer: the seconds of work that it may bring. These and
        what all that claim now bring together are used up within the patience, as long as nobody gets stuck.

        None if another thread is claiming what will do for this one, too.
        """
        with self._changed:
            expected = left + self._trading * (self._brought - 1)
            if self._trading >= _TRADERS and expected > self._resting:
                return None
            self._trading += 1
            work = PATIENCE * max(1, self._members - self._at_the_door) - left * self._seconds
            return max(0.0, work) / self._trading

    def end_trade(self, brought: int, seconds: float = 0.0) -> None:
        """The claim has brought so many tasks, which take so long together."""
        with self._changed:
            self._trading -= 1
            self._note(brought, seconds)

    def _note(self, brought: int, seconds: float) -> None:
        self._brought = brought
        self._seconds = seconds / max(1, brought)
        if self._resting:
            self._changed.notify(_helpers(brought, seconds))

    def is_low(self, left: int) -> bool:
        """Whether a quarter of what a claim has brought is used up and nobody is claiming, so that it is time to."""
        return 4 * left < 3 * self._brought and self._brought >= _AHEAD and not self._trading

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

    def come_back(self, brought: int = 0, seconds: float = 0.0) -> None:
        """It has been given so many tasks there, which take so long together."""
        with self._changed:
            self._at_the_door -= 1
            if brought:
                self._note(brought, seconds)


def _helpers(brought: int, seconds: float) -> int:
    """How many of those that rest are to go on, for tasks that take so long together."""
    return 1 if brought < 2 else min(brought - 1, int(seconds / _WORTH_WAKING))
