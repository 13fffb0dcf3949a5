"""Errors as RFC 9457 problem documents, with a pointer to the field."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .. import codec
from ..errors import (
    AlreadyFinished,
    ForeignData,
    InvalidInput,
    LockNotHeld,
    MiniCeleryError,
    NotADeadLetter,
    NotReplicated,
    RedisFull,
    RedisUnavailable,
    ScheduleExists,
    ScheduleFromCode,
    ScheduleNotFound,
    ScheduleStuck,
    TaskIdTaken,
    TaskNotFound,
    UnknownTask,
)

_AWAY = "Redis can't be used at the moment"
_FULL = "Redis has no memory left; there is room again once tasks and results are gone, or with a higher maxmemory"
_FOREIGN = "Another program has put something else under a key that this needs; `minicelery doctor` names it"
_UNSURE = "Redis has what was sent, but no replica has confirmed it in time"
MOST_FAULTS = 20
RETRY_AFTER = 2  #: seconds after which a client may try again while Redis is away
CONTENT_TYPE = "application/problem+json"

_STATUSES: list[tuple[type[MiniCeleryError], HTTPStatus]] = [
    (TaskIdTaken, HTTPStatus.CONFLICT),
    (ScheduleExists, HTTPStatus.CONFLICT),
    (ScheduleFromCode, HTTPStatus.CONFLICT),
    (ScheduleStuck, HTTPStatus.CONFLICT),
    (NotADeadLetter, HTTPStatus.CONFLICT),
    (AlreadyFinished, HTTPStatus.CONFLICT),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TaskNotFound, HTTPStatus.NOT_FOUND),
    (LockNotHeld, HTTPStatus.NOT_FOUND),
    (ScheduleNotFound, HTTPStatus.NOT_FOUND),
    (RedisUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (MiniCeleryError, HTTPStatus.INTERNAL_SERVER_ERROR),
]


def problem(status: HTTPStatus, detail: str, errors: Sequence[dict[str, str]] = (), **more: Any) -> Response:
    """A problem document. ``errors`` holds a ``pointer`` and a ``detail`` for each faulty field."""
    title = HTTP_STATUS_CODES[status.value]  # of Werkzeug: Python's own phrases differ between its versions
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status.value, "detail": detail}
    if errors:
        body["errors"] = list(errors)
    response = Response(codec.write(body | more), status.value, content_type=CONTENT_TYPE)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def of_error(error: MiniCeleryError) -> Response:
    """The answer to one of our own errors."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    near = error.did_you_mean if isinstance(error, UnknownTask) else None
    more = {"did_you_mean": near} if near else {}
    if isinstance(error, TaskIdTaken) and error.task_ids:
        return _of_taken(error, status)
    if isinstance(error, InvalidInput):
        return problem(status, str(error), [{"pointer": error.pointer, "detail": error.detail}], **more)
    if isinstance(error, RedisUnavailable):
        return _of_redis(error, status)
    return problem(status, str(error))


def _of_redis(error: RedisUnavailable, status: HTTPStatus) -> Response:
    """The cause names hosts and ports; it is for our log."""
    if error.task_ids:
        return _of_batch(error, status)
    more: dict[str, Any] = {"task_id": error.task_id} if error.task_id else {}
    again = "submit it again under this task_id" if more else "try again"
    if isinstance(error, RedisFull):
        return problem(status, f"{_FULL}. Nothing was changed: {again}.", **more)
    if isinstance(error, ForeignData):
        response = problem(status, f"{_FOREIGN}. Nothing was changed.", **more)
        del response.headers["Retry-After"]  # an operator has to act first
        return response
    if isinstance(error, NotReplicated):
        return problem(status, f"{_UNSURE}: {again}; it stays one task.", **more)
    return problem(status, f"{_AWAY}; {'the task may be there: ' if more else ''}{again}.", **more)


def _of_batch(error: RedisUnavailable, status: HTTPStatus) -> Response:
    """Part of a batch may be there. Repeated under the same ids it is safe, whatever is there by then."""
    causes = ((RedisFull, _FULL), (ForeignData, _FOREIGN), (NotReplicated, _UNSURE), (RedisUnavailable, _AWAY))
    cause = next(words for kind, words in causes if isinstance(error, kind))
    there, ids = len(error.submitted), list(error.task_ids)
    detail = (
        f"{cause}. Of {len(ids):,} tasks {there:,} are in Redis, in their order, and some further ones may be. Submit "
        "all again, each with its id of task_ids as its task_id: what is there stays one task."
    )
    response = problem(status, detail, submitted=there, task_ids=ids)
    if isinstance(error, ForeignData):
        del response.headers["Retry-After"]
    return response


def _of_taken(error: TaskIdTaken, status: HTTPStatus) -> Response:
    """Of a batch all those are submitted whose id is not taken."""
    ids = list(error.task_ids)
    detail = "another task already has this id; use a fresh one"
    faults = [{"pointer": f"/tasks/{place}/task_id", "detail": detail} for place in error.places[:MOST_FAULTS]]
    told = f"{len(error.places):,} of {len(ids):,} tasks have an id that another task has; all others are submitted."
    return problem(status, told, faults, submitted=len(ids) - len(error.places), task_ids=ids)


def of_http(error: HTTPException) -> Response:
    """The answer to an error of HTTP itself, with the headers it asks for, such as Allow."""
    status = HTTPStatus(error.code or 500)
    response = problem(status, error.description or status.description)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
