"""The process of isolated tasks: loads the application, and runs one task after the other for the child above it."""

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

from .. import logs
from ..app import MiniCelery
from ..errors import SoftTimeLimitExceeded
from ..interrupt import Run
from ..message import Delivery
from .opening import Unusable, leave_signals_to_the_parent, open_application
from .wire import Wire

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
#: What the child sends: the soft limit is over; say where you are.
SOFT_LIMIT, WHERE = signal.SIGUSR1, signal.SIGUSR2
_NEVER = float("inf")


class Cell:
    """Runs tasks in the main thread, until the other end of the wire is closed."""

    def __init__(self, app: MiniCelery, wire: Wire, last_words: int) -> None:
        """``last_words``: a descriptor for where the process is, and what has ended it, if that can be told."""
        self._wire = wire
        self._last_words = last_words
        self._now = app.world.monotonic
        self._executor = app.make_executor(self._report, self._is_cancelled)
        self._asking = threading.Lock()
        self._run: Run | None = None
        self._soft_at = _NEVER

    def serve(self) -> None:
        while True:
            try:
                soft_limit, *fields = self._wire.receive()
            except (EOFError, OSError):
                return
            self._serve(Delivery(*fields), soft_limit)

    def _serve(self, delivery: Delivery, soft_limit: float | None) -> None:
        self._see_to_signals()
        self._run = (delivery.id, delivery.token)
        self._soft_at = _NEVER if soft_limit is None else self._now() + soft_limit
        self._wire.send("begun")  # now, so that the child never counts the limit from an earlier moment than we do
        outcome = self._executor.execute(delivery)
        self._soft_at = _NEVER
        with self._asking:  # a thread that the task has left may be asking
            self._run = None
        self._wire.send("ended", outcome)

    def _see_to_signals(self) -> None:
        """Anew for each run, whatever the task before has done with them."""
        signal.signal(SOFT_LIMIT, self._meet_soft_limit)
        faulthandler.unregister(WHERE)
        faulthandler.register(WHERE, self._last_words, all_threads=False)
        faulthandler.enable(self._last_words, all_threads=False)

    def _meet_soft_limit(self, *_: object) -> None:
        """Once a run. A signal for an earlier one comes before the limit of this one is over."""
        if self._now() >= self._soft_at:
            self._soft_at = _NEVER
            self._executor.interrupts.strike(SoftTimeLimitExceeded)

    def _report(self, task_id: str, token: str, members: str) -> bool | None:
        """The child reports it, and knows whether the delivery is still the current one."""
        is_current: bool | None = self._ask((task_id, token), "progress", task_id, token, members)
        return is_current

    def _is_cancelled(self, delivery: Delivery) -> bool:
        run = (delivery.id, delivery.token)
        return bool(self._executor.interrupts.shielded(run, self._ask, run, "cancelled"))

    def _ask(self, run: Run, *words: str) -> Any:
        """The child's answer. False to a thread that an earlier run has left."""
        with self._asking:
            if run != self._run:
                return False
            self._wire.send(*words)
            [answer] = self._wire.receive()
            return answer


def main(descriptor: int) -> None:
    """The life of a cell. The first words that it hears name the application and where to tell what has ended it."""
    leave_signals_to_the_parent()
    signal.signal(SOFT_LIMIT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    wire = Wire(socket.socket(fileno=descriptor))
    path, settings, last_words = wire.receive()
    os.set_inheritable(last_words, False)
    try:
        app = open_application(path, settings)
    except Unusable as error:
        wire.send("unusable", str(error))
        return
    wire.send("ready")
    Cell(app, wire, last_words).serve()


if __name__ == "__main__":
    code = 1
    try:
        main(int(sys.argv[1]))
        logging.shutdown()
        sys.stdout.flush()
        code = 0
    except BaseException:
        _log.critical("a process for isolated tasks ends by a fault", exc_info=True)
    finally:
        os._exit(code)  # threads that still run user code can't be joined
