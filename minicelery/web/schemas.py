"""What requests and answers look like: checked by marshmallow, and the source of the OpenAPI document."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from ..keys import HIGHEST_PRIORITY, NORMAL_PRIORITY
from ..options import MOST_TAGS
from ..outcome import MAX_DELAY, MAX_RETRIES
from ..states import Status
from ..time_limits import SHORTEST_LIMIT
from ..uniqueness import LONGEST_KEY, SHORTEST, UNTIL


class Seconds(ma.fields.Float):
    """A JSON number of seconds in a range; a string that looks like one is refused."""

    def __init__(self, low: float, high: float, **more: Any) -> None:
        rule = f"give a number from {low:g} to {high:.0f}, in seconds"
        super().__init__(validate=validate.Range(low, high, error=rule), error_messages=refusal(rule), **more)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.make_error("invalid", input=value)
        return value


class Whole(ma.fields.Integer):
    """A JSON integer in a range; 3.0, "3" and true are refused."""

    def __init__(self, low: int, high: int, **more: Any) -> None:
        rule = f"give a whole number from {low} to {high}"
        super().__init__(validate=validate.Range(low, high, error=rule), error_messages=refusal(rule), **more)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value


class YesNo(ma.fields.Boolean):
    """A JSON boolean; 1 and "yes" are refused."""

    def __init__(self, **more: Any) -> None:
        super().__init__(error_messages=refusal("give true or false"), **more)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def refusal(rule: str) -> dict[str, Any]:
    """What is said of a value of a wrong type, null included."""
    return {"invalid": rule, "null": rule}


_TIME_RULE = "give a moment with its time zone, such as 2030-01-31T12:00:00Z"


class Expiry(ma.fields.Field[Any]):
    """Seconds from now, or a moment with its time zone."""

    _seconds = Seconds(0, MAX_DELAY)
    _moment = ma.fields.AwareDateTime(
        format="iso", error_messages={"invalid": _TIME_RULE, "invalid_awareness": _TIME_RULE}
    )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return (self._moment if isinstance(value, str) else self._seconds).deserialize(value)


def _any_json(**more: Any) -> ma.fields.Raw:
    return ma.fields.Raw(allow_none=True, **more)


def _text(description: str, **metadata: str) -> ma.fields.String:
    """A text that may be left out; null counts as left out."""
    return ma.fields.String(
        allow_none=True,
        error_messages={"invalid": "give a string"},
        metadata={"description": description, **metadata},
    )


def _seconds(description: str, least: float = SHORTEST) -> Seconds:
    return Seconds(least, MAX_DELAY, allow_none=True, metadata={"description": description})


class Submission(ma.Schema):
    """A task to be done."""

    error_messages = {"type": "give an object"}  # noqa: RUF012  # as marshmallow wants it

    name = ma.fields.String(
        required=True,
        error_messages={
            "required": "required: the name of a task",
            **refusal("give a string"),
        },
        metadata={"description": "A registered task.", "example": "add"},
    )
    args = ma.fields.List(
        _any_json(),
        allow_none=True,
        error_messages={"invalid": "give a list"},
        metadata={"description": "Positional arguments.", "example": [10, 20]},
    )
    kwargs = ma.fields.Dict(
        ma.fields.String(),
        _any_json(),
        allow_none=True,
        error_messages={"invalid": "give an object"},
        metadata={"description": "Keyword arguments."},
    )
    queue = _text("Default: the task's own queue.", example="default")
    max_retries = Whole(0, MAX_RETRIES, allow_none=True, metadata={"example": 3})
    time_limit = _seconds("Seconds after which a run is given up on. Default: the task's own.", SHORTEST_LIMIT)
    soft_time_limit = _seconds(
        "Seconds after which a run is told to end, less than time_limit. Default: the task's own.", SHORTEST_LIMIT
    )
    ignore_result = YesNo(allow_none=True, metadata={"description": "Keep null as its result. Default: the task's."})
    countdown = Seconds(0, MAX_DELAY, allow_none=True, metadata={"description": "Seconds from now."})
    eta = ma.fields.AwareDateTime(
        format="iso",
        allow_none=True,
        error_messages={"invalid": _TIME_RULE, "invalid_awareness": _TIME_RULE},
        metadata={"description": "A moment, RFC 3339 with its zone."},
    )
    expires = Expiry(
        allow_none=True,
        metadata={
            "description": "Later than that the task never begins: seconds from now, or a moment with its zone.",
            "oneOf": [{"type": "number"}, {"type": "string", "format": "date-time"}],
        },
    )
    priority = Whole(
        0,
        HIGHEST_PRIORITY,
        allow_none=True,
        metadata={
            "description": f"Within its queue, {HIGHEST_PRIORITY} first. Default: the task's own, {NORMAL_PRIORITY}."
        },
    )
    tags = ma.fields.List(
        ma.fields.String(error_messages=refusal("give a string")),
        allow_none=True,
        error_messages={"invalid": "give a list"},
        metadata={"description": "Names under which tasks can be cancelled together.", "maxItems": MOST_TAGS},
    )
    fair_key = _text(
        "Whose it is, a tenant's, say: within a queue they take turns. Default: by the task's own function."
    )
    unique_for = _seconds("Another call with the same key is this same task, for so long at most.")
    unique_until = ma.fields.String(
        allow_none=True,
        validate=validate.OneOf(UNTIL, error=f"give {' or '.join(UNTIL)}"),
        error_messages={"invalid": "give a string"},
        metadata={"description": "When the key is free again, if not before. Default: the task's own, finish."},
    )
    unique_key = _text(
        f"Of two calls of one task that are the same. Default: by its arguments. At most {LONGEST_KEY} characters."
    )
    throttle = _seconds("As unique_for, for just so long, whatever becomes of the task.")
    debounce = _seconds("Due so long after the last call with the same key, whose arguments count.")
    debounce_max = _seconds("Due so long after the first such call in any case. Default: ten times debounce.")
    task_id = _text("An id of your own. The same id with the same call is the same task.")

    @ma.post_load
    def without_nulls(self, value: dict[str, Any], **_: Any) -> dict[str, Any]:
        """null counts as left out."""
        return {name: given for name, given in value.items() if given is not None}


#: Fields that the schema lets through as they are, if they are of just this type.
_AS_THEY_ARE = {"name": str, "args": list, "kwargs": dict, "queue": str, "task_id": str}


def is_plain(value: Any) -> bool:
    """Whether ``Submission`` would give back just this value. It takes three times as long as all else for a task."""
    return isinstance(value, dict) and "name" in value and all(type(v) is _AS_THEY_ARE.get(k) for k, v in value.items())


class Submissions(ma.fields.List[Any]):
    """A list of ``Submission``, told by its length first, and no further than to some faults."""

    MOST = 10_000
    MOST_FAULTS = 20

    def __init__(self, **more: Any) -> None:
        one = ma.fields.Nested(Submission, error_messages={"null": "give an object"})
        super().__init__(one, error_messages=refusal("give a list"), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        if not 1 <= len(value) <= self.MOST:
            raise ma.ValidationError(f"give 1 to {self.MOST} tasks; these are {len(value)}")
        loaded, faults = [], {}
        for place, one in enumerate(value):
            try:
                loaded.append(one if is_plain(one) else self.inner.deserialize(one))
            except ma.ValidationError as error:
                faults[place] = error.messages
                if len(faults) == self.MOST_FAULTS:
                    break
        if faults:
            raise ma.ValidationError(faults)
        return loaded


class Batch(ma.Schema):
    """Tasks to be done, 10,000 at most."""

    tasks = Submissions(
        required=True,
        metadata={"minItems": 1, "maxItems": Submissions.MOST, "description": "All are checked before one is written."},
    )


class BatchSubmitted(ma.Schema):
    """Tasks that Redis has."""

    count = ma.fields.Integer(required=True)
    task_ids = ma.fields.List(ma.fields.String(), required=True, metadata={"description": "In the order of the tasks."})
    duplicates = ma.fields.List(
        ma.fields.Integer(),
        metadata={"description": "Where there are any: the places of those that were there already."},
    )


class Submitted(ma.Schema):
    """A task that Redis has."""

    task_id = ma.fields.String(required=True)
    status = ma.fields.Enum(
        Status, required=True, allow_none=True, metadata={"description": "null: of a duplicate whose task is gone."}
    )
    max_retries = ma.fields.Integer(required=True)
    duplicate = ma.fields.Boolean(
        metadata={"description": "true: an earlier call was the same, and this is its task. Else left out."}
    )


class TaskError(ma.Schema):
    """Why a run failed."""

    type = ma.fields.String(required=True, metadata={"example": "ValueError"})
    message = ma.fields.String(required=True)
    traceback = ma.fields.String(required=True)


class Progress(ma.Schema):
    """How far a task says it is."""

    done = ma.fields.Float(required=True)
    total = ma.fields.Float(required=True, allow_none=True)
    message = ma.fields.String(required=True)


class TaskState(ma.Schema):
    """A task as it is now. Times are RFC 3339, UTC, by Redis's clock."""

    task_id = ma.fields.String(required=True)
    status = ma.fields.Enum(Status, required=True)
    result = _any_json(required=True, metadata={"description": "Of a SUCCESS."})
    error = ma.fields.Nested(TaskError, required=True, allow_none=True, metadata={"description": "Of the last run."})
    retry_count = ma.fields.Integer(required=True)
    max_retries = ma.fields.Integer(required=True)
    created_at = ma.fields.String(required=True, metadata={"format": "date-time"})
    updated_at = ma.fields.String(required=True, metadata={"format": "date-time"})
    name = ma.fields.String(required=True)
    args = ma.fields.List(_any_json(), required=True)
    kwargs = ma.fields.Dict(ma.fields.String(), _any_json(), required=True)
    queue = ma.fields.String(required=True)
    progress = ma.fields.Nested(Progress, required=True, allow_none=True)
    due = ma.fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    priority = ma.fields.Integer(required=True, metadata={"description": "Within its queue, 9 first."})
    expires = ma.fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    tags = ma.fields.List(ma.fields.String(), required=True)
    fair_key = ma.fields.String(required=True, allow_none=True, metadata={"description": "Whose it is."})
    worker = ma.fields.String(required=True, allow_none=True)
    deliveries = ma.fields.Integer(required=True, metadata={"description": "Times claimed by a worker."})
    crashes = ma.fields.Integer(required=True, metadata={"description": "Times its process died in a run."})
    last_crash = ma.fields.String(required=True, allow_none=True, metadata={"description": "What ended its process."})
    quarantined = ma.fields.Boolean(required=True, metadata={"description": "It runs alone in a process by now."})
    released = ma.fields.Integer(required=True, metadata={"description": "Times a worker gave it back."})


