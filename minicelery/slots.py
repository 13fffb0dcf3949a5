"""Which due times of a schedule are to be fired: a schedule's policy for what it has missed, as pure code."""

import math
from dataclasses import dataclass

from .cron import Rule
from .schedule import Missed

#: Seconds after its due time from which on a run counts as missed: so long nothing could fire it.
MISSED_AFTER = 30
#: Runs of one schedule that are fired at once.
BATCH = 100


@dataclass(frozen=True)
class Plan:
    """The due times to fire now, and the one that is next then; None if there is none any more."""

    slots: tuple[int, ...]
    next: int | None


def plan(rule: Rule, missed: Missed, most: int, due: int, now: float) -> Plan:
    """What is to be done about a schedule that was due at ``due``. Others follow from this one, not from now.

    What was not missed is fired whatever the policy says; but with ``ONCE`` one run stands for all that is due.
    """
    if now - due <= MISSED_AFTER:
        return _some(rule, [due, *_first(rule, due, now, BATCH)], now)
    if missed is Missed.ONCE:
        return Plan(tuple(_last(rule, due, now, 1) or [due]), rule.after(now))
    last_missed = math.ceil(now - MISSED_AFTER) - 1
    in_time = _first(rule, last_missed, now, BATCH)
    if missed is Missed.SKIP:
        return Plan(tuple(in_time), rule.after(now))
    late = [due, *_first(rule, due, last_missed, most)]
    return _some(rule, (late if len(late) <= most else _last(rule, due, last_missed, most)) + in_time, now)


def _some(rule: Rule, pending: list[int], now: float) -> Plan:
    """A batch of what is pending, the oldest first."""
    slots = tuple(pending[:BATCH])
    return Plan(slots, rule.after(slots[-1]))


def _first(rule: Rule, after: int, now: float, count: int) -> list[int]:
    return [moment for moment, _ in zip(rule.between(after, now), range(count), strict=False)]


def _last(rule: Rule, due: int, now: float, count: int) -> list[int]:
    """The last due times until now, none before ``due``. Looked for ever further back: there may be a million."""
    span = 60.0
    while True:
        start = max(due - 1, now - span)
        found = list(rule.between(start, now))
        if len(found) >= count or start < due:
            return found[-count:]
        span *= 2
