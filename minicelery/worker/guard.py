"""Watches children from outside, for what they can't see themselves: a stuck process, a limit that it does not keep."""

import logging
from dataclasses import dataclass, field

from ..broker import Broker
from ..handover import Claim
from ..identity import processor_time
from ..trouble import Trouble
from ..world import World
from .board import Count, Held, end_of
from .overrun import settlement
from .running import Running

_log = logging.getLogger("minicelery.worker")
#: Seconds without a sign of life after which a child is looked at closely. Until then it keeps its limits by itself.
_SILENCE = 2.0
#: Seconds between telling a child that what it has not begun is recalled, and looking what that is.
_NOTICE = 0.4
#: The part of the time that the thread which holds Python's lock in C spends on a processor, at least.
_BUSY = 0.2


@dataclass
class _Sample:
    """The processor time that each thread of a silent child had used at one moment."""

    at: float
    used: dict[int, float] = field(default_factory=dict)
    is_told: bool = False


class Guard:
    """Ends children that do not end what has overrun its limit, or that stand still altogether. What these have claimed
    and not begun it gives back.

    A child whose main thread does not move can't keep any limit: a task holds Python's lock in C, or the process is
    stopped. Whoever holds the lock uses a processor, and nobody else in that process does; so it is known which task is
    to blame, and none that only waits for the lock.
    """

    def __init__(self, broker: Broker, world: World, trouble: Trouble, stall_limit: float) -> None:
        self._broker = broker
        self._world = world
        self._trouble = trouble
        self._stall_limit = stall_limit
        self._looked_at = self._awake_since = world.monotonic()
        self._samples: dict[str, _Sample] = {}
        self._relieved: dict[str, float] = {}

    def look(self, child: Running) -> None:
        """Look at one child, twice a second or so."""
        now = self._world.monotonic()
        if now - self._looked_at > _SILENCE:
            self._awake_since = now  # we stood still ourselves, and the child perhaps with us
        self._looked_at = now
        silent = now - max(child.board.ticked_at, self._awake_since, child.born)
        if silent <= _SILENCE:
            self._samples.pop(child.worker, None)
            self._relieved.pop(child.worker, None)
            return
        self._recall(child, now)
        begun = [held for held in child.board.held() if held.begun]
        culprit = self._culprit(child, begun, now)
        if culprit and culprit.deadline < now:
            self._end_run(child, culprit)
        elif silent > self._stall_limit:
            self._samples.pop(child.worker, None)
            child.kill(f"was ended since it had stood still for {silent:.0f} s", blamed=[culprit] if culprit else begun)

    def _recall(self, child: Running, now: float) -> None:
        """Give back what the child has claimed and not begun. First it is told, and given time until the next look."""
        board = child.board
        recalled_at = board.recalled_at
        if recalled_at <= max(board.ticked_at, self._awake_since):
            board.recall(now)
            return
        if now - recalled_at < _NOTICE or self._relieved.get(child.worker) == recalled_at:
            return
        waiting = board.not_begun(recalled_at)
        try:
            begun = {(held.id, held.token) for held in board.held() if held.begun}
            unheard = self._unheard(child, recalled_at)
            waiting = [pair for pair in dict.fromkeys([*unheard, *waiting]) if pair not in begun]
            given = self._broker.release(child.worker, waiting) if waiting else []
        except Exception as error:
            if self._trouble.is_news(error):
                _log.warning("what waits in a process that stands still is given back as soon as Redis does: %s", error)
            return
        self._relieved[child.worker] = recalled_at
        if any(given):
            _log.warning("ready again: %d tasks that waited in a process that stands still", given.count(True))

    def _unheard(self, child: Running, before: float) -> list[tuple[str, str]]:
        """What its waiting threads were given and do not hear of, the last first. They are given nothing more: their
        claims are answered here, and what comes later under the same number is a repeat."""
        found: list[tuple[str, str]] = []
        for thread, number, nonce in child.board.asked(before):
            answer = self._broker.claim(Claim(child.worker, thread, number, nonce, queues=()))
            found += [(delivery.id, delivery.token) for delivery in answer.deliveries]
        return found[::-1]

    def _culprit(self, child: Running, begun: list[Held], now: float) -> Held | None:
        """The run that holds Python's lock, as far as can be told."""
        before = self._samples.get(child.worker)
        sample = _Sample(now, {held.native: processor_time(child.process.pid, held.native) for held in begun})
        if before is None:
            self._samples[child.worker] = sample
            return None
        busy = {native: used - before.used.get(native, used) for native, used in sample.used.items()}
        found = max(begun, key=lambda held: busy[held.native], default=None)
        if found and len(begun) > 1 and busy[found.native] < _BUSY * (now - before.at):
            found = None
        if found and not before.is_told and now - before.at > _SILENCE:
            before.is_told = True
            _log.warning("task %s %s lets nothing else run in its process", found.name, found.id)
        return found

    def _end_run(self, child: Running, held: Held) -> None:
        """Record the failure in place of the child, and end it: there is no other way to end the run."""
        try:
            [kept] = self._broker.settle(child.worker, [settlement(held)])
        except Exception as error:
            if self._trouble.is_news(error):
                _log.warning("a run that took longer than its limit is recorded as soon as Redis does: %s", error)
            return
        _log.error(
            "task %s %s took longer than its limit of %g s, and its process does not react: it is replaced",
            held.name,
            held.id,
            held.limit.seconds,
        )
        self._samples.pop(child.worker, None)
        child.kill(f"was ended since task {held.id} held it up for longer than its limit", blamed=[])
        recorded = Count.FAILED if held.limit.retry_after is None else Count.RETRIED
        child.board.count(held.thread, end_of(recorded, kept))
        child.board.drop(held.thread)
