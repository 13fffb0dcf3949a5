"""Strict JSON: a value passes unchanged, or is refused with the place and the reason."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from .errors import InvalidPayload

MAX_DEPTH = 64
MAX_BYTES = 1_048_576

_MOST_DIGITS = 4_000
_TOO_LARGE = 10**_MOST_DIGITS  # Python itself refuses to read 4,301 digits, unless a process has it otherwise
# Looked for from the beginning of each run of digits only, so that the time grows with the text and no faster.
_MANY_DIGITS = re.compile(rf"(?<![0-9])[0-9]{{{_MOST_DIGITS + 1}}}")
_MOST_OF_A_STEP = 100
_END = object()

#: The most frequent values: no arguments, no keywords, no result.
_NOTHING = {tuple: "[]", list: "[]", dict: "{}", type(None): "null"}
_decoder = json.JSONDecoder()
# What contains itself ends in a RecursionError without the check for it, and the fault is found by its depth.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def encode(value: Any, pointer: str = "", max_bytes: int = MAX_BYTES) -> str:
    """The JSON text of ``value``; tuples become lists.

    Raises ``InvalidPayload`` for all that JSON, Redis or PostgreSQL would change or refuse: NaN and
    infinities, keys that are not strings, lone surrogates, NUL characters, nesting deeper than
    ``MAX_DEPTH``, integers of more than 4,000 digits, other types, and texts above ``max_bytes`` of UTF-8.
    """
    if not value and type(value) in _NOTHING:
        return _NOTHING[type(value)]
    text, size_bytes, reason = "", 0, ""
    try:
        text = _encoder.encode(value)
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError) as error:
        reason = str(error)
    if reason or not text:
        _find_fault(value, pointer)  # outside of the except block: json's own traceback helps nobody
        raise InvalidPayload(f"can't be written as JSON: {reason}", pointer)
    if size_bytes > max_bytes:
        raise InvalidPayload(
            f"{size_bytes:,} bytes of JSON, above the limit of {max_bytes:,}; store it elsewhere and pass a reference",
            pointer,
        )
    if not _is_plain(value, text):
        _find_fault(value, pointer)
    return text


def _is_plain(value: Any, text: str) -> bool:
    """Whether nothing can be wrong with a value that was written as ``text``, as far as that is told cheaply."""
    if text == "{}":
        return True
    if text.count("[") + text.count("{") > MAX_DEPTH or "\\u0000" in text:
        return False
    if len(text) > _MOST_DIGITS and _MANY_DIGITS.search(text):
        return False
    return "{" not in text or _has_text_keys(value)


def _has_text_keys(node: Any) -> bool:
    if isinstance(node, dict):
        return all(isinstance(name, str) for name in node) and all(map(_has_text_keys, node.values()))
    return not isinstance(node, (list, tuple)) or all(map(_has_text_keys, node))


def write(value: Any) -> str:
    """The JSON text of what is made of values that ``encode`` has let through before. Checks nothing again."""
    return _encoder.encode(value)


def canonical(value: Any) -> str:
    """One text for what is the same JSON, in whatever order its names stand. Checks nothing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def decode(text: str | bytes) -> Any:
    """The value of a JSON text that ``encode`` has written."""
    try:
        value, end = _decoder.raw_decode(text)  # type: ignore[arg-type]
        if end == len(text):
            return value
    except (TypeError, json.JSONDecodeError):
        pass  # bytes, or spaces before it: what only others write may take longer
    return json.loads(text)


def decode_foreign(body: bytes) -> Any:
    """The value of a JSON text from outside: strict UTF-8, no NaN, no key twice in one object."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise InvalidPayload(f"the body is not UTF-8 (byte {error.start}); send JSON in UTF-8") from error
    except RecursionError as error:
        raise InvalidPayload(f"the JSON is nested too deeply; at most {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise InvalidPayload(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:  # Python's limit for integers
        raise InvalidPayload("an integer of more than 4,000 digits; send it as a string") from error


def _refuse_constant(word: str) -> NoReturn:
    raise InvalidPayload(f"{word} is not JSON; use null or a string")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidPayload(f"the key {twice!r} stands twice in one object; keep one")
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node is. The pointer is spelled only for the one that is at fault: spelling all would take memory
    in the product of a key's length and the number of values below it."""

    parent: "_Place | None"
    step: object

    def pointer(self) -> str:
        steps: list[str] = []
        place: _Place | None = self
        while place is not None and place.parent is not None:
            steps.append(str(place.step).replace("~", "~0").replace("/", "~1")[:_MOST_OF_A_STEP])
            place = place.parent
        return "".join(f"/{step}" for step in reversed(steps))


def _find_fault(value: Any, pointer: str) -> None:
    """Raise ``InvalidPayload`` for a place in ``value`` that JSON can't carry unchanged."""
    for node, place, depth in _walk(value):
        is_too_deep = depth >= MAX_DEPTH and isinstance(node, (dict, list, tuple))
        fault = f"nested deeper than {MAX_DEPTH} levels" if is_too_deep else _fault_of(node)
        if fault:
            raise InvalidPayload(fault, pointer + place.pointer())


def _walk(value: Any) -> Iterator[tuple[Any, _Place, int]]:
    """Every node in order, with its place and depth. Not recursive, one iterator a level; it is left at the fault."""
    root = _Place(None, "")
    yield value, root, 0
    open_nodes = [(root, _members(value))]
    while open_nodes:
        parent, members = open_nodes[-1]
        step, node = next(members, (None, _END))
        if node is _END:
            open_nodes.pop()
            continue
        place = _Place(parent, step)
        yield node, place, len(open_nodes)
        if isinstance(node, (dict, list, tuple)):
            open_nodes.append((place, _members(node)))


def _members(node: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(node, dict):
        return iter(node.items())
    return iter(enumerate(node)) if isinstance(node, (list, tuple)) else iter(())


def _fault_of(node: Any) -> str | None:
    if node is None or isinstance(node, (bool, list, tuple)):
        return None
    if isinstance(node, str):
        return _fault_of_text(node)
    if isinstance(node, dict):
        for name in node:
            if not isinstance(name, str):
                return f"the key {name!r:.80} is not a string; JSON has string keys only"
        return next((fault for fault in map(_fault_of_text, node) if fault), None)
    if isinstance(node, float):
        return None if math.isfinite(node) else f"{node} is not a finite number, so not JSON; use null or a string"
    if isinstance(node, int):
        return None if -_TOO_LARGE < node < _TOO_LARGE else "an integer of more than 4,000 digits; pass it as a string"
    return f"a value of type {type(node).__name__} is not JSON; pass a string, number, list or dict"


def _fault_of_text(text: str) -> str | None:
    if "\x00" in text:
        return "a NUL character can't be stored everywhere; leave it out"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate is not valid Unicode; leave it out"
    return None
