"""The threads of a child: they run tasks, and those that are stuck in one are given up and replaced."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from .. import logs
from ..broker import Broker
from ..errors import SoftTimeLimitExceeded
from ..handover import Kept, Settlement
from ..states import Status
from .bench import Bench
from .board import UNLIMITED, Held, end_of
from .consumer import Consumer
from .exchange import COUNTS
from .minder import Minder
from .overrun import settlement

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
#: Threads that may hang in a child. With one more it is replaced, as each keeps its memory for ever.
MOST_GIVEN_UP = 3
_AGAIN = 0.01  #: seconds until another try to tell a run that its soft limit is over


class Pool:
    """A number of consumers, each in a thread of its own. ``on_end`` is called from a thread that ends.

    ``broker`` records what is given up; it must not be patient, as the child's main thread calls it.
    """

    def __init__(self, bench: Bench, threads: int, broker: Broker, on_end: Callable[[], object]) -> None:
        self.threads = threads
        self.alive = 0
        self.has_broken = False
        self._bench = bench
        self._broker = broker
        self._on_end = on_end
        self._lock = threading.Lock()
        self._consumers: list[Consumer] = []
        self._unrecorded: list[tuple[Held, Settlement]] = []
        self._minder = Minder(bench)
        self._executor = ThreadPoolExecutor(threads + MOST_GIVEN_UP, thread_name_prefix="task")

    def start(self) -> None:
        for _ in range(self.threads):
            self._add()
        self._minder.start()

    def end(self, patience: float) -> None:
        """Wait for what is on its way to Redis in nobody's hand, when the child stops and its threads have ended."""
        self._minder.end(patience)

    @property
    def hanging(self) -> int:
        """Threads that are given up and have not ended."""
        return sum(consumer.is_given_up and not consumer.has_ended for consumer in self._consumers)

    def keep_limits(self) -> float:
        """Tell every run whose soft limit is over so. Record the failure of each that has taken longer than its limit,
        and put a new thread in its place. The moment of the next limit, on the monotonic clock."""
        now, then = self._bench.world.monotonic(), UNLIMITED
        for held in self._bench.board.held():
            if held.deadline > now:
                then = min(then, held.deadline)
                continue
            consumer = self._consumers[held.thread]
            if not consumer.has_ended and consumer.give_up(held.id, held.token):
                self._unrecorded.append((held, settlement(held, _stack(consumer.ident))))
                self._replace()
        self._record_given_up()
        return min(then, self._keep_soft_limits(now))

    def _keep_soft_limits(self, now: float) -> float:
        then = UNLIMITED
        for soft in [consumer.soft_limit for consumer in self._consumers]:
            if soft is None or soft.is_told:
                continue
            if soft.at <= now:
                soft.is_told = self._bench.interrupt(soft.run, SoftTimeLimitExceeded)
            if not soft.is_told:
                then = min(then, max(soft.at, now + _AGAIN))
        return then

    def _record_given_up(self) -> None:
        for held, one in [*self._unrecorded]:
            try:
                [kept] = self._broker.settle(self._bench.worker, [one])
            except Exception as error:
                if self._bench.trouble.is_news(error):
                    _log.warning("a run that took longer than its limit is recorded as soon as Redis does: %s", error)
                return
            self._unrecorded.remove((held, one))
            self._note(held, one, kept)

    def _note(self, held: Held, one: Settlement, kept: Kept) -> None:
        self._bench.board.count(held.thread, end_of(COUNTS[one.status], kept))
        self._bench.board.drop(held.thread)
        again = f"retry in {one.delay:.1f} s" if one.status is Status.RETRYING else "failed for good"
        if not kept:
            again = "it was cancelled" if kept is None else "another run counts"
        _log.error("task %s took longer than its limit of %g s and is given up: %s", held.id, held.limit.seconds, again)

    def _replace(self) -> None:
        """A new thread for one that hangs; none beside a task that is to run alone, nor beside too many that hang."""
        with self._lock:
            self.alive -= 1
        most = 0 if self._bench.quarantine else MOST_GIVEN_UP
        if self.hanging <= most and not self._bench.stopping.is_set():
            self._add()

    def _add(self) -> None:
        thread = len(self._consumers)
        consumer = Consumer(self._bench, thread)
        self._bench.board.open_slot(thread)
        self._consumers.append(consumer)
        with self._lock:
            self.alive += 1
        future = self._executor.submit(consumer.run)
        future.add_done_callback(lambda done: self._ended(consumer, done))

    def _ended(self, consumer: Consumer, future: "Future[None]") -> None:
        error = future.exception()
        with self._lock:
            consumer.has_ended = True
            self.alive -= not consumer.is_given_up
            self.has_broken = self.has_broken or error is not None
        self._on_end()
        if error:
            _log.critical("a worker thread has ended by %r; this child is replaced", error, exc_info=error)


def _stack(ident: int | None) -> str:
    """Where a thread is, as text for people."""
    frame = sys._current_frames().get(ident or 0)
    return "".join(traceback.format_stack(frame)) if frame else ""
