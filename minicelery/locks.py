"""Locks and semaphores for user code: what all processes share, taken for a while, with a fencing token."""

import logging
import os
import socket
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypedDict

import redis

from .connection import Clients, exchange, translated
from .errors import InvalidInput, LockLost, LockNotAcquired, LockNotHeld, RedisUnavailable
from .inspector import Inspector
from .keys import Keys
from .lock_keeper import Holding, Keeper
from .lock_store import HeldLock, LockStore, Request
from .names import check_name
from .scripts import Scripts
from .world import World

_log = logging.getLogger("minicelery.locks")
SHORTEST_TTL, LONGEST_TTL = 0.1, 86_400.0
MOST_HOLDERS = 1000
_LONGEST_TIMEOUT = 366 * 86_400.0
#: Seconds for which a place in a line is kept, and after which one who waits renews it.
_PLACE, _PLACE_RENEWAL = 2.5, 1.0
_PAUSE = 0.5
_SHORTEST_WAIT = 0.001  #: seconds; 0 would mean for ever


class LockOptions(TypedDict, total=False):
    """What locks and semaphores take besides."""

    timeout: float | None  #: the longest wait, seconds; None: no limit
    blocking: bool  #: False: take it at once or not at all; default True
    renew: bool  #: False: it ends after its ttl, unless ``extend()`` is called; default True


class Locks:
    """All locks of one application: takes, renews and releases them for ``Lock``, and tells who holds which."""

    def __init__(
        self,
        clients: Clients,
        scripts: Scripts,
        keys: Keys,
        inspector: Inspector,
        world: World,
        keeper: type[Keeper] = Keeper,
    ) -> None:
        def store(scripts: Scripts) -> LockStore:
            return LockStore(clients.commands, scripts, keys, inspector)

        self.world = world
        self._keys = keys
        self._blocking = clients.blocking
        self._store = store(scripts)
        self._impatient = store(Scripts(clients.commands, keys, world, patience=0.0))
        self.keeper = keeper(lambda held: self._impatient.lock_renew([(h.name, h.nonce, h.ttl) for h in held]), world)

    def held(self) -> list[HeldLock]:
        """All locks and semaphores that somebody holds, by their names. Reads the key space in slices."""
        return self._store.held()

    def find(self, name: str) -> HeldLock:
        """Who holds a lock. Raises ``LockNotHeld`` if nobody does."""
        return self._store.find(check_name(name, "/name"))

    def break_open(self, name: str) -> int:
        """Take a lock from all who hold it, for the next to have it; how many that were. They learn it when it would be
        renewed, or when they release it, as ``LockLost``: what they do meanwhile only a fencing token can stop. Raises
        ``LockNotHeld`` if nobody does."""
        broken = self._store.lock_break(check_name(name, "/name"), self.world.nonce())
        if not broken:
            raise LockNotHeld(name)
        return broken

    def take(self, request: Request, until: float, *, renew: bool) -> Holding | None:
        """Ask for a lock, and wait for it until a moment of the monotonic clock: what was got, or None."""
        try:
            while True:
                sent = self.world.monotonic()
                holding, wait = self._ask(request, sent, _PLACE if sent < until else 0.0)
                now = self.world.monotonic()
                if holding and not holding.is_lost(now):
                    if renew:
                        self.keeper.keep(holding)
                    return holding
                if holding or sent < until <= now:  # the answer took as long as the lock was to last, or the wait
                    self._give_up(request)
                    request = replace(request, nonce=self.world.nonce())
                if now >= until:
                    return None
                self._wait(request, wait, until - now)
        except BaseException:
            self._give_up(request)
            raise

    def _ask(self, request: Request, sent: float, place: float) -> tuple[Holding | None, float]:
        token, wait = self._store.lock_acquire(request, place)
        return (None if token is None else Holding(request.name, request.nonce, token, request.ttl, sent)), wait

    def _wait(self, request: Request, wait: float, left: float) -> None:
        """Until another look makes sense: in ``wait`` seconds at the latest, of which the caller has ``left``."""
        self._wait_for_bell(request, min(wait, left, _PLACE_RENEWAL))

    def _wait_for_bell(self, request: Request, seconds: float) -> None:
        """A ring only says that another look makes sense, so a lost one costs no more than the wait."""
        block = f"{max(seconds, _SHORTEST_WAIT):.3f}"
        try:
            with translated("waiting for a lock"):
                [answer] = exchange(self._blocking, [("BRPOP", self._keys.lock_bell(request.nonce), block)])
                if isinstance(answer, redis.RedisError):
                    raise answer
        except RedisUnavailable:  # the next look tells whether it is away
            self.world.sleep(_PAUSE * self.world.random())

    def _give_up(self, request: Request) -> None:
        """Nobody waits for this any more, or holds it. Without Redis its place and its time end by themselves."""
        with suppress(RedisUnavailable):
            self._impatient.lock_release(request.name, request.nonce)

    def extend(self, holding: Holding, *, renew: bool) -> None:
        """Renew it now. If it is lost, the holding says so afterwards."""
        sent = self.world.monotonic()
        [is_held] = self._store.lock_renew([(holding.name, holding.nonce, holding.ttl)])
        if is_held:
            holding.renew(sent, self.world.monotonic())
        holding.is_gone = holding.is_gone or not is_held
        if renew and not holding.is_gone:
            self.keeper.keep(holding)

    def give_back(self, holding: Holding) -> bool:
        """Release it; whether it was held until now. It is not renewed any more, even if Redis is away."""
        self.keeper.drop(holding)
        return self._store.lock_release(holding.name, holding.nonce)


