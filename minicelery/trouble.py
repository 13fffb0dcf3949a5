"""How a thread lives through an outage of Redis: it says so once, backs off with jitter, and says when it is over."""

import logging
import threading

from .world import World

_FIRST = 0.05
_LONGEST = 0.5
#: Seconds without a failure after which an outage is over: a Redis that only reads answers some calls all the while.
_SETTLED = 1.0
_REMINDER = 60.0  #: seconds after which an error that goes on is told anew


class Trouble:
    """Shared by the threads of a process, so that an outage is logged once and not by each of them."""

    def __init__(self, log: "logging.Logger | logging.LoggerAdapter[logging.Logger]", world: World) -> None:
        self._log = log
        self._world = world
        self._lock = threading.Lock()
        self._since: float | None = None
        self._answered: float | None = None  # the first answer since the last failure
        self._times: dict[int, int] = {}
        self._told: dict[str, float] = {}

    def pause_after(self, error: Exception) -> float:
        """Seconds this thread should wait before it tries again: full jitter, up to half a second."""
        me = threading.get_ident()
        with self._lock:
            if self._since is None:
                self._since = self._world.monotonic()
                self._log.warning("%s; trying until it is back", error)
            self._answered = None
            times = self._times.get(me, 0)
            self._times[me] = times + 1
        return float(min(_LONGEST, _FIRST * 2 ** min(times, 10)) * self._world.random())

    def over(self) -> None:
        """Redis has answered this thread. To be called for every answer."""
        if self._since is None:
            return
        with self._lock:
            if self._since is None:
                return
            self._times.pop(threading.get_ident(), None)
            now = self._world.monotonic()
            if self._answered is None:
                self._answered = now
            if now - self._answered >= _SETTLED:
                self._log.warning("Redis is back after %.1f s", self._answered - self._since)
                self._since = self._answered = None
                self._times.clear()

    def is_news(self, error: Exception) -> bool:
        """Whether an error that is no outage should be told: each once a minute, however many threads meet it."""
        text, now = str(error), self._world.monotonic()
        with self._lock:
            self._told = {known: when for known, when in self._told.items() if now - when < _REMINDER}
            return self._told.setdefault(text, now) == now
