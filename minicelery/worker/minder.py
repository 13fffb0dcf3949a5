"""A thread that looks after the buffer while every other thread of the child is busy."""

import logging
import threading

from .. import logs
from .bench import Bench
from .board import OFFICE
from .buffer import NEVER
from .exchange import Exchange
from .pace import PATIENCE

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
_TICK = PATIENCE / 2
_CALM = 1.0  #: seconds without anything in the buffer after which it sleeps until something is put there


class Minder:
    """Claims more before the buffer is used up, so that no thread that could run a task has to wait for Redis; hands
    back claimed tasks that a stuck or slow task holds up, and records outcomes that are held up with them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._exchange = Exchange(bench, OFFICE)
        self._thread = threading.Thread(target=self._run, name="minder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, patience: float) -> None:
        """Wait until it has ended, now that the child is stopping; for so many seconds at most."""
        self._bench.buffer.stir()  # out of its sleep
        self._thread.join(patience)

    def _run(self) -> None:
        buffer, world = self._bench.buffer, self._bench.world
        calm_since = world.monotonic()
        while not self._bench.stopping.is_set():
            is_wanted = buffer.wanting.wait(_TICK)
            now = world.monotonic()
            try:
                if is_wanted:
                    self.refill()
                self.look(now)
            except Exception:
                _log.exception("the minder met an error of the worker itself")
            if buffer.waiting or buffer.oldest_outcome is not None:
                calm_since = now
            elif now - calm_since > _CALM:
                buffer.stirred.clear()
                if not (buffer.waiting or buffer.oldest_outcome is not None or self._bench.stopping.is_set()):
                    buffer.stirred.wait()
                calm_since = world.monotonic()
        self._exchange.record(buffer.ended())
        self._exchange.hand_back(buffer.late(NEVER))

    def refill(self) -> None:
        """Claim more, unless a thread has done so meanwhile."""
        buffer = self._bench.buffer
        buffer.wanting.clear()
        if self._bench.crew.is_low(buffer.waiting):
            self._exchange.trade()

    def look(self, now: float) -> None:
        """Give back what was claimed longer than the patience ago, and record what ended longer ago."""
        buffer = self._bench.buffer
        since = buffer.oldest_outcome
        if since is not None and since < now - PATIENCE:
            self._exchange.record(buffer.ended())
        self._exchange.hand_back(buffer.late(now - PATIENCE))
