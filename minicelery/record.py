"""The stored state of one task, as read at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import codec
from .keys import NORMAL_PRIORITY
from .message import deliveries_of
from .states import FINISHED, Status


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task as Redis has it. Times are epoch seconds by Redis's clock; ``due`` only while delayed.

    Of the counters only ``retry_count`` (failures that the task reported, and that were retried) counts
    against ``max_retries``. ``priority`` is 0 to 9, 9 first; ``expires`` the moment after which it never begins;
    ``fair_key`` whose it is, as Redis has it: a digest where the key is long or unusual.
    ``deliveries``: times claimed. ``crashes``: times its process died after it had
    begun, or a whole worker was lost that had claimed it, begun or not; ``last_crash`` says by what. After the
    second it is ``quarantined``, to run alone in a process. ``released``: times a worker gave it back.
    """

    id: str
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    status: Status
    result: Any
    error: dict[str, str] | None
    progress: dict[str, Any] | None
    retry_count: int
    max_retries: int
    deliveries: int
    crashes: int
    last_crash: str | None
    quarantined: bool
    released: int
    worker: str | None
    created_at: float
    updated_at: float
    started_at: float | None
    due: float | None
    priority: int = NORMAL_PRIORITY
    expires: float | None = None
    tags: tuple[str, ...] = ()
    fair_key: str | None = None

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


def parse(fields: Mapping[str, str]) -> TaskRecord:
    """The record of a task hash's fields. Raises ``ValueError`` or ``KeyError`` for a hash that no script wrote."""
    args = _json(fields, "args")
    return TaskRecord(
        id=fields["id"],
        name=fields["name"],
        args=args if isinstance(args, list) else [args],
        kwargs=_object(fields, "kwargs") or {},
        queue=fields["queue"],
        status=Status(fields["status"]),
        result=_json(fields, "result"),
        error=_object(fields, "error"),
        progress=_object(fields, "progress"),
        retry_count=int(fields["retry_count"]),
        max_retries=int(fields["max_retries"]),
        deliveries=deliveries_of(fields.get("token", "")),
        crashes=int(fields.get("crashes", 0)),
        last_crash=fields.get("last_crash"),
        quarantined=fields.get("lane") == "quarantine",
        released=int(fields.get("released", 0)),
        worker=fields.get("worker"),
        created_at=float(fields["created_at"]),
        updated_at=float(fields["updated_at"]),
        started_at=_seconds(fields, "started_at"),
        due=_seconds(fields, "due"),
        priority=int(fields.get("priority", NORMAL_PRIORITY)),
        expires=_seconds(fields, "expires"),
        tags=tuple(fields.get("tags", "").split()),
        fair_key=fields.get("fair"),
    )


def _json(fields: Mapping[str, str], name: str) -> Any:
    """The value of a field. A text that is no JSON, which another program must have written, stands for itself."""
    try:
        return codec.decode(fields[name]) if name in fields else None
    except (ValueError, RecursionError):
        return fields[name]


def _object(fields: Mapping[str, str], name: str) -> dict[str, Any] | None:
    value = _json(fields, name)
    return value if isinstance(value, dict) else None


def _seconds(fields: Mapping[str, str], name: str) -> float | None:
    return float(fields[name]) if name in fields else None
