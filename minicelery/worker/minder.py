"""A thread that looks after what waits in the buffer for too long, since every other thread of the child is busy."""

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
    """Hands back claimed tasks that a stuck or slow task holds up, and records outcomes that are held up with them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._exchange = Exchange(bench, OFFICE)
        self._thread = threading.Thread(target=self._run, name="minder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        buffer, world = self._bench.buffer, self._bench.world
        calm_since = world.monotonic()
        while not self._bench.stopping.wait(_TICK):
            now = world.monotonic()
            try:
                self.look(now)
            except Exception:
                _log.exception("the minder met an error of the worker itself")
            if buffer.waiting or buffer.oldest_outcome is not None:
                calm_since = now
            elif now - calm_since > _CALM:
                buffer.stirred.clear()
                if not buffer.waiting and buffer.oldest_outcome is None:
                    buffer.stirred.wait()
                calm_since = world.monotonic()
        self._exchange.record(buffer.ended())
        self._exchange.hand_back(buffer.late(NEVER))

    def look(self, now: float) -> None:
        """Give back what was claimed longer than the patience ago, and record what ended longer ago."""
        buffer = self._bench.buffer
        since = buffer.oldest_outcome
        if since is not None and since < now - PATIENCE:
            self._exchange.record(buffer.ended())
        self._exchange.hand_back(buffer.late(now - PATIENCE))
