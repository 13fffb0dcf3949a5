"""The child process: loads the application and runs its tasks in a pool of threads."""

import logging
import os
import resource
import selectors
import sys
import threading

from .. import logs
from ..app import MiniCelery
from ..broker import Broker
from ..doorbell import Doorbell
from ..errors import RedisUnavailable, TaskCancelled
from ..executor import Executor
from ..message import Delivery
from ..scripts import Scripts
from ..states import Status
from ..trouble import Trouble
from .bench import Bench
from .board import OFFICE, UNLIMITED, Board, Count, Limit, end_of
from .buffer import NEVER
from .cancellations import Cancellations
from .exchange import COUNTS
from .isolation import Isolation
from .opening import Unusable, leave_signals_to_the_parent, open_application
from .order import NOW, STOP, UNUSABLE, Hello, Order, Retiring
from .pool import MOST_GIVEN_UP, Pool
from .timers import be_punctual

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
_FAREWELL_PATIENCE = 1.0
_IDLE_GRACE = 1.0  #: seconds that idle threads have to end by themselves
_IDLE_IN_QUARANTINE = 10.0  #: seconds without work after which the process for tasks in quarantine ends
_TICK = 0.25


class Child:
    """Threads at work until the parent says stop or is gone, or the child is worn out."""

    def __init__(self, app: MiniCelery, order: Order) -> None:
        self._order = order
        self._config = config = app.config
        self._world = app.world
        self._board = Board(order.board)
        self._stopping = threading.Event()
        self._retirement: str | None = None
        self._is_retiring = False
        self._done = 0
        self._done_lock = threading.Lock()
        # The last words to Redis must not hold up the end.
        impatient = Scripts(app.clients.commands, app.keys, app.world, _FAREWELL_PATIENCE)
        self._farewell = Broker(impatient, app.keys, config.result_ttl)
        self._isolation = Isolation(order.app, order.settings, app.world, config.max_tasks_per_child)
        self._bench = self._equip(app, Trouble(_log, app.world))
        self._done_read, self._done_write = os.pipe()
        threads = 1 if order.quarantine else config.worker_concurrency
        self._pool = Pool(self._bench, threads, self._farewell, lambda: os.write(self._done_write, b"."))

    def _equip(self, app: MiniCelery, trouble: Trouble) -> Bench:
        """What the threads work with; and who listens for what is cancelled."""
        order, config, channel = self._order, app.config, app.keys.orders(self._order.worker)
        self._cancellations = Cancellations(
            channel, app.clients.blocking, app.inspector, app.world, trouble, self._in_hand, self._interrupt
        )
        executor = app.make_executor(cancelled=self._cancellations.has, isolate=self._isolation.run)
        return Bench(
            worker=order.worker,
            turns=config.turns,
            broker=app.broker,
            doorbell=Doorbell(app.clients.blocking, app.keys),
            execute=executor.execute,
            board=self._board,
            trouble=trouble,
            world=app.world,
            stopping=self._stopping,
            limit=lambda delivery: _limit(executor, delivery),
            interrupt=executor.interrupts.interrupt,
            knows=app.tasks.__contains__,
            cancelled=self._cancellations.has,
            after_task=self._after_task,
            quarantine=order.quarantine,
            share=config.worker_concurrency * config.worker_processes,
            least_lease=config.lease / 2,
        )

    def run(self) -> int:
        """Work until all threads have ended, or are given up on. The exit code: 1 if a fault has ended a thread."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._order.control, selectors.EVENT_READ)
            selector.register(self._done_read, selectors.EVENT_READ)
            self._cancellations.start()
            self._pool.start()
            self._until_stopped(selector)
        self._stopping.set()
        self._board.tick(self._world.monotonic())
        self._cancellations.stop()
        self._pool.end(_FAREWELL_PATIENCE)
        self._board.tick(self._world.monotonic())
        self._board.leave(behind=self._hand_back())
        return int(self._pool.has_broken)

    def _until_stopped(self, selector: selectors.BaseSelector) -> None:
        now = self._world.monotonic
        stopped_at, worked_at, next_limit = float("inf"), now(), float("inf")
        while self._pool.alive and not self._is_over(now() - stopped_at):
            for key, _ in selector.select(max(0.0, min(_TICK, next_limit - now()))):
                if key.fd == self._done_read:
                    os.read(self._done_read, 100)
                    continue
                command = os.read(self._order.control, 1)
                if command == NOW:
                    self._stopping.set()
                    return
                if not command:  # the parent is gone, and with it our lease
                    os._exit(1)
                if command == STOP and stopped_at == float("inf"):
                    stopped_at = now()
                    self._stop_claiming()
            self._board.tick(now())
            next_limit = self._pool.keep_limits()
            if self._has_work():
                worked_at = now()
            self._look_for_retirement(now() - worked_at)
            if self._pool.has_broken and stopped_at == float("inf"):
                stopped_at = now()  # what the broken thread had in hand must not wait for its neighbours without end

    def _look_for_retirement(self, idle_for: float) -> None:
        """Say that another child is to take over, and end when what runs has ended, however long that takes."""
        reason = self._retirement
        if self._pool.has_broken:
            reason = "a fault of the worker itself has ended a thread"
        elif self._pool.hanging > (0 if self._order.quarantine else MOST_GIVEN_UP):
            reason = f"{self._pool.hanging} of its threads hang in tasks that have overrun their limit"
        elif self._order.quarantine and idle_for > _IDLE_IN_QUARANTINE:
            reason = "no task is left in quarantine"
        if reason and not self._is_retiring:
            self._is_retiring = True
            os.write(self._order.report, Retiring(reason).dump())
            self._stop_claiming()

    def _is_over(self, stopping_for: float) -> bool:
        """Whether nobody is left to wait for: a thread that Redis leaves without an answer has nothing in hand."""
        return stopping_for >= self._config.grace or (stopping_for >= _IDLE_GRACE and not self._has_work())

    def _has_work(self) -> bool:
        """Whether a task is in the hand of a thread or claimed, or an outcome is not recorded."""
        buffer = self._bench.buffer
        return bool(self._board.held() or buffer.waiting or buffer.unrecorded)

    def _interrupt(self, run: tuple[str, str]) -> bool:
        """End the process of a cancelled run, or raise an exception in it. False if it is not inside its function."""
        return self._isolation.kill(run, TaskCancelled(run[0])) or self._bench.interrupt(run, TaskCancelled)

    def _in_hand(self) -> list[tuple[str, str]]:
        """All that is claimed and whose run is not over."""
        return [*self._bench.buffer.pairs, *((held.id, held.token) for held in self._board.held())]

    def _stop_claiming(self) -> None:
        self._stopping.set()
        try:
            self._farewell.wake(self._order.worker, self._pool.threads)
        except RedisUnavailable as error:
            _log.warning("idle threads will be left waiting: %s", error)

    def _after_task(self) -> None:
        """In the thread that has run it: look whether the child is worn out."""
        config = self._config
        with self._done_lock:
            self._done += 1
        if config.max_tasks_per_child and self._done >= config.max_tasks_per_child:
            self._retire(f"it has run {self._done} tasks")
        elif config.max_memory_per_child and _peak_memory() > config.max_memory_per_child:
            self._retire(f"it has used {_peak_memory():,} KiB of memory")

    def _retire(self, reason: str) -> None:
        if self._retirement is None:
            self._retirement = reason
            self._stopping.set()  # before this thread can claim once more
            os.write(self._done_write, b".")  # wakes the main thread

    def _hand_back(self) -> int:
        """Record what has ended, and give back what is still in hand. How much of it is left to the parent, as Redis
        does not take it now."""
        self._bench.buffer.late(NEVER)
        ended, waiting = self._bench.buffer.unrecorded, self._bench.buffer.leaving
        over = {(one.delivery.id, one.delivery.token) for one in ended}
        held = [one for one in self._board.held() if (one.id, one.token) not in over]
        worker, count = self._order.worker, self._board.count
        try:
            if ended:
                kept = self._farewell.settle(worker, [one.settlement for one in ended])
                for run, mine in zip(ended, kept, strict=True):
                    count(OFFICE, end_of(COUNTS[run.outcome.status], mine))
            if held or waiting:
                pairs = [(delivery.id, delivery.token) for _, delivery in waiting]
                pairs += [(one.id, one.token) for one in held]
                given = self._farewell.release(worker, pairs)
                count(OFFICE, Count.HANDED_BACK, given.count(True))
                count(OFFICE, Count.CANCELLED, given.count(None))
                count(OFFICE, Count.LEASE_LOST, given.count(False))
        except Exception as error:
            left = len(held) + len(waiting) + len(ended)
            _log.error("%d tasks are left to the parent, or to the end of the lease: %s", left, error)
            return left
        for one in held:
            self._board.drop(one.thread)
        if held:
            names = ", ".join(one.id for one in held)
            _log.warning("handed back %d tasks that had not finished: %s", given.count(True), names)
        return 0


def _limit(executor: Executor, delivery: Delivery) -> Limit | None:
    found = executor.time_limits(delivery)
    if found is None:
        return None
    (hard, soft), outcome = found
    retry_after = outcome.delay if outcome.status is Status.RETRYING else None
    return Limit(hard or UNLIMITED, retry_after, soft or UNLIMITED)


def _peak_memory() -> int:
    """The most memory that this process has had, in KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def main(order: Order) -> int:
    """The life of a child. Exit code 0 after a stop, ``UNUSABLE`` when it can't start."""
    leave_signals_to_the_parent()
    for descriptor in (order.board, order.control, order.report):
        os.set_inheritable(descriptor, False)
    try:
        app = open_application(order.app, order.settings)
    except Unusable as error:
        os.write(order.report, Hello(fault=str(error)).dump())
        return UNUSABLE
    hello = Hello(
        config=app.config,
        name=app.name,
        tasks=tuple(sorted(task.name for task in app.tasks)),
        schedules=tuple(schedule.fields() for schedule in app.periodics),
        queue_settings=dict(app.queues.texts()),
    )
    os.write(order.report, hello.dump())
    be_punctual()
    return Child(app, order).run()


if __name__ == "__main__":
    code = 1
    try:
        code = main(Order.load(sys.stdin.read()))
        logging.shutdown()
        sys.stdout.flush()
    except BaseException:
        _log.critical("a child ends by a fault", exc_info=True)
    finally:
        os._exit(code)  # threads that still run user code can't be joined
