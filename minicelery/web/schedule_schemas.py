"""What requests and answers about schedules look like, as ``schemas`` has it for tasks."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from ..cron import LONGEST_EVERY, SHORTEST_EVERY
from ..schedule import MOST_MISSED, Missed, Origin
from ..schedules import MOST_PREVIEWED
from ..states import Status
from .schemas import Submission, Whole, refusal

_STRING: dict[str, Any] = refusal("give a string")


def _moment(description: str) -> ma.fields.String:
    return ma.fields.String(
        required=True, allow_none=True, metadata={"format": "date-time", "description": description}
    )


class _When(ma.Schema):
    cron = ma.fields.String(
        allow_none=True,
        error_messages=_STRING,
        metadata={
            "description": "Minute, hour, day of the month, month, weekday; of six fields the first is seconds.",
            "example": "*/5 9-17 * * mon-fri",
        },
    )
    timezone = ma.fields.String(
        allow_none=True,
        error_messages=_STRING,
        metadata={"description": "Of cron. Default: UTC.", "example": "Europe/Vienna"},
    )
    every = Whole(
        SHORTEST_EVERY,
        LONGEST_EVERY,
        allow_none=True,
        metadata={"description": "Seconds, counted from the epoch; instead of cron."},
    )

    @ma.post_load
    def without_nulls(self, value: dict[str, Any], **_: Any) -> dict[str, Any]:
        """null counts as left out."""
        return {name: given for name, given in value.items() if given is not None}


class PreviewRequest(_When):
    """A rule whose next due times are asked for."""

    count = Whole(1, MOST_PREVIEWED, load_default=5)


class Previewed(ma.Schema):
    """A rule in words, and its next due times in its own zone."""

    words = ma.fields.String(required=True, metadata={"example": "At 02:00 every day, Europe/Vienna"})
    next = ma.fields.List(ma.fields.String(metadata={"format": "date-time"}), required=True)


class ScheduleChange(_When):
    """What is to change of a schedule; the rest stays as it is."""

    task = ma.fields.Nested(
        Submission,
        error_messages={"null": "give an object"},
        metadata={"description": "As of POST /tasks, without task_id, countdown, eta."},
    )
    missed = ma.fields.String(
        allow_none=True,
        validate=validate.OneOf([*Missed], error="use skip, once or all"),
        error_messages=_STRING,
        metadata={"description": "What becomes of runs that nothing could fire. Default: once."},
    )
    most = Whole(
        1, MOST_MISSED, allow_none=True, metadata={"description": f"That `all` makes up for. Default: {MOST_MISSED}."}
    )


class NewSchedule(ScheduleChange):
    """A schedule to be added."""

    name = ma.fields.String(required=True, error_messages={"required": "required: a name", **_STRING})
    task = ma.fields.Nested(
        Submission,
        required=True,
        error_messages={"required": "required: what is to be sent", "null": "give an object"},
        metadata={"description": "As of POST /tasks, without task_id, countdown, eta."},
    )


class ScheduledCall(ma.Schema):
    """What a schedule sends."""

    name = ma.fields.String(required=True)
    args = ma.fields.List(ma.fields.Raw(allow_none=True), required=True)
    kwargs = ma.fields.Dict(ma.fields.String(), ma.fields.Raw(allow_none=True), required=True)
    queue = ma.fields.String(required=True)
    max_retries = ma.fields.Integer(required=True)
    priority = ma.fields.Integer()
    expires = ma.fields.Float(metadata={"description": "Seconds after it was sent."})
    tags = ma.fields.List(ma.fields.String())
    fair_key = ma.fields.String()
    time_limit = ma.fields.Float()
    soft_time_limit = ma.fields.Float()
    ignore_result = ma.fields.Boolean()
    unique_for = ma.fields.Float()
    unique_until = ma.fields.String()
    throttle = ma.fields.Float()


class LastRun(ma.Schema):
    """The task that a schedule has sent last."""

    task_id = ma.fields.String(required=True)
    due = _moment("The due time that it is for; null for one that somebody wanted run.")
    at = _moment("When it was sent.")
    status = ma.fields.Enum(
        Status,
        required=True,
        allow_none=True,
        metadata={"description": "Null where it was deleted before anybody noted how it ended."},
    )
    duplicate = ma.fields.Boolean(
        required=True,
        metadata={"description": "true: it is unique, and an earlier one had not ended; this is that task."},
    )


class ScheduleState(ma.Schema):
    """A schedule as it is now."""

    name = ma.fields.String(required=True)
    task = ma.fields.Nested(ScheduledCall, required=True)
    cron = ma.fields.String(required=True, allow_none=True)
    timezone = ma.fields.String(required=True, allow_none=True)
    every = ma.fields.Integer(required=True, allow_none=True)
    words = ma.fields.String(required=True)
    missed = ma.fields.Enum(Missed, by_value=True, required=True)
    most = ma.fields.Integer(required=True)
    origin = ma.fields.Enum(Origin, by_value=True, required=True)
    paused = ma.fields.Boolean(required=True)
    declared = ma.fields.Boolean(
        required=True, metadata={"description": "Of one from code: whether a live worker has it. Else it is not fired."}
    )
    next = _moment("The next due time, in its own zone; null while it is not fired.")
    created_at = _moment("UTC.")
    updated_at = _moment("UTC.")
    fired = ma.fields.Integer(required=True, metadata={"description": "Tasks that it has sent."})
    last = ma.fields.Nested(LastRun, required=True, allow_none=True)


class ScheduleList(ma.Schema):
    """All schedules, by their names."""

    count = ma.fields.Integer(required=True)
    schedules = ma.fields.List(ma.fields.Nested(ScheduleState), required=True)
