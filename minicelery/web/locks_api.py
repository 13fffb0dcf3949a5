"""Locks and semaphores over HTTP: who holds them, and breaking them by force."""

from http import HTTPStatus

import marshmallow as ma
from flask import Blueprint, Response, url_for

from ..lock_store import describe
from . import schemas
from .api import answer
from .operation import Operation
from .requests import celery, load_query


class LockHolder(ma.Schema):
    """One who holds a lock. Times are RFC 3339, UTC, by Redis's clock."""

    owner = ma.fields.String(required=True, metadata={"description": "Host and process id.", "example": "web1:4711"})
    token = ma.fields.Integer(required=True, metadata={"description": "The fencing token."})
    since = ma.fields.String(required=True, metadata={"format": "date-time"})
    expires = ma.fields.String(
        required=True, metadata={"format": "date-time", "description": "Unless it is renewed before."}
    )


class Lock(ma.Schema):
    """A lock or semaphore that somebody holds."""

    name = ma.fields.String(required=True, metadata={"example": "invoice:42"})
    limit = ma.fields.Integer(required=True, metadata={"description": "How many may hold it; 1 for a lock."})
    holders = ma.fields.List(ma.fields.Nested(LockHolder), required=True)
    waiting = ma.fields.Integer(required=True, metadata={"description": "How many wait for it."})


class Locks(ma.Schema):
    """A page of the locks that are held, by their names; ``count`` is the number of all."""

    count = ma.fields.Integer(required=True)
    locks = ma.fields.List(ma.fields.Nested(Lock), required=True)


OPERATIONS = (
    Operation(
        "get",
        "/locks",
        "List the locks and semaphores that somebody holds",
        200,
        Locks,
        query=schemas.Page,
        problems=(422, 503),
        headers=("Link",),
    ),
    Operation("get", "/locks/{name}", "Tell who holds a lock", 200, Lock, problems=(404, 422, 503)),
    Operation("delete", "/locks/{name}", "Break a lock by force", 204, problems=(403, 404, 422, 503)),
)


def register(blueprint: Blueprint) -> None:
    """Add the routes of locks to a blueprint."""
    blueprint.get("/locks")(locks)
    blueprint.get("/locks/<name>")(lock)
    blueprint.delete("/locks/<name>")(break_open)


def locks() -> Response:
    """List the locks and semaphores that somebody holds."""
    page = load_query(schemas.Page())
    start, end = page["offset"], page["offset"] + page["limit"]
    held = celery().locks.held()
    response = answer({"count": len(held), "locks": [describe(one) for one in held[start:end]]})
    if end < len(held):
        response.headers["Link"] = f'<{url_for(".locks", offset=end, limit=page["limit"])}>; rel="next"'
    return response


def lock(name: str) -> Response:
    """Tell who holds a lock."""
    return answer(describe(celery().locks.find(name)))


def break_open(name: str) -> Response:
    """Break a lock by force."""
    celery().locks.break_open(name)
    return Response(status=HTTPStatus.NO_CONTENT)
