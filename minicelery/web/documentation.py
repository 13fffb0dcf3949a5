"""The OpenAPI document, made from the schemas, and the page that shows it."""

import re
from http import HTTPStatus
from importlib import resources
from typing import Any

import marshmallow as ma
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response, render_template, send_from_directory, url_for

from ..version import __version__
from . import bulk_api, control_api, idempotency, locks_api, problems, schedules_api, schemas
from .api import answer
from .operation import Operation

OPERATIONS = (
    Operation(
        "post",
        "/tasks",
        "Submit a task",
        202,
        schemas.Submitted,
        body=schemas.Submission,
        problems=(400, 403, 409, 413, 415, 422, 503),
        headers=("Location", idempotency.REPLAYED),
        takes_key=True,
    ),
    Operation(
        "post",
        "/tasks/batch",
        "Submit many tasks",
        202,
        schemas.BatchSubmitted,
        body=schemas.Batch,
        problems=(400, 403, 409, 413, 415, 422, 503),
        headers=(idempotency.REPLAYED,),
        takes_key=True,
    ),
    Operation(
        "post",
        "/tasks/{task_id}/cancel",
        "Cancel a task",
        200,
        schemas.Cancelled,
        body=schemas.Cancel,
        bare=True,
        problems=(400, 403, 404, 409, 413, 415, 422, 503),
    ),
    Operation("get", "/tasks/{task_id}", "Read a task", 200, schemas.TaskState, problems=(404, 503)),
    Operation(
        "get",
        "/queue/stats",
        "Count the ready tasks of a queue",
        200,
        schemas.QueueStats,
        query=schemas.QueueQuery,
        problems=(422, 503),
    ),
    Operation(
        "get",
        "/queue/dead-letter",
        "List the tasks that have failed for good",
        200,
        schemas.DeadLetters,
        query=schemas.Page,
        problems=(422, 503),
        headers=("Link",),
    ),
    Operation(
        "post",
        "/queue/dead-letter/{task_id}/retry",
        "Retry a dead letter",
        202,
        schemas.Submitted,
        problems=(403, 404, 409, 503),
    ),
    Operation("delete", "/queue/dead-letter/{task_id}", "Delete a dead letter", 204, problems=(403, 404, 409, 503)),
    *bulk_api.OPERATIONS,
    *control_api.OPERATIONS,
    *locks_api.OPERATIONS,
    *schedules_api.OPERATIONS,
    Operation("get", "/healthz", "Tell that the process is alive", 200, schemas.Health),
    Operation("get", "/readyz", "Tell that Redis is reachable", 200, schemas.Health, problems=(503,)),
)

_KEY = {
    "in": "header",
    "name": idempotency.HEADER,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same request with the same key is answered as the first time; another one is a 422.",
}
_ABOUT = "Submit tasks, read their state, keep schedules, look after dead letters and locks. Live: WS /ws/tasks/{id}."
# Swagger UI sets styles from its script, and carries its icons as data.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
_SWAGGER_UI = resources.files("flask_swagger_ui") / "dist"


def register(blueprint: Blueprint) -> None:
    """Add the document and its page to a blueprint."""
    blueprint.get("/openapi.json")(document)
    blueprint.get("/docs")(page)
    blueprint.get("/docs/<path:file>")(file)


def document() -> Response:
    """The OpenAPI document of this API, as it is mounted here."""
    prefix = url_for(".document").removesuffix("/openapi.json")
    return answer(describe(prefix))


def page() -> Response:
    """The interactive documentation."""
    response = Response(render_template("minicelery/docs.html"))
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def file(file: str) -> Response:
    """A file of Swagger UI, out of its package."""
    return send_from_directory(str(_SWAGGER_UI), file, max_age=86_400)


def describe(prefix: str) -> dict[str, Any]:
    """The OpenAPI document of the operations, below a path prefix."""
    spec = APISpec(
        title="Mini-Celery",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": _ABOUT},
        servers=[{"url": prefix or "/"}],
        plugins=[MarshmallowPlugin(schema_name_resolver=_schema_name)],
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation)
    for path, operations in paths.items():
        spec.path(path=path, operations=operations)
    return spec.to_dict()


def _describe(operation: Operation) -> dict[str, Any]:
    parameters: list[Any] = [{"in": "query", "schema": operation.query}] if operation.query else []
    for name in re.findall(r"{(\w+)}", operation.path):
        parameters.append({"in": "path", "name": name, "required": True, "schema": {"type": "string"}})
    if operation.takes_key:
        parameters.append(_KEY)
    responses = {str(operation.status): _success(operation)}
    for status in operation.problems:
        responses[str(status)] = _json(HTTPStatus(status).phrase + ".", schemas.Problem, problems.CONTENT_TYPE)
    described = {"summary": operation.summary, "parameters": parameters, "responses": responses}
    if operation.body:
        content = {"application/json": {"schema": operation.body}}
        described["requestBody"] = {"required": not operation.bare, "content": content}
    return described


def _success(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {"description": "Done."}
    if operation.answer:
        found = _json(operation.summary + ".", operation.answer)
    if operation.headers:
        found["headers"] = {name: {"schema": {"type": "string"}} for name in operation.headers}
    return found


def _json(description: str, schema: type[ma.Schema], content_type: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {content_type: {"schema": schema}}}


def _schema_name(schema: type[ma.Schema] | ma.Schema) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__