class Cancel(ma.Schema):
    """How a task is cancelled."""

    interrupt = YesNo(load_default=False, metadata={"description": "Raise an exception in the task if it runs."})


class Cancelled(ma.Schema):
    """A task that is cancelled."""

    task_id = ma.fields.String(required=True)
    status = ma.fields.Enum(Status, required=True)


class QueueQuery(ma.Schema):
    """Which queue."""

    queue = ma.fields.String(load_default="default")


class QueueStats(ma.Schema):
    """How many tasks are ready in a queue."""

    queue_length = ma.fields.Integer(required=True)
    queue_name = ma.fields.String(required=True, metadata={"example": "queue:default"})


class Page(ma.Schema):
    """Which part of a list."""

    limit = ma.fields.Integer(
        load_default=50,
        validate=validate.Range(1, 200, error="give 1 to 200"),
        error_messages={"invalid": "give 1 to 200"},
    )
    offset = ma.fields.Integer(
        load_default=0,
        validate=validate.Range(0, 1_000_000_000, error="give 0 to 1000000000"),
        error_messages={"invalid": "give 0 to 1000000000"},
    )


class DeadLetters(ma.Schema):
    """A page of dead letters, newest first; ``count`` is the number of all."""

    count = ma.fields.Integer(required=True)
    tasks = ma.fields.List(ma.fields.Nested(TaskState), required=True)


class Health(ma.Schema):
    """Whether this process can do its work."""

    status = ma.fields.String(required=True, metadata={"example": "ok"})


class FieldError(ma.Schema):
    """A fault in one field."""

    pointer = ma.fields.String(required=True, metadata={"description": "JSON pointer", "example": "/args/0"})
    detail = ma.fields.String(required=True)


class Problem(ma.Schema):
    """An error, after RFC 9457."""

    type = ma.fields.String(required=True, metadata={"example": "about:blank"})
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)
    detail = ma.fields.String(required=True)
    errors = ma.fields.List(ma.fields.Nested(FieldError))
    did_you_mean = ma.fields.String(allow_none=True)
    task_id = ma.fields.String(metadata={"description": "Of a submission's 503: repeat it under this id."})
    submitted = ma.fields.Integer(metadata={"description": "Of a batch: how many tasks are in Redis for certain."})
    task_ids = ma.fields.List(
        ma.fields.String(), metadata={"description": "Of a batch: repeat it with these as the task_id of its tasks."}
    )
