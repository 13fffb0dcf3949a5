"""One worker thread: claim, run, settle, and wait at the door when there is nothing to do."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .. import codec
from ..broker import Broker, Claim, Claimed, Settlement
from ..doorbell import Doorbell
from ..errors import RedisUnavailable
from ..message import Delivery
from ..outcome import Outcome, describe_error
from ..states import Status
from ..trouble import Trouble
from ..world import World
from .board import Board, Count

T = TypeVar("T")
_log = logging.getLogger("minicelery.worker")
_UNLEASED_PAUSE = 0.2
_COUNTS = {Status.SUCCESS: Count.SUCCEEDED, Status.RETRYING: Count.RETRIED, Status.FAILED: Count.FAILED}


@dataclass(frozen=True)
class Bench:
    """What all threads of one child share."""

    worker: str
    queues: tuple[str, ...]
    broker: Broker
    doorbell: Doorbell
    execute: Callable[[Delivery], Outcome | None]
    board: Board
    trouble: Trouble
    world: World
    stopping: threading.Event


class Consumer:
    """The loop of one thread. It ends only when the child stops, whatever tasks and Redis do."""

    def __init__(self, bench: Bench, thread: int) -> None:
        self._bench = bench
        self._thread = thread
        self._claims = 0

    def run(self) -> None:
        woken = False
        while claimed := self._claim(woken):
            if claimed.dropped:
                dropped = ", ".join(map(_on_one_line, claimed.dropped))
                _log.warning("dropped ids under which no task of ours waits: %s", dropped)
            for delivery in claimed.deliveries:
                self._work(delivery)
            woken = False if claimed.deliveries or claimed.dropped else self._wait(claimed.leased)

    def _claim(self, woken: bool) -> Claimed | None:
        """Look for work. None when the child stops. A claim without an answer is repeated under its number, since
        Redis may have given us a task already; if we stop meanwhile, our parent gives it back."""
        bench = self._bench
        self._claims += 1
        claim = Claim(bench.worker, self._thread, self._claims, bench.world.nonce(), bench.queues, woken=woken)
        while not bench.stopping.is_set():
            answer = self._try(lambda: bench.broker.claim(claim))
            if answer:
                return answer
        return None

    def _wait(self, leased: bool) -> bool:
        """Wait for work. True if a bell has rung."""
        bench = self._bench
        if not leased:
            bench.stopping.wait(_UNLEASED_PAUSE)
            return False
        return bool(self._try(lambda: bench.doorbell.wait(bench.worker, bench.queues)))

    def _work(self, delivery: Delivery) -> None:
        """Run a task and record how it ended, even if what goes wrong is our own fault."""
        bench = self._bench
        bench.board.take(self._thread, delivery.id, delivery.token)
        if bench.stopping.is_set():
            return  # what is in hand and not begun is given back by the child
        bench.board.begin(self._thread)
        started = time.perf_counter()
        try:
            outcome = bench.execute(delivery)
            self._settle(delivery, outcome, time.perf_counter() - started)
        except Exception as error:
            _log.exception("task %s met an error of the worker itself", delivery.id)
            outcome = Outcome(Status.FAILED, codec.encode(describe_error(error)))
            self._settle(delivery, outcome, time.perf_counter() - started)
        bench.board.drop(self._thread)

    def _settle(self, delivery: Delivery, outcome: Outcome | None, seconds: float) -> None:
        bench = self._bench
        kept = False
        if outcome:
            one = Settlement(delivery.id, delivery.token, outcome.status, outcome.body, outcome.delay)
            [kept] = self._insist(lambda: bench.broker.settle(bench.worker, [one]))
        bench.board.count(self._thread, _COUNTS[outcome.status] if outcome and kept else Count.LEASE_LOST)
        _tell(delivery, outcome if kept else None, seconds)

    def _insist(self, call: Callable[[], T]) -> T:
        """Call until it is answered, however long Redis is away. Scripts may be repeated; what Redis says can never
        work is not."""
        bench = self._bench
        while True:
            try:
                answer = call()
            except RedisUnavailable as error:
                time.sleep(bench.trouble.pause_after(error))
            else:
                bench.trouble.over()
                return answer

    def _try(self, call: Callable[[], T]) -> T | None:
        """Call once. None, after a pause, if there was no answer, or one that makes no sense."""
        bench = self._bench
        try:
            answer = call()
        except RedisUnavailable as error:
            bench.stopping.wait(bench.trouble.pause_after(error))
        except Exception:
            _log.exception("thread %d met an error of the worker itself; it tries again", self._thread)
            bench.stopping.wait(1)
        else:
            bench.trouble.over()
            return answer
        return None


def _tell(delivery: Delivery, outcome: Outcome | None, seconds: float) -> None:
    """One line for each run."""
    task = _on_one_line(f"{delivery.name} {delivery.id}")
    spent = f"{seconds * 1000:.0f} ms (waited {delivery.waited * 1000:.0f} ms)"
    facts = {"task": delivery.name, "task_id": delivery.id, "queue": delivery.queue}
    if outcome is None:
        _log.warning("%s lost its lease after %s; another run counts", task, spent, extra=facts)
        return
    if outcome.status is Status.SUCCESS:
        _log.info("%s succeeded in %s", task, spent, extra=facts)
        return
    error = codec.decode(outcome.body)
    reason = _on_one_line(f"{error['type']}: {error['message']:.200}")
    if outcome.status is Status.RETRYING:
        again = f"retry {delivery.retry_count + 1} of {delivery.max_retries} in {outcome.delay:.1f} s"
        _log.warning("%s failed after %s, %s: %s", task, spent, again, reason, extra=facts)
        return
    facts["traceback"] = error["traceback"]
    _log.error("%s failed for good after %s: %s", task, spent, reason, extra=facts)


def _on_one_line(text: str) -> str:
    """Without line breaks and control characters, with which an error could forge a line of the log."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
