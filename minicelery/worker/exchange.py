"""One thread's dealings with Redis: records what has ended, claims what is next, hands back what can't be run."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

from .. import codec, logs
from ..connection import LONGEST_WAIT
from ..errors import ForeignData, RedisUnavailable
from ..handover import Claim, Claimed, Kept
from ..law import shown
from ..message import Delivery
from ..outcome import Outcome, describe_error
from ..states import Status
from . import runlog
from .bench import Bench
from .board import Count, end_of
from .buffer import Ended
from .pace import PATIENCE
from .patience import Patience

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
#: The most tasks of one claim.
MOST = 50
_UNLEASED_PAUSE = 0.05
_PASSED_ON = {
    Status.SCHEDULED: (Count.HANDED_BACK, "it is left to a worker that knows it"),
    Status.FAILED: (Count.FAILED, "it is a dead letter, as no live worker of its queue knows it"),
    Status.CANCELLED: (Count.CANCELLED, "it is cancelled"),
    None: (Count.LEASE_LOST, "it had lost its lease"),
}
#: What is counted for an outcome that Redis has taken.
COUNTS = {Status.SUCCESS: Count.SUCCEEDED, Status.RETRYING: Count.RETRIED, Status.FAILED: Count.FAILED}


class Exchange:
    """What a thread gives to Redis and gets from there. Nothing of it is dropped while Redis is away."""

    def __init__(self, bench: Bench, thread: int) -> None:
        self._bench = bench
        self._thread = thread
        self._claims = 0
        self._patience = Patience(bench.trouble, bench.stopping)

    # ---- the way of every task ----------------------------------------------------------------

    def trade(self) -> bool:
        """Record what has ended and claim more, in one round trip. True if there is something to run, or may be."""
        bench = self._bench
        budget = bench.crew.begin_trade(bench.buffer.waiting)
        if budget is None:
            bench.crew.rest()
            return True
        brought, seconds = 0, 0.0
        try:
            claimed = self._trade(bench.buffer.ended(), budget)
            brought, seconds = self._receive(claimed)
        finally:
            bench.crew.end_trade(brought, seconds)
        return bool(brought or claimed.may_be_more)

    def wait(self) -> bool:
        """Wait for work, and claim it in the moment that a bell rings. True if there is something to run, or may be."""
        bench, claim = self._bench, self._next_claim(PATIENCE, at_the_door=True)
        asked_at = bench.world.monotonic()
        brought, seconds = 0, 0.0
        bench.board.ask(self._thread, asked_at, claim.number, claim.nonce)
        bench.crew.go_to_the_door()
        try:
            claimed = self._claim_at_the_door(claim, asked_at)
            brought, seconds = self._receive(claimed, asked_at)
        finally:
            bench.board.hear(self._thread)
            bench.crew.come_back(brought, seconds)
        return bool(brought or claimed.may_be_more)

    def _receive(self, claimed: Claimed, asked_at: float = 0.0) -> tuple[int, float]:
        """Put what a claim has brought into the buffer. How many tasks, and the seconds that they take, if known.

        What was asked for before the last recall, and is heard only now, counts as recalled.
        """
        bench, deliveries, seconds = self._bench, claimed.deliveries, 0.0
        if deliveries:
            seconds = bench.pace.seconds(deliveries)
            bench.board.count(self._thread, Count.TAKEN, len(deliveries))
            with bench.buffer.filling:
                now = bench.world.monotonic()
                bench.board.lay_out(now, [(delivery.id, delivery.token) for delivery in deliveries])
                bench.board.hear(self._thread)  # before anything of it can begin
                bench.buffer.put(deliveries, asked_at if 0 < asked_at < bench.board.recalled_at else now)
        if claimed.dropped:
            names = ", ".join(map(shown, claimed.dropped))
            _log.warning("dropped ids under which no task of ours waits: %s", names)
        return len(deliveries), seconds

    def _trade(self, ended: list[Ended], budget: float) -> Claimed:
        """Both at once; each for itself if that fails, so that neither waits for what keeps the other."""
        bench, claim = self._bench, cache(partial(self._next_claim, budget))
        if not ended:
            return self._claim(claim(), budget)
        try:
            kept, claimed = bench.broker.exchange(bench.worker, [one.settlement for one in ended], claim)
        except Exception as error:
            _log.debug("recording and claiming each for itself: %s", error)
            self.record(ended)
            return self._claim(claim(), budget)
        bench.trouble.over()
        self._note(ended, kept)
        return claimed if claimed.leased else self._claim(claim(), budget, was_refused=True)

    def _next_claim(self, budget: float, *, at_the_door: bool = False) -> Claim:
        bench = self._bench
        self._claims += 1
        return Claim(
            worker=bench.worker,
            thread=self._thread,
            number=self._claims,
            nonce=bench.world.nonce(),
            queues=bench.turns.order(bench.world.random),
            count=MOST,
            woken=at_the_door,
            quarantine=bench.quarantine,
            share=bench.share,
            budget=0 if bench.quarantine else int(budget * 1e6),
            costs=bench.pace.costs(),
            least_lease=bench.least_lease if at_the_door else 0.0,
        )

    def _claim_at_the_door(self, claim: Claim, asked_at: float) -> Claimed:
        """Claim when a bell rings. Without an answer it is not known whether Redis has done it, so it is repeated; so
        too if this machine has stood still, as others may have by now what we were given. A repeat tells what is ours.
        """
        bench = self._bench
        wait = partial(bench.doorbell.wait, bench.worker, bench.turns.queues, quarantine=bench.quarantine)
        claimed = self._patience.attempt(partial(bench.broker.claim_behind, wait, claim))
        is_late = bench.world.monotonic() - asked_at > LONGEST_WAIT
        if claimed and claimed.leased and not is_late:
            return claimed
        again = replace(claim, least_lease=0.0)
        return self._claim(again, PATIENCE, was_refused=claimed is not None and not claimed.leased)

    def _claim(self, claim: Claim, budget: float, *, was_refused: bool = False) -> Claimed:
        """Claim, until there is an answer.

        Without one it is repeated under its number, since Redis may have given us tasks already, even if we stop
        meanwhile; and so when it is refused for want of a lease, as it may have been answered before that was over.
        """
        while True:
            answer = self._patience.attempt(partial(self._bench.broker.claim, claim))
            if answer and not answer.leased:
                was_refused = True
                self._patience.pause(_UNLEASED_PAUSE)
            elif answer and (answer.deliveries or not was_refused or self._bench.stopping.is_set()):
                return answer
            elif answer:  # it has only shown that the refused claim had taken nothing
                claim, was_refused = replace(self._next_claim(budget), woken=claim.woken), False

    def record(self, ended: Sequence[Ended]) -> None:
        """Record outcomes, however long Redis is away."""
        left = list(ended)
        while left:
            left = self._record(left)

    def _record(self, ended: list[Ended]) -> list[Ended]:
        """What is left to be recorded. What stands in the way of one does not keep the others."""
        bench = self._bench
        try:
            kept = bench.broker.settle(bench.worker, [one.settlement for one in ended])
        except Exception as error:
            if len(ended) > 1 and (isinstance(error, ForeignData) or not isinstance(error, RedisUnavailable)):
                return [left for one in ended for left in self._record([one])]
            if isinstance(error, RedisUnavailable):
                time.sleep(bench.trouble.pause_after(error))
                return ended
            return [_unrecordable(ended[0], error)]
        bench.trouble.over()
        self._note(ended, kept)
        return []

    def _note(self, ended: Sequence[Ended], kept: Sequence[Kept]) -> None:
        bench = self._bench
        bench.buffer.recorded(ended)
        ends = [end_of(COUNTS[one.outcome.status], mine) for one, mine in zip(ended, kept, strict=True)]
        for what, times in Counter(ends).items():
            bench.board.count(self._thread, what, times)
        for one, mine in zip(ended, kept, strict=True):
            runlog.tell(one.delivery, one.outcome, one.seconds, mine)

    # ---- what can't be run here ---------------------------------------------------------------

    def hand_back(self, waiting: Sequence[tuple[float, Delivery]]) -> bool:
        """Give back what is claimed and not begun, the last first, so that it stays in order. What Redis does not take
        stays in the buffer. What was recalled, our parent may have given back for us."""
        bench = self._bench
        if not waiting:
            return True
        pairs = [(delivery.id, delivery.token) for _, delivery in waiting]
        given = self._patience.attempt(lambda: bench.broker.release(bench.worker, pairs))
        if given is None:
            bench.buffer.put_back(waiting)
            return False
        recalled = bench.board.recalled_at
        cancelled = given.count(None)
        ours = sum(
            bool(kept) or (kept is False and at < recalled) for kept, (at, _) in zip(given, waiting, strict=True)
        )
        bench.board.count(self._thread, Count.HANDED_BACK, ours)
        bench.board.count(self._thread, Count.CANCELLED, cancelled)
        bench.board.count(self._thread, Count.LEASE_LOST, len(given) - ours - cancelled)
        bench.buffer.returned(waiting)
        return True

    def pass_on(self, delivery: Delivery) -> None:
        """What we do not know the name of is left to a worker that does; if there is none, it is a dead letter."""
        bench = self._bench
        where = f"no task '{delivery.name:.100}' here, nor at any live worker of queue '{delivery.queue}'"
        body = {"type": "UnknownTask", "message": f"{where}; deploy it, then retry this dead letter", "traceback": ""}
        error = codec.encode(body)
        state = self._patience.insist(lambda: bench.broker.pass_on(bench.worker, delivery.id, delivery.token, error))
        count, words = _PASSED_ON[state]
        _log.warning("%s has a name unknown here: %s", runlog.name(delivery), words)
        bench.board.count(self._thread, count)


def _unrecordable(ended: Ended, error: Exception) -> Ended:
    """A failure in the place of an outcome that Redis can never take, so that its task gets any outcome at all."""
    if ended.outcome.status is Status.FAILED:
        raise error
    _log.error("the outcome of task %s can't be recorded", ended.delivery.id, exc_info=error)
    return ended._replace(outcome=Outcome(Status.FAILED, codec.encode(describe_error(error))))
