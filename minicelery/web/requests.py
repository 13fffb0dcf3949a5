"""Reads requests: the body, the query, and the application they are for."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import marshmallow as ma
from flask import Request, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from .. import codec
from ..app import EXTENSION, MiniCelery
from ..errors import InvalidInput, InvalidPayload, nearest
from . import schemas

# Making a schema takes longer than all else that is done for a request.
_SUBMISSION, _BATCH = schemas.Submission(), schemas.Batch()

MOST_FAULTS = 20
MOST_SHOWN = 100  #: characters of a name that is not ours


class BadJson(InvalidPayload):
    """The body is not JSON at all."""


class InvalidFields(InvalidInput):
    """Some fields of a request are wrong; ``faults`` has a pointer and a detail for each."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer}: {detail}" if pointer else detail for pointer, detail in faults))
        self.faults = faults


def celery() -> MiniCelery:
    """The MiniCelery object of the Flask app that serves this request."""
    try:
        return cast(MiniCelery, current_app.extensions[EXTENSION])
    except KeyError:
        raise RuntimeError("this Flask app has no Mini-Celery; call MiniCelery(...).init_app(app) first") from None


def submission_of(value: Any) -> dict[str, Any]:
    """A task as a JSON value describes it, or ``InvalidFields``."""
    if not isinstance(value, dict):
        raise InvalidFields([("", f"this is a JSON {_kind(value)}; send an object")])
    return value if schemas.is_plain(value) else checked(_SUBMISSION, value)


def batch_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks that a JSON object describes, or ``InvalidFields``."""
    tasks: list[dict[str, Any]] = checked(_BATCH, value)["tasks"]
    return tasks


def this_request() -> Request:
    """The request itself: each look through Flask's proxy takes half a microsecond."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def load_object(asked: Request) -> dict[str, Any]:
    """The JSON object in the body. ``BadJson``, ``InvalidFields``, or an HTTP error of 413 or 415."""
    if asked.mimetype != "application/json":
        raise UnsupportedMediaType("send JSON, with the header Content-Type: application/json")
    try:
        value = codec.decode_foreign(_read_body(asked, celery().config.max_body_bytes))
    except InvalidPayload as error:
        raise BadJson(error.detail) from error
    if not isinstance(value, dict):
        raise InvalidFields([("", f"the body is a JSON {_kind(value)}; send an object")])
    return value


def _read_body(asked: Request, most: int) -> bytes:
    """The whole body. Its declared length is not trusted, and a body without one is read up to the limit."""
    asked.max_content_length = most + 1
    try:
        body = asked.get_data(cache=False)
    except RequestEntityTooLarge:
        body = b" " * (most + 1)
    except Exception as error:  # whatever the web server raises for a body that breaks off, or chunks that are none
        raise BadJson("the body could not be read to its end; send it anew") from error
    if len(body) > most:
        raise RequestEntityTooLarge(f"the body is larger than {most:,} bytes, see MINICELERY_MAX_BODY_BYTES")
    if len(body) < (asked.content_length or 0):
        raise BadJson(f"the body ended after {len(body)} of {asked.content_length} bytes; send it anew")
    return body


def load_body(schema: ma.Schema) -> dict[str, Any]:
    """The JSON object in the body, checked; a request without a body counts as one with an empty object."""
    is_empty = not request.content_length and not request.headers.get("Transfer-Encoding")
    return checked(schema, {} if is_empty else load_object(this_request()))


def load_query(schema: ma.Schema) -> dict[str, Any]:
    """The query string, checked."""
    return checked(schema, request.args.to_dict())


def checked(schema: ma.Schema, value: dict[str, Any]) -> dict[str, Any]:
    """``value`` as the schema loads it, or ``InvalidFields``."""
    try:
        return cast(dict[str, Any], schema.load(value))
    except ma.ValidationError as error:
        raise InvalidFields(_faults(error.messages_dict, schema)) from error


def _faults(messages: dict[str, Any], schema: ma.Schema) -> list[tuple[str, str]]:
    """marshmallow's nested messages as (pointer, detail) pairs, the first of them if there are many."""
    found = _walk(messages, "")
    shown = [(pointer, _sentence(message, pointer, schema)) for pointer, message in islice(found, MOST_FAULTS)]
    more = sum(1 for _ in found)
    return [*shown, ("", f"and {more} more")] if more else shown


def _walk(messages: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, dict):
        yield from ((pointer, str(message)) for message in messages)
        return
    for name, inner in messages.items():
        step = f"/{str(name)[:MOST_SHOWN].replace('~', '~0').replace('/', '~1')}"
        yield from _walk(inner, pointer if name == "_schema" else pointer + step)


def _sentence(message: str, pointer: str, schema: ma.Schema) -> str:
    if message == "Unknown field.":
        outer, _, name = pointer.rpartition("/")
        known = list((_inner(schema, outer) or schema).fields)
        near = nearest(name, known)
        return "unknown field" + (f"; did you mean '{near}'?" if near else f"; known are {', '.join(known)}")
    return message


def _inner(schema: ma.Schema, pointer: str) -> ma.Schema | None:
    """The schema of the object, or of the members of the list, that a pointer leads into."""
    field = schema.fields.get(pointer.split("/")[1]) if pointer else None
    members = getattr(field, "inner", field)
    return members.schema if isinstance(members, ma.fields.Nested) else None


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
