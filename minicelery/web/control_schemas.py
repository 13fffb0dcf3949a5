"""What requests about pauses and limits look like, and about why a task waits; and their answers."""

import marshmallow as ma

from ..options import MOST_SLOTS
from ..queue_settings import LONGEST_AGEING, SHORTEST_AGEING
from ..states import Status
from .schemas import Seconds, Whole, refusal

#: Tasks of a queue that one request purges or moves, at most.
MOST_READY = 100_000


def _words(description: str) -> ma.fields.String:
    return ma.fields.String(
        load_default="", error_messages=refusal("give a string"), metadata={"description": description}
    )


def _limit() -> Whole:
    return Whole(
        1, MOST_READY, load_default=MOST_READY, metadata={"description": "How many tasks this request takes, about."}
    )


def _left() -> ma.fields.Integer:
    return ma.fields.Integer(
        metadata={"description": "Where the limit has ended it: how many are ready there still, new ones included."}
    )


class Pausing(ma.Schema):
    """Who pauses something, and why."""

    by = _words("Who has done it.")
    reason = _words("Why.")


class Paused(ma.Schema):
    """A pause."""

    since = ma.fields.String(required=True, metadata={"format": "date-time"})
    by = ma.fields.String(required=True)
    reason = ma.fields.String(required=True)


class ControlState(ma.Schema):
    """What is set for a queue, or for the tasks of one name."""

    kind = ma.fields.String(required=True, metadata={"enum": ["queue", "task"]})
    name = ma.fields.String(required=True)
    rate_limit = ma.fields.String(required=True, allow_none=True, metadata={"example": "100/m"})
    concurrency = ma.fields.Integer(required=True, allow_none=True)
    ageing = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "Of a queue: seconds.", "example": 60.0}
    )
    from_code = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "What of it the code says, as nothing was set at run time.", "example": ["ageing"]},
    )
    paused = ma.fields.Nested(Paused, required=True, allow_none=True)


class Controls(ma.Schema):
    """All that is set, and what the code says of queues."""

    controls = ma.fields.List(ma.fields.Nested(ControlState), required=True)


class QueueLimits(ma.Schema):
    """How many tasks of a queue may run at the same time, and how they age; what is left out stays as it is."""

    concurrency = Whole(1, MOST_SLOTS)
    ageing = Seconds(
        SHORTEST_AGEING,
        LONGEST_AGEING,
        metadata={
            "description": "Seconds of waiting that make up for the whole way from priority 0 to 9.",
            "example": 60.0,
        },
    )


class TaskLimits(ma.Schema):
    """Limits of the tasks of one name; what is left out stays as it is."""

    rate_limit = ma.fields.String(error_messages=refusal("give a rate, such as '100/m'"), metadata={"example": "100/m"})
    concurrency = Whole(1, MOST_SLOTS)


class Purging(ma.Schema):
    """The confirmation that a queue is to be purged."""

    confirm = ma.fields.String(
        required=True,
        error_messages={"required": "give the name of the queue once more", **refusal("give the name of the queue")},
        metadata={"description": "The name of the queue once more."},
    )
    limit = _limit()


class Purged(ma.Schema):
    """How many tasks were cancelled."""

    purged = ma.fields.Integer(required=True)
    left = _left()


class Moving(ma.Schema):
    """Where the tasks of a queue go."""

    to = ma.fields.String(
        required=True,
        error_messages={"required": "required: the queue that they go to", **refusal("give the name of a queue")},
    )
    limit = _limit()


class Moved(ma.Schema):
    """How many tasks were moved."""

    moved = ma.fields.Integer(required=True)
    left = _left()


class Why(ma.Schema):
    """Why a task has not begun yet."""

    task_id = ma.fields.String(required=True)
    status = ma.fields.Enum(Status, required=True)
    position = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Its place among those that wait for the same, from 1."},
    )
    reasons = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "Sentences for people, the nearest reason first."}
    )
