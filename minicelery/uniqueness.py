"""Which calls of a task count as the same, and how often the same may run."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidInput
from .outcome import MAX_DELAY

#: Each of them makes calls with the same key one task for a while; a call has one of them at most.
KINDS = ("unique_for", "throttle", "debounce")
#: What says more about one of them.
DETAILS = {"unique_key": KINDS, "unique_until": ("unique_for",), "debounce_max": ("debounce",)}
UNTIL = ("finish", "start")
#: Seconds; what Redis can count.
SHORTEST = 0.001
#: Characters of a key that a call gives.
LONGEST_KEY = 1_000
#: How many quiet times a debounced task is put off at most, unless said otherwise.
QUIET_TIMES = 10
#: What says when a task is due, as the quiet time of a debounced one does.
_TIMES = ("countdown", "eta", "expires")


@dataclass(frozen=True, slots=True)
class Once:
    """How often calls with the same key may run. ``kind`` is one of ``KINDS``, ``hold`` its seconds.

    ``until`` is for ``unique_for``; ``longest``, in seconds from the first call, for ``debounce``.
    """

    kind: str
    hold: float
    until: str = "finish"
    longest: float = 0.0


def once_of(options: Mapping[str, Any], of_task: Once | None = None) -> Once | None:
    """What these options say, or else those of the task. None: every call is a task of its own.

    Raises ``InvalidInput`` for options that do not go together.
    """
    given = {name: value for name in (*KINDS, *DETAILS, *_TIMES) if (value := options.get(name)) is not None}
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) > 1:
        raise InvalidInput(f"give {kinds[0]} or {kinds[1]}, not both", f"/{kinds[1]}")
    kind = kinds[0] if kinds else of_task.kind if of_task else ""
    for name, wanted in DETAILS.items():
        if name in given and kind not in wanted:
            raise InvalidInput(f"this says more about {' or '.join(wanted)}; give that, too", f"/{name}")
    if not kind:
        return None
    before = of_task if of_task and of_task.kind == kind else None
    hold = given.get(kind) or (before.hold if before else 0.0)
    until = given.get("unique_until") or (before.until if before else UNTIL[0])
    return Once(kind, hold, until, _longest(given, before, hold) if kind == "debounce" else 0.0)


def _longest(given: Mapping[str, Any], before: Once | None, quiet: float) -> float:
    for name in _TIMES:
        if name in given:
            raise InvalidInput("a debounced task is due after its quiet time; leave this out, or debounce", f"/{name}")
    inherited = before.longest if before and "debounce" not in given else min(QUIET_TIMES * quiet, MAX_DELAY)
    longest: float = given.get("debounce_max") or inherited
    if longest < quiet:
        raise InvalidInput(f"{longest:g} s is shorter than the quiet time of {quiet:g} s", "/debounce_max")
    return longest


def check_values(options: Mapping[str, Any]) -> None:
    """Raises ``InvalidInput`` for a value that has no sense; the key is looked at elsewhere."""
    for name in (*KINDS, "debounce_max"):
        value = options.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and SHORTEST <= value <= MAX_DELAY):
            rule = f"use {SHORTEST:g} to {MAX_DELAY:.0f} seconds"
            raise InvalidInput(f"{value!r:.100} is out of range; {rule}", f"/{name}")
    if (until := options.get("unique_until")) is not None and until not in UNTIL:
        raise InvalidInput(f"{until!r:.100} is none of {' and '.join(UNTIL)}", "/unique_until")


def check_key(key: object, source: str = "this") -> str:
    """A key that a call or a key function has given."""
    if isinstance(key, str) and 1 <= len(key) <= LONGEST_KEY:
        return key
    found = f"{len(key)} characters" if isinstance(key, str) else f"{key!r:.80}"
    raise InvalidInput(f"{source} is {found}; a key is a string of 1 to {LONGEST_KEY} characters", "/unique_key")


def key_by(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The key that a task's own function gives to a call. Raises ``InvalidInput`` if it fails."""
    try:
        found = function(*args, **kwargs)
    except Exception as error:
        raise InvalidInput(f"the key function failed: {type(error).__name__}: {error}", "/unique_key") from error
    return check_key(found, "what the key function gave")


def fields_of(once: Once, name: str, key: str, call: str) -> dict[str, str]:
    """What enqueue.lua takes of it. ``name`` is that of the task; ``call`` stands for the arguments."""
    kind = once.until if once.kind == "unique_for" else once.kind
    found = {"once": kind, "once_key": f"{name}:{digest(key)}", "hold": _milliseconds(once.hold)}
    if kind == "debounce":
        found |= {"longest": _milliseconds(once.longest), "call": digest(call)}
    return found


def digest(*texts: str) -> str:
    """160 bits that stand for texts."""
    parts = (f"{len(text)}:{text}" for text in texts)
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"
