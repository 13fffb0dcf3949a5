"""How a thread lives through an outage of Redis: it says so once, backs off with jitter, and says when it is over."""

import logging
import threading

from .world import World

_FIRST = 0.05
_LONGEST = 1.0


class Trouble:
    """Shared by the threads of a process, so that an outage is logged once and not by each of them."""

    def __init__(self, log: logging.Logger, world: World) -> None:
        self._log = log
        self._world = world
        self._lock = threading.Lock()
        self._since: float | None = None
        self._times: dict[int, int] = {}

    def pause_after(self, error: Exception) -> float:
        """Seconds this thread should wait before it tries again: full jitter, up to a second."""
        me = threading.get_ident()
        with self._lock:
            if self._since is None:
                self._since = self._world.monotonic()
                self._log.warning("%s; trying until it is back", error)
            times = self._times.get(me, 0)
            self._times[me] = times + 1
        return float(min(_LONGEST, _FIRST * 2 ** min(times, 10)) * self._world.random())

    def over(self) -> None:
        """Redis has answered."""
        if self._since is None:
            return
        with self._lock:
            if self._since is not None:
                self._log.warning("Redis is back after %.1f s", self._world.monotonic() - self._since)
            self._since = None
            self._times.clear()
