"""The HTTP API for cancelling, retrying and deleting by the thousand.

No request takes more than so many ids, or looks at more than so many tasks of a tag or a selection. To retry or delete
many dead letters by ids it reads their list where it is long, to its end if need be: 0.6 s for a million.
"""

from typing import Any

from flask import Blueprint, Response

from ..bulk import Outcome, Verb
from ..errors import InvalidInput
from ..letters import Selection
from ..names import check_name
from ..states import Status
from . import bulk_schemas as schemas
from .api import answer
from .operation import Operation
from .requests import celery, load_body

_WORDS: dict[Verb, str] = {"retry": "retried", "delete": "deleted"}


def register(blueprint: Blueprint) -> None:
    """Add these routes to a blueprint."""
    blueprint.post("/tasks/cancel")(cancel_many)
    blueprint.post("/tasks/delete")(delete_tasks)
    blueprint.post("/queue/dead-letter/retry")(retry_dead)
    blueprint.post("/queue/dead-letter/delete")(delete_dead)


def cancel_many() -> Response:
    """Cancel tasks by their ids, or by a tag."""
    asked = load_body(schemas.CancelMany())
    if "tag" in asked:
        return _cancelled_tagged(**asked)
    states = celery().cancel(asked["task_ids"], interrupt=asked["interrupt"])
    return answer({"cancelled": states.count(Status.CANCELLED)})


def _cancelled_tagged(tag: str, interrupt: bool, limit: int = schemas.LIMIT, cursor: str = "0") -> Response:
    """Cancel the next ones of a tag; whoever asked goes on with the cursor."""
    place, looked, done = _scan_cursor(cursor), 0, 0
    seen: set[str] = set()
    while looked < limit:
        place, found = celery().inspector.tagged_part(check_name(tag, "/tag"), place)
        ids = [one for one in dict.fromkeys(found) if one not in seen]
        done += celery().cancel(ids, interrupt=interrupt).count(Status.CANCELLED)
        seen.update(ids)
        looked += len(found)
        if not place:
            return answer({"cancelled": done})
    return answer({"cancelled": done, "left": celery().inspector.tagged_count(tag), "cursor": str(place)})


def _scan_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 20 and int(cursor) < 2**64):
        raise InvalidInput("this is no cursor; give that of the last answer, or none to begin", "/cursor")
    return int(cursor)


def delete_tasks() -> Response:
    """Delete finished tasks by their ids."""
    return _told("delete", celery().bulk.delete(load_body(schemas.Deleting())["task_ids"]))


def retry_dead() -> Response:
    """Put dead letters back into their queues."""
    asked = load_body(schemas.RetryingDead())
    if "task_ids" in asked:
        return _told("retry", celery().bulk.retry(asked["task_ids"]))
    return _walked("retry", asked)


def delete_dead() -> Response:
    """Delete dead letters."""
    asked = load_body(schemas.DeletingDead())
    if "task_ids" in asked:
        return _told("delete", celery().bulk.delete(asked["task_ids"], states={Status.FAILED}))
    return _walked("delete", asked)


def _walked(verb: Verb, asked: dict[str, Any]) -> Response:
    """Do it to those of the next part of the dead letters; whoever asked goes on with the cursor."""
    limit, cursor = asked.pop("limit", schemas.LIMIT), asked.pop("cursor", None)
    asked.pop("all", None)  # which is to select nothing
    bulk = celery().bulk
    walk = bulk.walk(Selection(**asked), cursor)
    done = looked = 0
    for step in bulk.steps(verb, walk, look=limit):
        done += step.done
        looked += step.looked
        walk = step.walk
        if looked >= limit:
            break
    more = {"left": walk.left, "cursor": walk.cursor} if walk.left > 0 else {}
    return answer({_WORDS[verb]: done, **more})


def _told(verb: Verb, outcome: Outcome) -> Response:
    body: dict[str, Any] = {_WORDS[verb]: outcome.done}
    if outcome.others:
        body["kept"] = [{"task_id": one, "status": state and state.value} for one, state in outcome.others.items()]
    return answer(body)


_PROBLEMS = (400, 403, 413, 415, 422, 503)
OPERATIONS = (
    Operation(
        "post",
        "/tasks/cancel",
        "Cancel tasks by their ids, or by a tag",
        200,
        schemas.CancelledMany,
        schemas.CancelMany,
        problems=_PROBLEMS,
    ),
    Operation(
        "post",
        "/tasks/delete",
        "Delete finished tasks by their ids",
        200,
        schemas.Deleted,
        schemas.Deleting,
        problems=_PROBLEMS,
    ),
    Operation(
        "post",
        "/queue/dead-letter/retry",
        "Retry dead letters: all, those that are alike, or by their ids",
        200,
        schemas.RetriedDead,
        schemas.RetryingDead,
        bare=True,
        problems=_PROBLEMS,
    ),
    Operation(
        "post",
        "/queue/dead-letter/delete",
        "Delete dead letters: all, those that are alike, or by their ids",
        200,
        schemas.DeletedDead,
        schemas.DeletingDead,
        problems=_PROBLEMS,
    ),
)
