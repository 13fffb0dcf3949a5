"""What requests to cancel, retry and delete by the thousand look like, and their answers."""

from collections.abc import Set
from typing import Any

import marshmallow as ma
from marshmallow import validate

from ..letters import LONGEST_AGE
from ..states import Status
from .schemas import Cancel, Seconds, Whole, YesNo, refusal

#: Ids that a request may name.
MOST_IDS = 10_000
#: Ids of dead letters that one request looks at, if it asks for no other number, and at most.
LIMIT, MOST_LIMIT = 10_000, 100_000
_SELECTING = frozenset({"name", "queue", "error", "older_than", "newer_than"})


def _ids(**more: Any) -> ma.fields.List[Any]:
    return ma.fields.List(
        ma.fields.String(error_messages=refusal("give a string")),
        validate=validate.Length(1, MOST_IDS, error=f"give 1 to {MOST_IDS} ids"),
        error_messages={**refusal("give a list"), "required": "required: a list of ids"},
        metadata={"minItems": 1, "maxItems": MOST_IDS},
        **more,
    )


def _text(description: str) -> ma.fields.String:
    return ma.fields.String(error_messages=refusal("give a string"), metadata={"description": description})


def _age(description: str) -> Seconds:
    return Seconds(0, LONGEST_AGE, metadata={"description": description})


def _limit(of_what: str) -> Whole:
    return Whole(
        1, MOST_LIMIT, metadata={"description": f"How many {of_what} this request looks at. Default: {LIMIT}."}
    )


def _cursor() -> ma.fields.String:
    return _text("The cursor of the last answer, to go on from there with the same request.")


class CancelMany(Cancel):
    """Which tasks are cancelled, by id or by tag, and how."""

    task_ids = _ids()
    tag = _text("All unfinished tasks with this tag.")
    limit = _limit("tasks with a tag, about,")
    cursor = _cursor()

    @ma.validates_schema
    def of_one_kind(self, value: dict[str, Any], **_: Any) -> None:
        if "task_ids" in value and "tag" in value:
            raise ma.ValidationError("it does not go with task_ids", "tag")
        if "task_ids" not in value and "tag" not in value:
            raise ma.ValidationError("give task_ids or tag", "task_ids")
        _refuse_beside_ids(value, {"limit", "cursor"})


class CancelledMany(ma.Schema):
    """How many tasks are cancelled by now; the others had finished before, or are unknown."""

    cancelled = ma.fields.Integer(required=True)
    left = ma.fields.Integer(metadata={"description": "Where more are to be looked at: how many have the tag still."})
    cursor = ma.fields.String(metadata={"description": "Where more are to be looked at: ask again with it."})


def _refuse_beside_ids(value: dict[str, Any], others: Set[str]) -> None:
    for other in value if "task_ids" in value else ():
        if other in others:
            raise ma.ValidationError("it does not go with task_ids", other)


class Deleting(ma.Schema):
    """Which tasks are deleted."""

    task_ids = _ids(required=True)


class RetryingDead(ma.Schema):
    """Which dead letters: by their ids, all that are alike, or all; without any of these, all."""

    are_all_meant = True  #: by a request that says nothing
    task_ids = _ids()
    name = _text("Of tasks of this name.")
    queue = _text("Of tasks of this queue.")
    error = _text("Of this class of error, with its module or without.")
    older_than = _age("Failed so many seconds ago, or earlier.")
    newer_than = _age("Failed so many seconds ago, or later.")
    all = YesNo(metadata={"description": "true: all of them; instead of a selection."})
    limit = _limit("dead letters, about,")
    cursor = _cursor()

    @ma.validates_schema
    def of_one_kind(self, value: dict[str, Any], **_: Any) -> None:
        _refuse_beside_ids(value, set(value) - {"task_ids"})
        if value.get("all") and _SELECTING & set(value):
            raise ma.ValidationError("it does not go with a selection", "all")
        if not ({"task_ids", *_SELECTING} & set(value) or value.get("all", self.are_all_meant)):
            raise ma.ValidationError("give task_ids, a selection, or all: true", "all")


class DeletingDead(RetryingDead):
    """Which dead letters: by their ids, all that are alike, or all."""

    are_all_meant = False


class Kept(ma.Schema):
    """A task that was left as it is."""

    task_id = ma.fields.String(required=True)
    status = ma.fields.Enum(
        Status, required=True, allow_none=True, metadata={"description": "null: there is no such task."}
    )


class _Done(ma.Schema):
    kept = ma.fields.List(
        ma.fields.Nested(Kept), metadata={"description": "Where there are any: ids for which it could not be done."}
    )


class Deleted(_Done):
    """How many tasks this request has deleted."""

    deleted = ma.fields.Integer(required=True)


class _Part(_Done):
    left = ma.fields.Integer(metadata={"description": "Where there are any: how many are still to be looked at."})
    cursor = ma.fields.String(
        metadata={"description": "Where some are left: ask again with it, and the same selection."}
    )


class RetriedDead(_Part):
    """How many dead letters this request has put back into their queues."""

    retried = ma.fields.Integer(required=True)


class DeletedDead(_Part):
    """How many dead letters this request has deleted."""

    deleted = ma.fields.Integer(required=True)
