"""What a server is asked before tasks are entrusted to it: whether it drops keys, and what it keeps through a crash."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from .connection import Client, is_passing, translated

_KEEPING = "noeviction"
_AGAIN_AFTER = 5.0


@dataclass(frozen=True)
class Verdict:
    """What was found: ``refusals`` forbid to work with the server, ``warnings`` say what its crash would cost."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(client: Client, *, replicated: bool = False) -> Verdict:
    """Ask a server. What it does not tell, or not to us, is no fault. Raises ``RedisUnavailable`` if it is away."""
    facts = _ask(client.info)
    if not facts:
        return Verdict()
    warnings = [*_of_persistence(facts, lambda: _ask(client.config_get, "save"))]
    if replicated and facts.get("role") == "master" and not int(facts.get("connected_slaves", 0)):
        warnings.append(
            "No replica of Redis is connected, and durability is 'replicated': no submission is confirmed before one is"
        )
    return Verdict(tuple(_of_eviction(facts)), tuple(warnings))


class Watchman:
    """The refusals of a server, asked for every few seconds at most, however often one wants to know."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known = Verdict()
        self._again_at = float("-inf")

    def refusals(self) -> tuple[str, ...]:
        with self._lock:
            is_due = self._monotonic() >= self._again_at
            if is_due:
                self._again_at = self._monotonic() + _AGAIN_AFTER
        if is_due:
            self._known = check(self._client)
        return self._known.refusals


class Reception:
    """Looks at a server each time that it is reached: refuses to begin with a wrong one, and later only complains, as a
    worker that is at work is of more use than none."""

    def __init__(self, client: Client, *, replicated: bool, log: Callable[..., None]) -> None:
        self._client = client
        self._replicated = replicated
        self._log = log
        self._told: Verdict | None = None

    def refusal(self) -> str:
        """Why the worker can't begin with this server; '' if it can, or is at work already."""
        found = check(self._client, replicated=self._replicated)
        is_first, is_news = self._told is None, found != self._told
        if is_first and found.refusals:
            return "; ".join(found.refusals)
        self._told = found
        if is_news:
            for complaint in (*found.refusals, *found.warnings):
                self._log("%s", complaint)
        return ""


def _ask(question: Callable[..., Any], *words: str) -> Mapping[str, Any]:
    """The answer, or nothing where the server knows no such command or does not let us ask."""
    with translated("asking for its settings"):
        try:
            return dict(question(*words))
        except ResponseError as error:
            if is_passing(error):
                raise
            return {}


def _of_eviction(facts: Mapping[str, Any]) -> list[str]:
    policy = facts.get("maxmemory_policy", _KEEPING)
    if policy == _KEEPING:
        return []
    return [
        f"Redis may drop tasks: its maxmemory-policy is {policy}; set it to {_KEEPING}: "
        f"CONFIG SET maxmemory-policy {_KEEPING}, and the same in its configuration file"
    ]


def _of_persistence(facts: Mapping[str, Any], ask_for_save: Callable[[], Mapping[str, Any]]) -> list[str]:
    if int(facts.get("loading", 0)):  # it says then that it has no append-only file, although it reads one
        return []
    if "aof_enabled" not in facts or int(facts["aof_enabled"]):
        return []
    saves = ask_for_save().get("save")
    if saves == "":
        return ["Redis keeps nothing on disk: a crash or restart of it loses every task; set appendonly yes"]
    return [
        "Redis writes snapshots only: a crash of it loses every task and result since the last one; set appendonly yes"
    ]
