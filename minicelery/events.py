"""The events of a task: their names, and their form on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from . import codec
from .record import TaskRecord
from .states import Status


class EventName(StrEnum):
    """What can happen to a task. ``CONNECTED`` is made for a watcher; all others are written by the scripts."""

    CONNECTED = "connected"
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    WAITING = "waiting"
    STARTED = "started"
    PROGRESS = "progress"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DELETED = "deleted"


#: What tells of the end of a task, by the state that it ends in.
ENDS = {
    Status.SUCCESS: EventName.COMPLETED,
    Status.FAILED: EventName.FAILED,
    Status.CANCELLED: EventName.CANCELLED,
    Status.EXPIRED: EventName.EXPIRED,
}
FINAL = frozenset({*ENDS.values(), EventName.DELETED})
#: What a watcher is sent unless it asks for all.
USUAL = frozenset(EventName) - {EventName.QUEUED, EventName.SCHEDULED, EventName.WAITING}

_OPENING = '{"event":"'
_NAMES = {name.value: name for name in EventName}


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``text`` is its JSON as published, ``{"event": name, "data": {...}}``."""

    name: EventName
    text: str


def parse(text: str) -> Event | None:
    """The event of a published text, or ``None`` for anything that no script of ours has written."""
    if not text.startswith(_OPENING):
        return None
    name = _NAMES.get(text[len(_OPENING) : text.find('"', len(_OPENING))])
    return Event(name, text) if name else None


def describe(record: TaskRecord) -> dict[str, Any]:
    """A task as every interface shows it: JSON-ready, times in RFC 3339, UTC."""
    return {
        "task_id": record.id,
        "status": record.status.value,
        "result": record.result,
        "error": record.error,
        "retry_count": record.retry_count,
        "max_retries": record.max_retries,
        "created_at": rfc3339(record.created_at),
        "updated_at": rfc3339(record.updated_at),
        "name": record.name,
        "args": record.args,
        "kwargs": record.kwargs,
        "queue": record.queue,
        "progress": record.progress,
        "due": None if record.due is None else rfc3339(record.due),
        "priority": record.priority,
        "expires": None if record.expires is None else rfc3339(record.expires),
        "tags": list(record.tags),
        "fair_key": record.fair_key,
        "worker": record.worker,
        "deliveries": record.deliveries,
        "crashes": record.crashes,
        "last_crash": record.last_crash,
        "quarantined": record.quarantined,
        "released": record.released,
    }


def connected(record: TaskRecord, described: Mapping[str, Any]) -> list[Event]:
    """What a new watcher is sent first: the present state, and the final event if the task has finished."""
    found = [_event(EventName.CONNECTED, described)]
    if record.status not in ENDS:
        return found
    end: dict[str, Any] = {"task_id": record.id, "status": record.status.value, "retry_count": record.retry_count}
    if record.status is Status.SUCCESS:
        end["result"] = record.result
    elif record.status is Status.FAILED:
        end["error"] = record.error
    return [*found, _event(ENDS[record.status], {**end, "at": rfc3339(record.updated_at)})]


def ended(record: TaskRecord, event: Event) -> TaskRecord | None:
    """A record with the end that a final event tells of its task. Who ran it, and how often, stays as it was read.

    None if it tells of no end: the task was deleted, or the text is not ours.
    """
    try:
        data = codec.decode(event.text)["data"]
        at = datetime.fromisoformat(data["at"]).timestamp()
        if data["task_id"] != record.id:
            return None
        if event.name is EventName.COMPLETED:
            end = {"status": Status.SUCCESS, "result": data["result"], "error": None}
        elif event.name is EventName.FAILED:
            end = {"status": Status.FAILED, "error": {**data["error"]}}
        else:
            end = {"status": Status(event.name.upper())}
        return replace(record, **end, retry_count=int(data["retry_count"]), updated_at=at, due=None)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _event(name: EventName, data: Mapping[str, Any]) -> Event:
    return Event(name, codec.write({"event": name.value, "data": dict(data)}))


def rfc3339(seconds: float) -> str:
    """Epoch seconds as every interface shows them."""
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat()[:19]}.{ms:03}Z"  # strftime takes three times as long
