"""One worker thread: takes a claimed task, runs it, and keeps its outcome until it is recorded with the next claim."""

import logging
import threading
from dataclasses import dataclass

from .. import codec, logs
from ..interrupt import Run
from ..message import Delivery
from ..outcome import Outcome, describe_error
from ..states import Status
from . import runlog
from .bench import Bench
from .board import Count
from .buffer import NEVER, Ended
from .exchange import Exchange
from .pace import PATIENCE

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))


@dataclass(slots=True)
class SoftLimit:
    """When a run is to be told that its time is over, on the monotonic clock, and whether it has been."""

    run: Run
    at: float
    is_told: bool = False


class Consumer:
    """The loop of one thread. It ends only when the child stops or gives up on what the thread is running, whatever
    tasks and Redis do."""

    def __init__(self, bench: Bench, thread: int) -> None:
        self._bench = bench
        self._thread = thread
        self._exchange = Exchange(bench, thread)
        self._lock = threading.Lock()
        self._running: Run | None = None
        self.soft_limit: SoftLimit | None = None
        self.ident: int | None = None
        self.has_ended = False
        self.is_given_up = False

    def run(self) -> None:
        self.ident = threading.get_ident()
        self._bench.board.enter(self._thread, threading.get_native_id())
        self._bench.crew.join()
        try:
            self._loop()
        finally:
            self._bench.crew.leave()

    def _loop(self) -> None:
        bench, buffer, exchange = self._bench, self._bench.buffer, self._exchange
        while not bench.stopping.is_set():
            if bench.crew.is_low(buffer.waiting):
                buffer.want()
            taken = buffer.take()
            if taken:
                self._run(*taken)
                if self.is_given_up:
                    return
            else:
                may_be_more = exchange.trade()
                bench.board.drop(self._thread)
                while not (may_be_more or buffer.waiting or bench.stopping.is_set()):
                    may_be_more = exchange.wait()
        exchange.record(buffer.ended())
        bench.board.drop(self._thread)
        exchange.hand_back(buffer.late(NEVER))

    def give_up(self, task_id: str, token: str) -> bool:
        """End the loop after what it runs now, of which nobody else will hear. False if that has ended by itself."""
        with self._lock:
            if self._running != (task_id, token):
                return False
            self._running, self.soft_limit, self.is_given_up = None, None, True
            self._bench.board.lift_limit(self._thread)
            return True

    def _run(self, claimed_at: float, delivery: Delivery) -> None:
        """Run a task and keep how it ended, even if what goes wrong is our own fault."""
        bench = self._bench
        bench.board.take(self._thread, delivery.id, delivery.name, delivery.token)
        if not bench.knows(delivery.name):
            self._exchange.pass_on(delivery)
            bench.board.drop(self._thread)
            return
        if bench.cancelled(delivery):
            self._return(claimed_at, delivery)
            return
        if not bench.pace.is_short(delivery.name):
            self._exchange.record(bench.buffer.ended())  # what has ended does not wait for this one
        self._running = (delivery.id, delivery.token)
        begun = bench.world.monotonic()
        try:
            limit = bench.limit(delivery)
            bench.board.begin(self._thread, begun, limit)
            if limit:
                self.soft_limit = SoftLimit((delivery.id, delivery.token), begun + limit.soft)
            if claimed_at < bench.board.recalled_at:  # only now, when our parent can see that it may begin
                self._return(claimed_at, delivery)
                return
            outcome = bench.execute(delivery)
        except Exception as error:
            _log.exception("task %s met an error of the worker itself", delivery.id)
            outcome = Outcome(Status.FAILED, codec.encode(describe_error(error)))
        ended_at = bench.world.monotonic()
        seconds = ended_at - begun
        if not self._lay_down(delivery, outcome, seconds, ended_at):
            _log.warning(
                "%s has ended after %.1f s, when nobody waited for it any more", runlog.name(delivery), seconds
            )
            return
        bench.pace.note(delivery.name, seconds)
        if seconds > PATIENCE and bench.buffer.waiting:
            self._exchange.record(bench.buffer.ended())
        bench.after_task()

    def _return(self, claimed_at: float, delivery: Delivery) -> None:
        """Give back what is not to begin: it is cancelled, or was recalled with all that was claimed with it, while
        nothing moved in this process."""
        bench = self._bench
        with self._lock:
            self._running = self.soft_limit = None
        bench.board.drop(self._thread)
        self._exchange.hand_back([*bench.buffer.late(bench.board.recalled_at), (claimed_at, delivery)])

    def _lay_down(self, delivery: Delivery, outcome: Outcome | None, seconds: float, now: float) -> bool:
        """Put an outcome into the buffer. False if the child has given up on the run.

        It stays in the thread's hand until it is recorded or the next one is taken: if the process ends, it may be to
        blame.
        """
        bench = self._bench
        with self._lock:
            self._running = self.soft_limit = None
            if self.is_given_up:
                return False
            bench.board.lift_limit(self._thread)
            if outcome:
                bench.buffer.hold(Ended(delivery, outcome, seconds, now))
        if outcome is None:
            bench.board.drop(self._thread)
            bench.board.count(self._thread, Count.LEASE_LOST)
            runlog.tell(delivery, None, seconds)
        elif bench.buffer.waiting:
            bench.buffer.stir()
        return True
