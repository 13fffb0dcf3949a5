"""The HTTP API of operators: why a task waits, pauses and limits, purging and moving what is ready in a queue."""

from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response

from ..broker import PROMOTE_BATCH
from ..errors import InvalidInput
from ..keys import HIGHEST_PRIORITY
from ..limits import described
from ..why import described as explained
from . import control_schemas as schemas
from .api import answer
from .operation import Operation
from .requests import celery, load_body


def register(blueprint: Blueprint) -> None:
    """Add these routes to a blueprint."""
    blueprint.get("/limits")(limits)
    blueprint.get("/tasks/<task_id>/why")(why)
    for kind, place in (("queue", "/queues/<name>"), ("task", "/task-names/<name>")):
        for verb, method, action in _ROUTES[kind]:
            endpoint = f"{verb}_{kind}"
            blueprint.add_url_rule(f"{place}/{action}", endpoint, _views[endpoint], methods=[method])


_ROUTES = {
    "queue": (
        ("pause", "POST", "pause"),
        ("resume", "POST", "resume"),
        ("limit", "PUT", "limits"),
        ("unlimit", "DELETE", "limits"),
        ("purge", "POST", "purge"),
        ("move", "POST", "move"),
    ),
    "task": (
        ("pause", "POST", "pause"),
        ("resume", "POST", "resume"),
        ("limit", "PUT", "limits"),
        ("unlimit", "DELETE", "limits"),
    ),
}


def limits() -> Response:
    """List all limits and pauses that are set."""
    return answer({"controls": [described(one) for one in celery().limits.all()]})


def why(task_id: str) -> Response:
    """Tell why a task waits."""
    return answer(explained(celery().why(task_id)))


def pause_queue(name: str) -> Response:
    """Pause a queue."""
    celery().limits.pause_queue(name, **load_body(schemas.Pausing()))
    return _state("queue", name)


def resume_queue(name: str) -> Response:
    """Resume a queue."""
    celery().limits.resume_queue(name)
    return _state("queue", name)


def limit_queue(name: str) -> Response:
    """Limit how many tasks of a queue run at the same time, and let them age."""
    celery().limits.set_queue(name, **load_body(schemas.QueueLimits()))
    return _state("queue", name)


def unlimit_queue(name: str) -> Response:
    """Take away what was set for a queue, but for a pause."""
    celery().limits.clear_queue(name)
    return _state("queue", name)


def pause_task(name: str) -> Response:
    """Pause the tasks of a name."""
    celery().limits.pause_task(name, **load_body(schemas.Pausing()))
    return _state("task", name)


def resume_task(name: str) -> Response:
    """Resume the tasks of a name."""
    celery().limits.resume_task(name)
    return _state("task", name)


def limit_task(name: str) -> Response:
    """Limit the tasks of a name."""
    asked = load_body(schemas.TaskLimits())
    celery().limits.set_task(name, rate=asked.get("rate_limit"), concurrency=asked.get("concurrency"))
    return _state("task", name)


def unlimit_task(name: str) -> Response:
    """Take the limits away that were set for the tasks of a name."""
    celery().limits.clear_task(name)
    return _state("task", name)


def purge_queue(name: str) -> Response:
    """Cancel all that is ready in a queue."""
    asked = load_body(schemas.Purging())
    if asked["confirm"] != name:
        raise InvalidInput(f"this is not the name of the queue; confirm with '{name}'", "/confirm")
    return _taken("purged", name, celery().limits.purging(name), asked["limit"])


def move_queue(name: str) -> Response:
    """Move all that is ready in a queue to another one."""
    asked = load_body(schemas.Moving())
    return _taken("moved", name, celery().limits.moving(name, asked["to"]), asked["limit"])


def _taken(word: str, name: str, steps: Iterator[int], limit: int) -> Response:
    """Take what is ready in a queue, step by step, and no more than about so many: a request must not last for long."""
    done, most_steps = 0, limit // PROMOTE_BATCH + HIGHEST_PRIORITY + 1
    for number, some in enumerate(steps, 1):
        done += some
        if done >= limit or number >= most_steps:
            left = celery().inspector.queue_length(name)
            return answer({word: done, "left": left} if left else {word: done})
    return answer({word: done})


def _state(kind: str, name: str) -> Response:
    return answer(described(celery().limits.of(kind, name)))


_PROBLEMS = (400, 403, 413, 415, 422, 503)
OPERATIONS = (
    Operation("get", "/tasks/{task_id}/why", "Tell why a task waits", 200, schemas.Why, problems=(404, 503)),
    Operation("get", "/limits", "List all limits and pauses that are set", 200, schemas.Controls, problems=(503,)),
    Operation(
        "post",
        "/queues/{name}/pause",
        "Pause a queue",
        200,
        schemas.ControlState,
        schemas.Pausing,
        bare=True,
        problems=_PROBLEMS,
    ),
    Operation("post", "/queues/{name}/resume", "Resume a queue", 200, schemas.ControlState, problems=(403, 422, 503)),
    Operation(
        "put",
        "/queues/{name}/limits",
        "Limit how many tasks of a queue run at the same time, and let them age",
        200,
        schemas.ControlState,
        schemas.QueueLimits,
        problems=_PROBLEMS,
    ),
    Operation(
        "delete",
        "/queues/{name}/limits",
        "Take away what was set for a queue, but for a pause",
        200,
        schemas.ControlState,
        problems=(403, 422, 503),
    ),
    Operation(
        "post",
        "/queues/{name}/purge",
        "Cancel all that is ready in a queue",
        200,
        schemas.Purged,
        schemas.Purging,
        problems=_PROBLEMS,
    ),
    Operation(
        "post",
        "/queues/{name}/move",
        "Move all that is ready in a queue to another one",
        200,
        schemas.Moved,
        schemas.Moving,
        problems=_PROBLEMS,
    ),
    Operation(
        "post",
        "/task-names/{name}/pause",
        "Pause the tasks of a name",
        200,
        schemas.ControlState,
        schemas.Pausing,
        bare=True,
        problems=_PROBLEMS,
    ),
    Operation(
        "post",
        "/task-names/{name}/resume",
        "Resume the tasks of a name",
        200,
        schemas.ControlState,
        problems=(403, 422, 503),
    ),
    Operation(
        "put",
        "/task-names/{name}/limits",
        "Limit the tasks of a name",
        200,
        schemas.ControlState,
        schemas.TaskLimits,
        problems=_PROBLEMS,
    ),
    Operation(
        "delete",
        "/task-names/{name}/limits",
        "Take the limits away that were set for the tasks of a name",
        200,
        schemas.ControlState,
        problems=(403, 422, 503),
    ),
)

_views: dict[str, Callable[..., Any]] = {
    view.__name__: view
    for view in (
        pause_queue,
        resume_queue,
        limit_queue,
        unlimit_queue,
        purge_queue,
        move_queue,
        pause_task,
        resume_task,
        limit_task,
        unlimit_task,
    )
}
