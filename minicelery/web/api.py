"""The HTTP API: tasks, queues and dead letters."""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, url_for
from werkzeug.datastructures import Headers
from werkzeug.urls import iri_to_uri

from .. import codec, events
from ..batch import gather
from ..errors import AlreadyFinished
from ..names import check_queue
from ..states import Status
from . import idempotency, schemas
from .requests import batch_of, celery, load_body, load_object, load_query, submission_of, this_request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NO_HEADERS: dict[str, str] = {}
#: Whether nothing in a path has to be quoted.
_PLAIN = re.compile(r"[A-Za-z0-9/._~-]*").fullmatch


def register(blueprint: Blueprint) -> None:
    """Add the API's routes to a blueprint."""
    blueprint.post("/tasks")(submit)
    blueprint.post("/tasks/batch")(submit_batch)
    blueprint.get("/tasks/<task_id>")(task)
    blueprint.post("/tasks/<task_id>/cancel")(cancel)
    blueprint.get("/queue/stats")(stats)
    blueprint.get("/queue/dead-letter")(dead_letters)
    blueprint.post("/queue/dead-letter/<task_id>/retry")(retry)
    blueprint.delete("/queue/dead-letter/<task_id>")(delete)


def submit() -> Response:
    """Submit a task."""
    app, asked, told = celery(), this_request(), NO_HEADERS
    wanted, key = load_object(asked), idempotency.key_of(asked)
    message = app.message(**submission_of(wanted))
    if key is None:
        result, status = app.sender.send(message)
    else:
        [(result, status)], told = idempotency.send(app, key, wanted, [message])
    body = {"task_id": result.id, "status": status and status.value, "max_retries": message.max_retries}
    if result.duplicate:
        body["duplicate"] = True
    # Not url_for: it takes a tenth of all that Flask and we do for the request. An id is safe in a URL.
    place = f"{asked.script_root}{asked.path}"
    place = place if _PLAIN(place) else iri_to_uri(place)
    return answer(body, HTTPStatus.ACCEPTED, Location=f"{place}/{result.id}", **told)


def submit_batch() -> Response:
    """Submit many tasks."""
    app, asked, told = celery(), this_request(), NO_HEADERS
    wanted, key = load_object(asked), idempotency.key_of(asked)
    messages = gather(batch_of(wanted), lambda call: app.message(**call), "/tasks/{}".format)
    if key is None:
        sent = app.sender.send_many(messages)
    else:
        sent, told = idempotency.send(app, key, wanted, messages)
    body: dict[str, Any] = {"count": len(messages), "task_ids": [result.id for result, _ in sent]}
    if duplicates := [place for place, (result, _) in enumerate(sent) if result.duplicate]:
        body["duplicates"] = duplicates
    return answer(body, HTTPStatus.ACCEPTED, **told)


def task(task_id: str) -> Response:
    """Read a task."""
    return answer(events.describe(celery().inspector.task(task_id)))


def cancel(task_id: str) -> Response:
    """Cancel a task."""
    status = celery().sender.cancel(task_id, **load_body(schemas.Cancel()))
    if status is not Status.CANCELLED:
        raise AlreadyFinished(f"Task {task_id} is {status}, so it can't be cancelled any more.")
    return answer({"task_id": task_id, "status": status.value})


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


class _Answer(Response):
    """JSON whose headers are complete, so that Werkzeug need not look for what is to be added or quoted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._made = (self.status, self.headers.to_wsgi_list())

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """The headers that it was made with. Where somebody has changed it since, Werkzeug looks after all."""
        is_as_made = (self.status, self.headers.to_wsgi_list()) == self._made
        return self.headers if is_as_made else super().get_wsgi_headers(environ)


def answer(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """JSON exactly as the codec writes it, whatever the Flask app's own JSON settings are."""
    told = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), *headers.items()]
    return _Answer(codec.write(body), status.value, told)
