"""Locks in Redis: a method for each script that changes one, and who holds them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .connection import Client, exchange, translated
from .errors import LockNotHeld
from .events import rfc3339
from .inspector import Inspector, is_foreign
from .keys import Keys
from .scripts import Scripts

_SLICE = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One wish to hold a lock. ``nonce`` is what it is known by, ``owner`` is for people."""

    name: str
    nonce: str
    owner: str
    ttl: float
    limit: int


@dataclass(frozen=True, slots=True)
class Holder:
    """One who holds a lock: times are epoch seconds by Redis's clock."""

    owner: str
    token: int
    since: float
    expires: float
    limit: int


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock or semaphore that somebody holds, and how many wait for it. The earliest end is in front."""

    name: str
    holders: Sequence[Holder]
    waiting: int

    @property
    def limit(self) -> int:
        """How many may hold it, as the strictest of its holders has it."""
        return min(holder.limit for holder in self.holders)


def describe(lock: HeldLock) -> dict[str, Any]:
    """A lock as every interface shows it: JSON-ready."""
    holders = [
        {
            "owner": holder.owner,
            "token": holder.token,
            "since": rfc3339(holder.since),
            "expires": rfc3339(holder.expires),
        }
        for holder in lock.holders
    ]
    return {"name": lock.name, "limit": lock.limit, "holders": holders, "waiting": lock.waiting}


class LockStore:
    """What the scripts of locks do. Each may safely be repeated; all raise ``RedisUnavailable``."""

    def __init__(self, client: Client, scripts: Scripts, keys: Keys, inspector: Inspector) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._inspector = inspector

    def lock_acquire(self, request: Request, place: float) -> tuple[int | None, float]:
        """The fencing token, if the lock was to be had; else the seconds until another look makes sense, unless the
        bell of the request rings before. Meanwhile its place in the line is kept for ``place`` seconds; 0: none."""
        keys = [*self._parts(request.name), self._keys.lock_over(request.nonce)]
        args = [request.nonce, request.owner, request.ttl, request.limit, place]
        word, *more = self._scripts.run("lock_acquire", keys, args)
        return (int(more[0]), 0.0) if word == "held" else (None, float(more[0]) if more else 0.0)

    def lock_renew(self, holdings: Sequence[tuple[str, str, float]]) -> list[bool]:
        """Have locks end so many seconds from now, each given by its name and nonce; False for what is lost."""
        keys = [key for name, _, _ in holdings for key in self._parts(name)[:2]]
        args = [word for _, nonce, ttl in holdings for word in (nonce, ttl)]
        return [answer == 1 for answer in self._scripts.run("lock_renew", keys, args)]

    def lock_release(self, name: str, nonce: str) -> bool:
        """Give a lock back, or a place in its line. Whether it was held until now."""
        keys = [*self._parts(name), self._keys.lock_over(nonce)]
        return bool(self._scripts.run("lock_release", keys, [nonce]) == 1)

    def lock_break(self, name: str, nonce: str) -> int:
        """Take a lock from all who hold it: how many that were."""
        keys = [*self._parts(name), self._keys.lock_over(nonce)]
        return int(self._scripts.run("lock_break", keys, []))

    def _parts(self, name: str) -> list[str]:
        return [self._keys.lock(name), self._keys.lock_facts(name), self._keys.lock_line(name)]

    # ---- reading --------------------------------------------------------------------------------

    def held(self) -> list[HeldLock]:
        """All locks that are held, by their names. Reads the key space in slices."""
        names = sorted(set(self._inspector.endings(self._keys.lock(""))))
        told = (one for one in self._read(names) if not isinstance(one, Exception))
        return [lock for lock in told if lock]

    def find(self, name: str) -> HeldLock:
        """Who holds a lock. Raises ``LockNotHeld`` if nobody does."""
        [lock] = self._read([name])
        if isinstance(lock, Exception):
            with translated("reading a lock"):
                raise lock
        if lock is None:
            raise LockNotHeld(name)
        return lock

    def _read(self, names: Iterable[str]) -> Iterator[HeldLock | Exception | None]:
        """Each of some locks: None if nobody holds it, an error if another program has overwritten its keys."""
        rest = iter(names)
        while batch := list(islice(rest, _SLICE)):
            commands: list[Sequence[Any]] = [("TIME",)]
            for name in batch:
                lock, facts, line = self._parts(name)
                commands += [("ZRANGE", lock, 0, -1, "WITHSCORES"), ("HGETALL", facts), ("ZRANGE", line, 0, -1)]
            with translated("reading locks"):
                answers = exchange(self._client, commands)
                for answer in answers:
                    if isinstance(answer, Exception) and not is_foreign(answer):
                        raise answer
            now = int(answers[0][0]) + int(answers[0][1]) / 1_000_000
            for name, *told in zip(batch, *[iter(answers[1:])] * 3, strict=True):
                yield next(filter(is_foreign, told), None) or _lock_of(name, now, *told)


def _lock_of(
    name: str, now: float, scores: Sequence[Any], fields: Sequence[str], line: Sequence[str]
) -> HeldLock | None:
    """What Redis holds of a lock; None if nobody holds it."""
    facts = {nonce: fact.split(" ", 3) for nonce, fact in zip(fields[::2], fields[1::2], strict=True)}
    ends = [(nonce, float(score)) for nonce, score in zip(scores[::2], scores[1::2], strict=True) if float(score) > now]
    holders = [_holder(facts.get(nonce, ()), end) for nonce, end in ends]
    waiting = sum(_is_in_line(facts.get(nonce, ()), now) for nonce in line)
    return HeldLock(name, holders, waiting) if holders else None


def _is_in_line(fact: Sequence[str], now: float) -> bool:
    """Whether one who waits has a place that counts: it has not ended, and was renewed no later than now."""
    _, end, renewed = [*fact, "0"][:3] if 2 <= len(fact) <= 3 else ("", "0", "0")
    return float(renewed) <= now < float(end)


def _holder(fact: Sequence[str], end: float) -> Holder:
    """One who holds a lock; where another program has taken away what was noted of it, there is nothing to tell."""
    limit, since, token, owner = fact if len(fact) == 4 else ("1", "0", "0", "unknown")
    return Holder(owner, int(token), float(since), end, int(limit))
