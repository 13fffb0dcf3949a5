"""The HTTP API of schedules."""

from http import HTTPStatus

from flask import Blueprint, Response, url_for

from ..schedule import ScheduleRecord, describe
from .api import answer
from .operation import Operation
from .requests import celery, load_body
from .schedule_schemas import NewSchedule, Previewed, PreviewRequest, ScheduleChange, ScheduleList, ScheduleState
from .schemas import Submitted

_NEW, _CHANGE, _PREVIEW = NewSchedule(), ScheduleChange(), PreviewRequest()


OPERATIONS = (
    Operation("get", "/schedules", "List the schedules", 200, ScheduleList, problems=(503,)),
    Operation(
        "post",
        "/schedules",
        "Add a schedule",
        201,
        ScheduleState,
        body=NewSchedule,
        problems=(400, 403, 409, 413, 415, 422, 503),
        headers=("Location",),
    ),
    Operation(
        "post",
        "/schedules/preview",
        "Tell a rule in words, and when it is due next",
        200,
        Previewed,
        body=PreviewRequest,
        problems=(400, 403, 413, 415, 422, 503),
    ),
    Operation("get", "/schedules/{name}", "Read a schedule", 200, ScheduleState, problems=(404, 503)),
    Operation(
        "patch",
        "/schedules/{name}",
        "Change a schedule",
        200,
        ScheduleState,
        body=ScheduleChange,
        bare=True,
        problems=(400, 403, 404, 409, 413, 415, 422, 503),
    ),
    Operation("delete", "/schedules/{name}", "Delete a schedule", 204, problems=(403, 404, 409, 503)),
    Operation(
        "post",
        "/schedules/{name}/run",
        "Send the task of a schedule at once",
        202,
        Submitted,
        problems=(403, 404, 503),
        headers=("Location",),
    ),
    Operation(
        "post",
        "/schedules/{name}/pause",
        "Let a schedule fire no more",
        200,
        ScheduleState,
        problems=(403, 404, 503),
    ),
    Operation(
        "post",
        "/schedules/{name}/resume",
        "Let a schedule fire again",
        200,
        ScheduleState,
        problems=(403, 404, 409, 503),
    ),
)


def register(blueprint: Blueprint) -> None:
    """Add the routes of schedules to a blueprint."""
    blueprint.get("/schedules")(schedules)
    blueprint.post("/schedules")(add)
    blueprint.post("/schedules/preview")(preview)
    blueprint.get("/schedules/<name>")(schedule)
    blueprint.patch("/schedules/<name>")(change)
    blueprint.delete("/schedules/<name>")(remove)
    blueprint.post("/schedules/<name>/run")(run)
    blueprint.post("/schedules/<name>/pause")(pause)
    blueprint.post("/schedules/<name>/resume")(resume)


def schedules() -> Response:
    """List the schedules."""
    found = [describe(record) for record in celery().schedules.list()]
    return answer({"count": len(found), "schedules": found})


def add() -> Response:
    """Add a schedule."""
    given = load_body(_NEW)
    record = celery().schedules.add(given.pop("name"), given.pop("task"), **given)
    return answer(describe(record), HTTPStatus.CREATED, Location=url_for(".schedule", name=record.schedule.name))


def preview() -> Response:
    """Tell a rule in words, and when it is due next."""
    found = celery().schedules.preview(**load_body(_PREVIEW))
    return answer({"words": found.words, "next": list(found.next)})


def schedule(name: str) -> Response:
    """Read a schedule."""
    return _told(celery().schedules.get(name))


def change(name: str) -> Response:
    """Change a schedule."""
    given = load_body(_CHANGE)
    return _told(celery().schedules.change(name, given.pop("task", None), **given))


def remove(name: str) -> Response:
    """Delete a schedule."""
    celery().schedules.delete(name)
    return Response(status=HTTPStatus.NO_CONTENT)


def run(name: str) -> Response:
    """Send the task of a schedule at once."""
    app = celery()
    result = app.schedules.run_now(name)
    [record] = app.inspector.tasks([result.id])
    max_retries = record.max_retries if record else app.schedules.get(name).schedule.max_retries
    body = {"task_id": result.id, "status": record and record.status.value, "max_retries": max_retries}
    if result.duplicate:
        body["duplicate"] = True
    return answer(body, HTTPStatus.ACCEPTED, Location=url_for(".task", task_id=result.id))


def pause(name: str) -> Response:
    """Let a schedule fire no more."""
    return _told(celery().schedules.pause(name))


def resume(name: str) -> Response:
    """Let a schedule fire again."""
    return _told(celery().schedules.resume(name))


def _told(record: ScheduleRecord) -> Response:
    return answer(describe(record))
