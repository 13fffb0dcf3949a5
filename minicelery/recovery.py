"""Finds workers that are lost, and makes ready again what they had claimed."""

import logging
import re
from collections.abc import Collection

from . import identity
from .broker import ALL, Broker
from .inspector import Inspector
from .world import World

_log = logging.getLogger("minicelery.upkeep")
#: Seconds between two looks for leases that are over.
EVERY = 1.0
#: What is known of a worker that was not seen to die.
LOST = "was lost, with its whole worker or its machine"


class Recovery:
    """Looks for workers whose lease is over, and for those of this machine whose processes are gone.

    Leases end as well while Redis or a machine stands still. So after a standstill that took more than half a lease no
    lease counts as over for the length of one: time for all who live to renew theirs. After the first look, which may
    come when Redis is back, for a third of it.
    """

    def __init__(self, broker: Broker, inspector: Inspector, world: World, lease: float) -> None:
        self._broker = broker
        self._inspector = inspector
        self._world = world
        self._lease = lease
        self._machine = identity.machine()
        self._quiet_until = float("inf")  # until the first look
        self._seen: tuple[float, float] | None = None  # the last look, on our clock and on that of Redis

    def recover_expired(self, own: Collection[str]) -> None:
        """Recover the workers whose lease is over, but for our own. To be called ``EVERY`` second."""
        redis_now, expired = self._inspector.expired_workers()
        self._notice_a_standstill(redis_now)
        if self._world.monotonic() < self._quiet_until:
            return
        for worker in expired:
            if worker in own:
                continue
            found = self._broker.recover(worker, expired=True, cause=LOST)
            if found.ready or found.dead:
                _log.warning("worker %s is lost, its lease is over; ready again: %d", worker, found.ready)

    def recover_kin(self, own: Collection[str], host: str) -> None:
        """Recover the workers of this machine that were killed with their parent, without waiting for their lease."""
        if not self._machine:
            return
        others = [worker for worker in self._inspector.worker_ids() if worker.startswith(f"{host}-")]
        for worker, facts in self._inspector.worker_facts([one for one in others if one not in own]).items():
            if facts.get("machine") == self._machine and identity.are_gone(_marks(facts)):
                found = self._broker.recover(worker, [ALL], cause=LOST)
                if found.ready or found.dead:
                    _log.warning("worker %s of this machine is gone; ready again: %d", worker, found.ready)

    def _notice_a_standstill(self, redis_now: float) -> None:
        now, before = self._world.monotonic(), self._seen
        self._seen = (now, redis_now)
        if before is None:
            self._quiet_until = now + self._lease / 3
            return
        ours, theirs = now - before[0], redis_now - before[1]
        longest = max(ours, theirs)
        if longest - EVERY > self._lease / 2:
            if now >= self._quiet_until:
                _log.warning(
                    "Redis or this machine stood still for %.1f s; for one lease nobody counts as lost", longest
                )
            self._quiet_until = now + self._lease


def _marks(facts: dict[str, object]) -> list[str]:
    """The processes of a worker, as it has named them."""
    named = facts.get("processes")
    marks = named if isinstance(named, list) else []
    return [mark for mark in marks if isinstance(mark, str) and re.fullmatch(r"\d+:\d+", mark)]
