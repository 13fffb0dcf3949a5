"""Hands progress to Redis, and lets the tasks go on without while Redis is away."""

import logging
import threading

from .broker import Broker
from .errors import RedisUnavailable
from .handover import Kept
from .world import World

_log = logging.getLogger("minicelery")
#: Seconds after a failure in which nothing is reported, so that a task does not wait for Redis with each report.
QUIET = 2.0


class Reporter:
    """Progress is for watchers: after a failure all threads of the process leave their reports out for a while."""

    def __init__(self, broker: Broker, world: World) -> None:
        self._broker = broker
        self._world = world
        self._lock = threading.Lock()
        self._is_away = False
        self._quiet_until = world.monotonic()

    def report(self, task_id: str, token: str, members: str) -> Kept:
        """Store and publish progress if Redis is there."""
        if not self._may_ask():
            return True
        try:
            kept = self._broker.progress(task_id, token, members)
        except RedisUnavailable as error:
            self._leave_out(task_id, error)
            return True
        self._is_away = False
        return kept

    def _may_ask(self) -> bool:
        """Whether to ask Redis now. While it is away one thread after the other may."""
        with self._lock:
            now = self._world.monotonic()
            if self._is_away and now < self._quiet_until:
                return False
            self._quiet_until = now + QUIET
            return True

    def _leave_out(self, task_id: str, error: RedisUnavailable) -> None:
        with self._lock:
            self._quiet_until = self._world.monotonic() + QUIET
            was_away, self._is_away = self._is_away, True
        if not was_away:
            _log.warning("progress is left out until Redis is back, of task %s and others: %s", task_id, error)
