"""The hub: what request threads use to hand their WebSockets to the one thread that serves them all."""

import logging
import os
import resource
import threading
from functools import partial

from ..app import MiniCelery
from ..connection import Clients
from ..errors import MiniCeleryError, RedisUnavailable
from ..inspector import Inspector
from ..keys import Keys
from ..world import World
from .channels import open_link
from .loop import Loop, Stopping
from .socket import Limits
from .watching import Arrival, Subscription

__all__ = ["Hub", "HubFull", "Stopping", "make_hub"]

_log = logging.getLogger("minicelery.hub")

#: Seconds a request waits for Redis to confirm its subscription.
PATIENCE = 5.0
_FILES_FOR_OTHERS = 128
_JOIN_MARGIN = 1.0


class HubFull(MiniCeleryError):
    """This process serves as many WebSockets as it can; try again later, or raise the limit of open files."""


class Hub:
    """Serves any number of WebSockets from one thread, which begins with the first of them in each process.

    A request subscribes first (``watch``), reads the task second and hands its socket over last (``attach``), so that
    no event falls in between. Whoever does not attach must ``abandon``.
    """

    def __init__(
        self,
        inspector: Inspector,
        clients: Clients,
        keys: Keys,
        world: World | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._inspector = inspector
        self._clients = clients
        self._keys = keys
        self._world = world or World()
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._pid = 0
        self._is_closed = False
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None

    @property
    def size(self) -> int:
        """How many sockets this process serves."""
        return self._loop.size if self._loop and self._pid == os.getpid() else 0

    def watch(self, task_id: str) -> Subscription:
        """Subscribe to a task's events, and return when Redis has confirmed it.

        Raises ``RedisUnavailable``, ``HubFull``, or ``Stopping`` after ``close_all``.
        """
        loop = self._running()
        if loop.size >= _capacity():
            raise HubFull(f"This process serves {loop.size} WebSockets, and has no open files left for more.")
        subscription = Subscription(task_id, self._keys.events(task_id))
        loop.post(partial(loop.watch, subscription))
        try:
            subscription.outcome.result(PATIENCE)
        except TimeoutError:
            self.abandon(subscription)
            raise RedisUnavailable(f"Redis has not confirmed a subscription within {PATIENCE:g} s") from None
        return subscription

    def attach(self, subscription: Subscription, arrival: Arrival) -> None:
        """Hand a socket over: it is sent its first events, then what was heard meanwhile, then all that comes."""
        loop = self._loop
        if loop is None or not loop.post(partial(loop.attach, subscription, arrival)):
            arrival.sock.close()

    def abandon(self, subscription: Subscription) -> None:
        """Give a subscription back for which no socket will come."""
        if self._loop:
            self._loop.post(partial(self._loop.abandon, subscription))

    def refuse(self, arrival: Arrival, code: int, reason: str) -> None:
        """Close a socket after its handshake, with a code that says why."""
        loop = self._running()
        if not loop.post(partial(loop.refuse, arrival, code, reason)):
            arrival.sock.close()

    def close_all(self, code: int = 1001, reason: str = "the server is stopping", timeout: float = 0.5) -> None:
        """Close every socket in order, as far as that can be done in the time, and end the thread. For the last."""
        with self._lock:
            self._is_closed = True
            loop, thread = self._loop, self._thread
            if loop is None or thread is None or self._pid != os.getpid():
                return
        _log.info("%d WebSockets are closed with %d.", loop.size, code)
        loop.post(partial(loop.stop, code, reason, self._world.monotonic() + timeout))
        thread.join(timeout + _JOIN_MARGIN)

    def _running(self) -> Loop:
        """The loop of this process. A forked process has its parent's loop without its thread, and begins anew."""
        with self._lock:
            if self._is_closed:
                raise Stopping("This process is about to end; connect again in a moment.")
            alive = self._thread is not None and self._thread.is_alive() and self._pid == os.getpid()
            if self._loop is None or not alive:
                connect = partial(open_link, self._clients.commands)
                self._loop = Loop(connect, self._inspector, self._limits, self._world)
                self._thread = threading.Thread(target=self._loop.run, name="minicelery-hub", daemon=True)
                self._pid = os.getpid()
                self._thread.start()
            return self._loop


def make_hub(app: MiniCelery) -> Hub:
    """The hub of a web application. It starts nothing before the first socket."""
    return Hub(app.inspector, app.clients, app.keys, app.world)


def _capacity() -> int:
    """As many sockets as leave some open files for Redis and for HTTP."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(limit // 2, limit - _FILES_FOR_OTHERS) if limit > 0 else 1_000_000
