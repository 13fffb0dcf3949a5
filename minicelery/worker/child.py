"""The child process: loads the application and runs its tasks in a pool of threads."""

import logging
import os
import selectors
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from .. import logs
from ..app import MiniCelery, read_config
from ..broker import Broker
from ..doorbell import Doorbell
from ..errors import MiniCeleryError, RedisUnavailable
from ..loading import load_app
from ..scripts import Scripts
from ..trouble import Trouble
from .board import Board, Count
from .consumer import Bench, Consumer
from .order import NOW, STOP, UNUSABLE, Hello, Order

_log = logging.getLogger("minicelery.worker")
_FAREWELL_PATIENCE = 1.0
_IDLE_GRACE = 1.0  #: seconds that idle threads have to end by themselves
_LOOK = 0.1


class Child:
    """Threads at work until the parent says stop, or is gone."""

    def __init__(self, app: MiniCelery, order: Order) -> None:
        config = app.config
        self._order = order
        self._grace = config.grace
        self._threads = config.worker_concurrency
        self._board = Board(order.board)
        self._stopping = threading.Event()
        # The last words to Redis must not hold up the end.
        self._farewell = Broker(
            Scripts(app.clients.commands, app.keys, app.world, _FAREWELL_PATIENCE), app.keys, config.result_ttl
        )
        self._bench = Bench(
            worker=order.worker,
            queues=config.queues,
            broker=app.broker,
            doorbell=Doorbell(app.clients.blocking, app.keys),
            execute=app.executor.execute,
            board=self._board,
            trouble=Trouble(_log, app.world),
            world=app.world,
            stopping=self._stopping,
        )
        self._done_read, self._done_write = os.pipe()
        self._has_broken = False

    def run(self) -> int:
        """Work until all threads have ended, or are given up on. The exit code: 1 if a fault has ended a thread."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._order.control, selectors.EVENT_READ)
            selector.register(self._done_read, selectors.EVENT_READ)
            pool = ThreadPoolExecutor(self._threads, thread_name_prefix="task")
            for thread in range(self._threads):
                pool.submit(Consumer(self._bench, thread).run).add_done_callback(self._thread_ended)
            self._until_stopped(selector)
        self._hand_back()
        return int(self._has_broken)

    def _thread_ended(self, future: "Future[None]") -> None:
        if error := future.exception():
            _log.critical("a worker thread has ended by %r; this child is replaced", error, exc_info=error)
            self._has_broken = True
        os.write(self._done_write, b".")

    def _until_stopped(self, selector: selectors.BaseSelector) -> None:
        alive, stopped_at = self._threads, float("inf")
        while alive and not self._is_over(time.monotonic() - stopped_at):
            for key, _ in selector.select(_LOOK if self._stopping.is_set() else None):
                if key.fd == self._done_read:
                    alive -= len(os.read(self._done_read, self._threads))
                    if self._has_broken and not self._stopping.is_set():
                        stopped_at = time.monotonic()
                        self._stop_claiming()
                    continue
                command = os.read(self._order.control, 1)
                if command == STOP and not self._stopping.is_set():
                    stopped_at = time.monotonic()
                    self._stop_claiming()
                elif command == NOW:
                    self._stopping.set()
                    return
                elif not command:  # the parent is gone, and with it our lease
                    os._exit(1)

    def _is_over(self, stopping_for: float) -> bool:
        """Whether nobody is left to wait for: a thread that Redis leaves without an answer has nothing in hand."""
        return stopping_for >= self._grace or (stopping_for >= _IDLE_GRACE and not self._board.held())

    def _stop_claiming(self) -> None:
        self._stopping.set()
        try:
            self._farewell.wake(self._order.worker, self._threads)
        except RedisUnavailable as error:
            _log.warning("idle threads will be left waiting: %s", error)

    def _hand_back(self) -> None:
        """Give back what is still in hand. What Redis does not take back now, the end of the lease gives back."""
        held = [(one.id, one.token) for one in self._board.held()]
        if not held:
            return
        try:
            given = sum(self._farewell.release(self._order.worker, held))
        except RedisUnavailable as error:
            _log.error("%d tasks are left to the end of the lease: %s", len(held), error)
            return
        self._board.count(0, Count.HANDED_BACK, given)
        _log.warning("handed back %d tasks that had not finished: %s", given, ", ".join(one for one, _ in held))


def main(order: Order) -> int:
    """The life of a child. Exit code 0 after a stop, ``UNUSABLE`` when it can't start."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent decides; it is told through the pipe
    try:
        logs.configure(read_config({}))  # first, so that the application may have it otherwise
        app = load_app(order.app)
        app.configure(**order.settings)
    except MiniCeleryError as error:
        return _refuse(order, str(error))
    except Exception as error:
        _log.exception("the application can't be loaded")
        return _refuse(order, f"the application can't be loaded: {type(error).__name__}: {error}")
    logs.configure(app.config)
    _report(order, Hello(config=app.config, name=app.name, tasks=tuple(sorted(task.name for task in app.tasks))))
    return Child(app, order).run()


def _refuse(order: Order, fault: str) -> int:
    _report(order, Hello(fault=fault))
    return UNUSABLE


def _report(order: Order, hello: Hello) -> None:
    with os.fdopen(order.report, "w", encoding="utf-8") as pipe:
        pipe.write(hello.dump() + "\n")


if __name__ == "__main__":
    code = main(Order.load(sys.argv[1]))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # threads that still run user code can't be joined
