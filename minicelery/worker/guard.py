"""Watches children from outside, for what they can't see themselves: a stuck process, a limit that it does not keep."""

import logging

from ..broker import Broker
from ..errors import RedisUnavailable
from ..world import World
from .board import Count
from .overrun import settlement
from .running import Running

_log = logging.getLogger("minicelery.worker")
#: Seconds that a child has to give up on a run by itself, before its parent does it for it.
_MARGIN = 2.0


class Guard:
    """Kills children that do not end what has overrun its limit, or that stand still altogether."""

    def __init__(self, broker: Broker, world: World, stall_limit: float) -> None:
        self._broker = broker
        self._world = world
        self._stall_limit = stall_limit
        self._looked_at = self._awake_since = world.monotonic()

    def look(self, child: Running) -> None:
        """Look at one child. A limit is told from its board, so that it holds whatever the child does."""
        now = self._world.monotonic()
        if now - self._looked_at > _MARGIN:
            self._awake_since = now  # we stood still ourselves, and the child perhaps with us
        self._looked_at = now
        overdue = [held for held in child.board.held() if max(held.deadline, self._awake_since) + _MARGIN < now]
        if overdue:
            try:
                self._broker.settle(child.worker, [settlement(held) for held in overdue])
            except RedisUnavailable as error:
                _log.warning("%d tasks have overrun their limit; recorded when Redis is back: %s", len(overdue), error)
                return
            names = ", ".join(held.id for held in overdue)
            _log.error("task %s took longer than its limit, and its process does not react: it is replaced", names)
            child.kill(f"was ended since it held on to task {names} for longer than its limit")
            for held in overdue:
                child.board.count(held.thread, Count.FAILED if held.limit.retry_after is None else Count.RETRIED)
                child.board.drop(held.thread)
            return
        silent = now - max(child.board.ticked_at, self._awake_since, child.born)
        if silent > self._stall_limit:
            child.kill(f"was ended since it had stood still for {silent:.0f} s", innocent=False)
