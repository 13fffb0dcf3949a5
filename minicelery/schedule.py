"""A schedule: what is to be done, when, and what about runs that were missed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from . import codec
from .cron import Rule
from .errors import InvalidInput, InvalidName
from .message import Message
from .names import check_name
from .states import Status

#: Characters of a name, so that it and a due time together are a task's id.
LONGEST_NAME = 100
#: Runs that ``all`` makes up for at most.
MOST_MISSED = 1000


class Missed(StrEnum):
    """What becomes of runs that were due while nothing could fire them."""

    SKIP = "skip"  #: none of them
    ONCE = "once"  #: one for all of them
    ALL = "all"  #: each of them, the latest ``most`` at most


class Origin(StrEnum):
    """Where a schedule is from: declared in the code, or made at run time."""

    CODE = "code"
    RUNTIME = "runtime"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is defined of a schedule. ``args``, ``kwargs`` and ``more`` are JSON texts, as in ``Message``.

    ``version`` names this definition: of one from code it is its digest, else a nonce that each change brings anew.
    """

    name: str
    task: str
    args: str
    kwargs: str
    queue: str
    max_retries: int
    more: str
    rule: Rule
    missed: Missed = Missed.ONCE
    most: int = MOST_MISSED
    origin: Origin = Origin.RUNTIME
    version: str = ""

    def fields(self) -> dict[str, str]:
        """As Redis keeps it; an empty text for what is not there."""
        return {**self._defined(), "origin": self.origin.value, "version": self.version}

    def _defined(self) -> dict[str, str]:
        rule = self.rule
        return {
            "name": self.name,
            "task": self.task,
            "args": self.args,
            "kwargs": self.kwargs,
            "queue": self.queue,
            "max_retries": str(self.max_retries),
            "more": self.more,
            "cron": rule.cron,
            "timezone": rule.timezone if rule.cron else "",
            "every": str(rule.every or ""),
            "missed": self.missed.value,
            "most": str(self.most),
        }

    def digest(self) -> str:
        """The same for the same definition, and for no other."""
        return hashlib.sha256(codec.write(self._defined()).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class LastRun:
    """The task that a schedule has fired last: for the due time ``slot`` (None: somebody wanted it run), at ``at``.

    ``status`` is None where the task was gone before anybody noted how it had ended. ``duplicate``: it is the same as
    an earlier one that had not ended then, and this is its task, see ``unique_for``.
    """

    task_id: str
    slot: float | None
    at: float
    status: Status | None
    duplicate: bool = False


@dataclass(frozen=True)
class ScheduleRecord:
    """A schedule as Redis has it. Times are epoch seconds by Redis's clock; ``next`` is None while it does not fire.

    ``declared``: whether a live worker's code declares it, as defined here; always so for one made at run time.
    ``fired``: how many tasks it has sent.
    """

    schedule: Schedule
    paused: bool
    declared: bool
    next: float | None
    created_at: float
    updated_at: float
    fired: int
    last: LastRun | None


def task_id_of(name: str, slot: int) -> str:
    """The id of the task that a schedule fires for a due time; it is the same whoever fires it, and how often."""
    return f"{name}:{datetime.fromtimestamp(slot, UTC):%Y-%m-%dT%H:%M:%SZ}"


def check_schedule_name(value: object, pointer: str = "/name") -> str:
    name = check_name(value, pointer)
    if len(name) > LONGEST_NAME:
        raise InvalidName(f"{len(name)} characters; use {LONGEST_NAME} at most, as the due time is added", pointer)
    return name


def check_missed(value: object) -> Missed:
    try:
        return Missed(str(value))
    except ValueError:
        raise InvalidInput(f"{value!r:.100} is not a policy; use skip, once or all", "/missed") from None


def check_most(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_MISSED:
        return value
    raise InvalidInput(f"{value!r:.100} is not a number of runs; use 1 to {MOST_MISSED}", "/most")


def made_of(name: str, message: Message, rule: Rule, missed: Missed, most: int) -> Schedule:
    """The schedule of a checked call; who uses it gives it an origin and a version."""
    return Schedule(
        name=name,
        task=message.name,
        args=message.args,
        kwargs=message.kwargs,
        queue=message.queue,
        max_retries=message.max_retries,
        more=message.more,
        rule=rule,
        missed=missed,
        most=most,
    )


def parse(fields: Mapping[str, str]) -> Schedule:
    """The schedule of a hash's fields. Raises ``KeyError`` or ``ValueError`` for a hash that no script wrote."""
    return Schedule(
        name=fields["name"],
        task=fields["task"],
        args=fields["args"],
        kwargs=fields["kwargs"],
        queue=fields["queue"],
        max_retries=int(fields["max_retries"]),
        more=fields["more"],
        rule=rule_of(fields["cron"], fields["timezone"], fields["every"]),
        missed=Missed(fields["missed"]),
        most=int(fields["most"]),
        origin=Origin(fields["origin"]),
        version=fields["version"],
    )


def rule_of(cron: str, timezone: str, every: str) -> Rule:
    """The rule of a hash's fields. Raises ``ValueError`` for what is none; a cron expression is not looked into."""
    if bool(cron) == bool(every) or (every and int(every) < 1):
        raise ValueError("a schedule needs an expression or an interval")
    return Rule(cron, timezone or "UTC", int(every or 0))


def call_of(schedule: Schedule) -> dict[str, Any]:
    """What a schedule submits, in the form of a submission."""
    more = codec.decode(schedule.more) if schedule.more else {}
    call: dict[str, Any] = {
        "name": schedule.task,
        "args": codec.decode(schedule.args),
        "kwargs": codec.decode(schedule.kwargs),
        "queue": schedule.queue,
        "max_retries": schedule.max_retries,
    }
    if "priority" in more:
        call["priority"] = int(more["priority"])
    if "expires_in" in more:
        call["expires"] = float(more["expires_in"])
    if "tags" in more:
        call["tags"] = more["tags"].split()
    if "fair" in more:
        call["fair_key"] = more["fair"]
    if "options" in more:
        call |= codec.decode(more["options"])
    return call | _once_of(more)


def _once_of(more: Mapping[str, str]) -> dict[str, Any]:
    """How often its task may be there; not by which key, of which Redis has the hash only."""
    seconds = float(more.get("hold", 0)) / 1000
    match more.get("once"):
        case "finish":
            return {"unique_for": seconds}
        case "start":
            return {"unique_for": seconds, "unique_until": "start"}
        case "throttle":
            return {"throttle": seconds}
    return {}


def describe(record: ScheduleRecord) -> dict[str, Any]:
    """A schedule as every interface shows it: JSON-ready, its next time in its own zone, others in UTC."""
    schedule, last = record.schedule, record.last
    rule = schedule.rule
    return {
        "name": schedule.name,
        "task": call_of(schedule),
        "cron": rule.cron or None,
        "timezone": rule.timezone if rule.cron else None,
        "every": rule.every or None,
        "words": rule.words(),
        "missed": schedule.missed.value,
        "most": schedule.most,
        "origin": schedule.origin.value,
        "paused": record.paused,
        "declared": record.declared,
        "next": None if record.next is None else local_text(rule, record.next),
        "created_at": _utc(record.created_at),
        "updated_at": _utc(record.updated_at),
        "fired": record.fired,
        "last": None
        if last is None
        else {
            "task_id": last.task_id,
            "due": None if last.slot is None else _utc(last.slot),
            "at": _utc(last.at),
            "status": last.status and last.status.value,
            "duplicate": last.duplicate,
        },
    }


def local_text(rule: Rule, moment: float) -> str:
    """RFC 3339 in the rule's zone, so that people see the hour that they have asked for."""
    return rule.local(moment).isoformat(timespec="seconds")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
