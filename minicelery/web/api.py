"""The HTTP API: tasks, queues and dead letters."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request, url_for

from .. import codec, events
from ..batch import gather
from ..names import check_queue
from . import schemas
from .requests import celery, load_batch, load_query, load_submission


def register(blueprint: Blueprint) -> None:
    """Add the API's routes to a blueprint."""
    blueprint.post("/tasks")(submit)
    blueprint.post("/tasks/batch")(submit_batch)
    blueprint.get("/tasks/<task_id>")(task)
    blueprint.get("/queue/stats")(stats)
    blueprint.get("/queue/dead-letter")(dead_letters)
    blueprint.post("/queue/dead-letter/retry")(retry_all)
    blueprint.post("/queue/dead-letter/<task_id>/retry")(retry)
    blueprint.delete("/queue/dead-letter/<task_id>")(delete)


def submit() -> Response:
    """Submit a task."""
    app = celery()
    message = app.message(**load_submission())
    result, status = app.sender.send(message)
    body = {"task_id": result.id, "status": status.value, "max_retries": message.max_retries}
    # Not url_for: it takes a tenth of all that Flask and we do for the request. An id is safe in a URL.
    return answer(body, HTTPStatus.ACCEPTED, Location=f"{request.script_root}{request.path}/{result.id}")


def submit_batch() -> Response:
    """Submit many tasks."""
    app = celery()
    messages = gather(load_batch(), lambda call: app.message(**call), "/tasks/{}".format)
    app.sender.send_many(messages)
    return answer({"count": len(messages), "task_ids": [message.id for message in messages]}, HTTPStatus.ACCEPTED)


def task(task_id: str) -> Response:
    """Read a task."""
    return answer(events.describe(celery().inspector.task(task_id)))


def stats() -> Response:
    """Count the ready tasks of a queue."""
    queue = check_queue(load_query(schemas.QueueQuery())["queue"])
    return answer({"queue_length": celery().inspector.queue_length(queue), "queue_name": f"queue:{queue}"})


def dead_letters() -> Response:
    """List the tasks that have failed for good."""
    page = load_query(schemas.Page())
    count = celery().inspector.dead_letter_count()
    tasks = [events.describe(record) for record in celery().dead_letters(**page)]
    response = answer({"count": count, "tasks": tasks})
    following = page["offset"] + page["limit"]
    if following < count:
        link = url_for(".dead_letters", offset=following, limit=page["limit"])
        response.headers["Link"] = f'<{link}>; rel="next"'
    return response


def retry_all() -> Response:
    """Put all dead letters back into their queues."""
    return answer({"retried": celery().revive_all()})


def retry(task_id: str) -> Response:
    """Put a dead letter back into its queue."""
    celery().revive(task_id)
    record = celery().inspector.task(task_id)
    return answer(
        {"task_id": task_id, "status": record.status.value, "max_retries": record.max_retries}, HTTPStatus.ACCEPTED
    )


def delete(task_id: str) -> Response:
    """Delete a dead letter."""
    celery().discard(task_id)
    return Response(status=HTTPStatus.NO_CONTENT)


def answer(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """JSON exactly as the codec writes it, whatever the Flask app's own JSON settings are."""
    told = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), *headers.items()]
    return Response(codec.write(body), status.value, told)
