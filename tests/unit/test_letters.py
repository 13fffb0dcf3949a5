"""Selections of dead letters, and the places where walks stand."""

from typing import Any

import pytest

from minicelery.errors import InvalidInput
from minicelery.letters import Selection, Walk, walk_from


@pytest.mark.parametrize(
    ("selected", "pointer"),
    [
        ({"name": "a b"}, "/name"),
        ({"queue": ""}, "/queue"),
        ({"queue": "dead_letter"}, "/queue"),
        ({"error": ""}, "/error"),
        ({"error": "E" * 201}, "/error"),
        ({"error": 3}, "/error"),
        ({"older_than": -1}, "/older_than"),
        ({"older_than": "1h"}, "/older_than"),
        ({"older_than": True}, "/older_than"),
        ({"newer_than": float("nan")}, "/newer_than"),
        ({"newer_than": 4e9}, "/newer_than"),
        ({"older_than": 60, "newer_than": 30}, "/newer_than"),
    ],
)
def test_a_selection_that_makes_no_sense_is_named(selected: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Selection(**selected)

    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "walk",
    [
        Walk(Selection(), 0),
        Walk(Selection(name="add"), 7, 3, "t:1"),
        Walk(Selection(error="E"), 1_000_000, 12, "x\udcff ~", since=1.5, till=1_800_000_000.123),
    ],
)
def test_a_walk_goes_on_where_its_cursor_says(walk: Walk) -> None:
    assert walk_from(walk.cursor, walk.selection) == walk


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "1", "1~2~~~xy", "-1~0~~~", "1~-1~~~", "1~2~nan~~", "1~2~~inf~", "1~2~1~~", "a~0~~~", "1~2~3~4~5~6"),
        *(f"{2**40}~0~~~", f"0~{10**400}~~~"),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        walk_from(cursor, Selection())