class Lock:
    """A lock on a name, for all processes of this Redis: ``with app.lock("invoice:42", ttl=30) as lock: ...``

    One holds it at a time, and those who wait for it get it in the order in which they came. It is renewed in the
    background for as long as its process lives, also while the thread that holds it is stuck. When the process dies, it
    ends within ``ttl`` seconds of the last renewal; when one that waits does, the next goes ahead after
    2.5 s at most. Each object holds it once: it is not reentrant, and every thread needs an object of its own.

    **What it does not guarantee:** that nobody else holds it while you believe that you do. Your process may be
    stopped, your machine paused, your packet delayed for longer than the ttl. Then Redis gives the lock to the next
    one, as it can't tell a slow holder from a dead one, and your next line runs all the same, before anything could
    tell you. Redis may also forget: when a replica takes over that lags behind, when it restarts without its file,
    when somebody breaks the lock, when its clock is set forward. ``check()`` before a step makes this rare; it can't
    rule it out.

    What can is the **fencing token**: ``lock.token``, a whole number larger than that of every earlier holder. Hand it
    along with each write, and have the place that is written to refuse one smaller than the largest it has seen:
    ``UPDATE invoice SET …, fence = :token WHERE id = 42 AND fence <= :token``. Where nothing can check it, use the
    lock to save work, and not where a wrong result would cost you. (M. Kleppmann, "How to do distributed locking",
    2016.)

    The token is one more than the last one, or the milliseconds of Redis's clock if these are more. So it goes on
    growing if Redis has lost the last one, unless its clock has been set back behind the time of the last holder, too.
    """

    def __init__(
        self,
        locks: Locks,
        name: str,
        ttl: float = 30.0,
        limit: int = 1,
        timeout: float | None = None,
        blocking: bool = True,
        renew: bool = True,
    ) -> None:
        self.name = check_name(name, "/name")
        self.ttl: float = _number(ttl, "/ttl", SHORTEST_TTL, LONGEST_TTL)
        self.limit: int = _number(limit, "/limit", 1, MOST_HOLDERS)
        self._locks = locks
        self._patience = _patience(blocking, timeout)
        self._renew = renew
        self._holding: Holding | None = None

    def acquire(self, blocking: bool | None = None, timeout: float | None = None) -> bool:
        """Take the lock: True once it is held, False if it was not to be had in ``timeout`` seconds, or at once if not
        ``blocking``. With neither it waits as the lock was made to; ``blocking=True`` for as long as it takes.

        Not blocking, it also fails while the lock is free and somebody's turn. Raises ``RedisUnavailable``; what
        was then given and not answered ends after its ttl.
        """
        is_as_made = blocking is None and timeout is None
        return self._acquire(self._patience if is_as_made else _patience(blocking is not False, timeout))

    def release(self) -> None:
        """Give the lock back. Raises ``LockLost`` if it was broken, or if somebody else has got it meanwhile, whose
        holding is not touched. With ``RedisUnavailable`` it ends after its ttl; for this object it is over in any case.
        """
        holding, self._holding = self._own(), None
        if not self._locks.give_back(holding):
            raise LockLost(self.name, "was over before it was released; another may have had it meanwhile")

    def extend(self) -> None:
        """Renew it now, for its whole ttl. Raises ``LockLost``, or ``RedisUnavailable``."""
        self._locks.extend(self._own(), renew=self._renew)
        self.check()

    def check(self) -> None:
        """Raise ``LockLost`` if the lock may be another's by now, as far as this process can know without asking."""
        if self._own().is_lost(self._locks.world.monotonic()):
            raise LockLost(self.name, "was not renewed in time, or was broken; another may have it")

    @property
    def held(self) -> bool:
        """Whether it was acquired and not released, and is not lost."""
        return self._is_own() and not self.lost

    @property
    def lost(self) -> bool:
        """Whether it was acquired and not released, and may be another's by now: its last renewal that was answered was
        sent longer ago than its ttl, by the monotonic clock of this machine, or Redis has said so. That is for good."""
        holding = self._holding
        return holding is not None and holding.is_lost(self._locks.world.monotonic())

    @property
    def token(self) -> int:
        """The fencing token, larger than that of any holding before. Raises ``LockLost`` if there is none."""
        return self._own().token

    def __enter__(self) -> Self:
        if not self._acquire(self._patience):
            raise LockNotAcquired(self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_own():  # released by hand, or of the parent's process
            return
        try:
            self.release()
        except LockLost:
            if error is None:
                raise
        except RedisUnavailable as trouble:  # what was done under the lock is done
            _log.warning("the lock '%s' was not released, and ends within %g s: %s", self.name, self.ttl, trouble)

    def _acquire(self, patience: float) -> bool:
        if self._is_own():
            raise InvalidInput(f"this object holds the lock '{self.name}' already; use one of its own for each thread")
        owner = f"{socket.gethostname()}:{os.getpid()}"
        request = Request(self.name, self._locks.world.nonce(), owner, self.ttl, self.limit)
        until = self._locks.world.monotonic() + patience
        self._holding = self._locks.take(request, until, renew=self._renew)
        return self._holding is not None

    def _is_own(self) -> bool:
        """Whether this process has acquired it; after a fork it stays with the parent."""
        return self._holding is not None and self._holding.pid == os.getpid()

    def _own(self) -> Holding:
        if self._holding is None:
            raise LockLost(self.name, "is not held by this object")
        if not self._is_own():
            raise LockLost(self.name, f"is held by process {self._holding.pid}, of which this one is a fork")
        return self._holding


class Semaphore(Lock):
    """As ``Lock``, for up to ``limit`` holders at a time: ``with app.semaphore("printers", 3): ...``

    Every request tells the limit. It is granted if then no more hold it than it allows itself, nor than anybody
    allows who holds it or waits in front. So while different limits meet, as in a deploy, the smallest counts, and a
    lock of the same name is a semaphore of one. What a lock does not guarantee, this does not either: for a time more
    may believe to hold it. As several hold it at once, a smaller token is no sign of a stale holder here; it only tells
    holdings apart.
    """


def _patience(blocking: object, timeout: object) -> float:
    """Seconds to wait; negative for not at all."""
    if timeout is not None and not blocking:
        raise InvalidInput("a time-out makes no sense without waiting; leave it out, or blocking=False", "/timeout")
    if timeout is None:
        return float("inf") if blocking else -1.0
    return float(_number(timeout, "/timeout", 0.0, _LONGEST_TIMEOUT))


def _number(value: Any, pointer: str, low: float, high: float) -> Any:
    """``value`` itself if it is such a number, a whole one where ``low`` is; else ``InvalidInput``."""
    kind, word = (int, "whole number") if isinstance(low, int) else ((int, float), "number")
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:  # NaN is refused, too
        raise InvalidInput(f"{value!r:.100} is out of range; use a {word} from {low:g} to {high:g}", pointer)
    return value
