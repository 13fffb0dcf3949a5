"""Renews the locks that a process holds, in one thread for all of them."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from .clock import due_at
from .errors import RedisUnavailable
from .world import World

_log = logging.getLogger("minicelery.locks")
#: Of the time of a lock, after how much it is renewed, and after how much of it a renewal that failed is tried again.
_RENEWAL, _AGAIN = 1 / 3, 1 / 30
_LONGEST_PAUSE = 1.0
#: Seconds by which Redis, whose scripts count in whole milliseconds, may let a lock end early.
_ROUNDING = 0.001


@dataclass(eq=False)
class Holding:
    """A lock that was got. ``sent`` is when the last request that was answered was sent, on the monotonic clock."""

    name: str
    nonce: str
    token: int
    ttl: float
    sent: float
    pid: int = field(default_factory=os.getpid)
    is_gone: bool = False  #: found to be lost

    def is_lost(self, now: float) -> bool:
        """Whether it may be another's by now. Redis counts from when it gets a request, so there it ends later."""
        return self.is_gone or now >= self.sent + self.ttl - _ROUNDING

    def renew(self, sent: float, now: float) -> None:
        """It was renewed by a request sent at some time. What was lost before its answer came stays so: perhaps
        somebody has been told."""
        self.is_gone = self.is_lost(now)
        self.sent = max(self.sent, sent)


@dataclass(eq=False)
class _Watch:
    """What is kept in one process: each holding with the time of its next renewal. A lock that nobody can release any
    more, since its object is gone, is not kept."""

    pid: int = field(default_factory=os.getpid)
    changed: threading.Condition = field(default_factory=threading.Condition)
    due: "WeakKeyDictionary[Holding, float]" = field(default_factory=WeakKeyDictionary)
    thread: threading.Thread | None = None


class Keeper:
    """Its thread runs while something is held. In a process that was forked it begins anew, with nothing."""

    def __init__(self, renew: Callable[[Sequence[Holding]], list[bool]], world: World) -> None:
        self._renew = renew
        self._world = world
        self._watch = _Watch()

    def keep(self, holding: Holding) -> None:
        """Renew it from now on, or at another time than before."""
        watch = self._own()
        with watch.changed:
            self._stir(watch)  # what has no thread is not kept
            watch.due[holding] = holding.sent + holding.ttl * _RENEWAL

    def drop(self, holding: Holding) -> None:
        """Renew it no more."""
        watch = self._own()
        with watch.changed:
            watch.due.pop(holding, None)
            watch.changed.notify()

    def _stir(self, watch: _Watch) -> None:
        if watch.thread is None:
            thread = threading.Thread(target=self._run, args=(watch,), name="minicelery-locks", daemon=True)
            thread.start()  # as we have the condition, it looks when this holding is there
            watch.thread = thread
        watch.changed.notify()

    def _own(self) -> _Watch:
        if self._watch.pid != os.getpid():
            self._watch = _Watch()  # the parent's may be locked, by a thread that is not here
        return self._watch

    def _run(self, watch: _Watch) -> None:
        while True:
            with watch.changed:
                if not watch.due:
                    watch.thread = None
                    return
                now = self._world.monotonic()
                due = [holding for holding, when in watch.due.items() if when <= now]
                if not due:
                    watch.changed.wait(min(watch.due.values(), default=now) - now)
                    continue
            self._tend(watch, due)

    def _tend(self, watch: _Watch, due: Sequence[Holding]) -> None:
        """Renew what is due, and let go of what is lost."""
        now = self._world.monotonic
        sent = now()
        alive = [holding for holding in due if not holding.is_lost(sent)]
        answers: Sequence[bool | None] = [None] * len(alive)
        try:
            answers = self._renew(alive) if alive else ()
        except RedisUnavailable as error:
            _log.debug("%d locks could not be renewed: %s", len(alive), error)
        except Exception:
            _log.exception("met an error in renewing locks; trying again")
        for holding, answer in zip(alive, answers, strict=True):
            if answer:
                holding.renew(sent, now())
            elif answer is False:
                holding.is_gone = True
        with watch.changed:
            for holding in due:
                self._settle(watch, holding, sent)

    def _settle(self, watch: _Watch, holding: Holding, sent: float) -> None:
        """When to look after it again; it may have been released meanwhile."""
        if holding not in watch.due:
            return
        now = self._world.monotonic()
        if holding.is_lost(now):
            del watch.due[holding]
            _log.warning(
                "the lock '%s' (token %d) was lost; its holder learns it by check()", holding.name, holding.token
            )
        elif holding.sent >= sent:
            watch.due[holding] = holding.sent + holding.ttl * _RENEWAL
        else:
            pause = min(holding.ttl * _AGAIN, _LONGEST_PAUSE) * (0.5 + self._world.random() / 2)
            watch.due[holding] = min(now + pause, holding.sent + holding.ttl)


class HandKeeper(Keeper):
    """Without a thread: whoever moves the clock asks for the ``next`` renewal, and has what is due done."""

    def next(self) -> float | None:
        """When something is to be renewed, on the monotonic clock; None if nothing is held."""
        return min(self._own().due.values(), default=None)

    def tend(self) -> None:
        watch, now = self._own(), self._world.monotonic()
        self._tend(watch, [holding for holding, when in watch.due.items() if due_at(when) <= now])

    def _stir(self, watch: _Watch) -> None:
        """Nobody sleeps."""
