"""One worker thread: claim, run, settle, and wait at the door when there is nothing to do."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .. import codec, logs
from ..broker import Broker, Claim, Claimed, Settlement
from ..doorbell import Doorbell
from ..errors import RedisUnavailable
from ..law import shown
from ..message import Delivery
from ..outcome import Outcome, describe_error
from ..states import Status
from ..trouble import Trouble
from ..world import World
from .board import Board, Count, Limit

T = TypeVar("T")
_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
_UNLEASED_PAUSE = 0.05
_PAUSE_AFTER_A_FAULT = 1.0
_PASSED_ON = {
    Status.SCHEDULED: (Count.HANDED_BACK, "it is left to a worker that knows it"),
    Status.FAILED: (Count.FAILED, "it is a dead letter, as no live worker of its queue knows it"),
    None: (Count.LEASE_LOST, "it had lost its lease"),
}
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
    limit: Callable[[Delivery], Limit | None] = lambda _: None
    knows: Callable[[str], bool] = lambda _: True
    after_task: Callable[[], None] = lambda: None
    quarantine: bool = False


class Consumer:
    """The loop of one thread. It ends only when the child stops or gives up on what the thread is running, whatever
    tasks and Redis do."""

    def __init__(self, bench: Bench, thread: int) -> None:
        self._bench = bench
        self._thread = thread
        self._claims = 0
        self._lock = threading.Lock()
        self._running: str | None = None
        self.ident: int | None = None
        self.has_ended = False
        self.is_given_up = False

    def run(self) -> None:
        self.ident = threading.get_ident()
        self._bench.board.enter(self._thread, threading.get_native_id())
        woken = False
        while not self.is_given_up and (claimed := self._claim(woken)):
            if claimed.dropped:
                dropped = ", ".join(map(shown, claimed.dropped))
                _log.warning("dropped ids under which no task of ours waits: %s", dropped)
            for delivery in claimed.deliveries:
                self._work(delivery)
            woken = False if claimed.deliveries or claimed.dropped else self._wait()

    def give_up(self, token: str) -> bool:
        """End the loop after what it runs now, of which nobody else will hear. False if that has ended by itself."""
        with self._lock:
            if self._running != token:
                return False
            self._running, self.is_given_up = None, True
            self._bench.board.lift_limit(self._thread)
            return True

    def _claim(self, woken: bool) -> Claimed | None:
        """Look for work. None when the child stops."""
        bench = self._bench
        while not bench.stopping.is_set():
            self._claims += 1
            nonce, number = bench.world.nonce(), self._claims
            claim = Claim(
                bench.worker, self._thread, number, nonce, bench.queues, woken=woken, quarantine=bench.quarantine
            )
            answer, was_refused = self._ask(claim)
            if answer.deliveries or not was_refused:
                return answer  # else it has only shown that the refused claim had taken nothing
        return None

    def _ask(self, claim: Claim) -> tuple[Claimed, bool]:
        """The answer to a claim, and whether it was refused before for want of a lease.

        Without an answer it is repeated under its number, since Redis may have given us tasks already, even if we stop
        meanwhile; and so when it is refused, as it may have been answered before the lease was over.
        """
        was_refused = False
        while True:
            answer = self._try(lambda: self._bench.broker.claim(claim))
            if answer and answer.leased:
                return answer, was_refused
            if answer:
                was_refused = True
                self._pause(_UNLEASED_PAUSE)

    def _wait(self) -> bool:
        """Wait for work. True if a bell has rung."""
        bench = self._bench
        return bool(self._try(lambda: bench.doorbell.wait(bench.worker, bench.queues, quarantine=bench.quarantine)))

    def _work(self, delivery: Delivery) -> None:
        """Run a task and record how it ended, even if what goes wrong is our own fault."""
        bench = self._bench
        bench.board.take(self._thread, delivery.id, delivery.name, delivery.token)
        if bench.stopping.is_set():
            self._hand_back(delivery)
            return
        if not bench.knows(delivery.name):
            self._pass_on(delivery)
            return
        self._running = delivery.token
        bench.board.begin(self._thread, bench.world.monotonic(), bench.limit(delivery))
        started = time.perf_counter()
        try:
            outcome = bench.execute(delivery)
            if self._ends_in_vain():
                spent = time.perf_counter() - started
                _log.warning("%s has ended after %.1f s, when nobody waited for it any more", _name(delivery), spent)
                return
            self._settle(delivery, outcome, time.perf_counter() - started)
        except Exception as error:
            _log.exception("task %s met an error of the worker itself", delivery.id)
            if self._ends_in_vain():
                return
            outcome = Outcome(Status.FAILED, codec.encode(describe_error(error)))
            self._settle(delivery, outcome, time.perf_counter() - started)
        bench.board.drop(self._thread)
        bench.after_task()

    def _ends_in_vain(self) -> bool:
        """Whether the child has given up on the run; from now on neither it nor its parent can."""
        with self._lock:
            self._running = None
            self._bench.board.lift_limit(self._thread)
            return self.is_given_up

    def _hand_back(self, delivery: Delivery) -> None:
        """What is claimed and not begun when the child stops. If Redis is away it stays in hand until the end."""
        bench = self._bench
        given = self._try(lambda: bench.broker.release(bench.worker, [(delivery.id, delivery.token)]))
        if given:
            bench.board.count(self._thread, Count.HANDED_BACK if given[0] else Count.LEASE_LOST)
            bench.board.drop(self._thread)

    def _pass_on(self, delivery: Delivery) -> None:
        """What we do not know the name of is left to a worker that does; if there is none, it is a dead letter."""
        bench = self._bench
        where = f"no task '{delivery.name:.100}' here, nor at any live worker of queue '{delivery.queue}'"
        body = {"type": "UnknownTask", "message": f"{where}; deploy it, then retry this dead letter", "traceback": ""}
        error = codec.encode(body)
        state = self._insist(lambda: bench.broker.pass_on(bench.worker, delivery.id, delivery.token, error))
        count, words = _PASSED_ON[state]
        _log.warning("%s has a name unknown here: %s", _name(delivery), words)
        bench.board.count(self._thread, count)
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
            self._pause(bench.trouble.pause_after(error))
        except Exception as error:
            if bench.trouble.is_news(error):
                _log.exception("met an error that is no outage; trying again, and 'minicelery doctor' may know more")
            self._pause(_PAUSE_AFTER_A_FAULT)
        else:
            bench.trouble.over()
            return answer
        return None

    def _pause(self, seconds: float) -> None:
        """Not for long when the child is about to stop, but never without an end."""
        stopping = self._bench.stopping
        if stopping.is_set():
            time.sleep(seconds)
        else:
            stopping.wait(seconds)


def _tell(delivery: Delivery, outcome: Outcome | None, seconds: float) -> None:
    """One line for each run."""
    task = _name(delivery)
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


def _name(delivery: Delivery) -> str:
    return _on_one_line(f"{delivery.name} {delivery.id}")


def _on_one_line(text: str) -> str:
    """Without line breaks and control characters, with which an error could forge a line of the log."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
