"""Strict JSON: unchanged, or refused with the place."""

import json
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicelery import codec
from minicelery.errors import InvalidPayload

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


@given(values)
def test_any_json_value_comes_back_unchanged(value: object) -> None:
    back = codec.decode(codec.encode(value))

    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        (math.nan, "", "not JSON"),
        ([1, math.inf], "/1", "not JSON"),
        ({"a": [{"b/c~": math.nan}]}, "/a/0/b~1c~0", "not JSON"),
        ({1: 2}, "", "not a string"),
        ([{None: 2}], "/0", "not a string"),
        ({1, 2}, "", "of type set is not JSON"),
        ([b"x"], "/0", "bytes"),
        ("a\ud800", "", "surrogate"),
        ({"\udfff": 1}, "", "surrogate"),
        ("\x00", "", "NUL"),
        (2**15_000, "", "digits"),
        ([10**4000], "/0", "digits"),
        ([1, -(10**4000)], "/1", "digits"),
    ],
    ids=map(str, range(13)),
)
def test_a_value_that_json_would_change_is_refused_with_its_place(value: object, pointer: str, words: str) -> None:
    with pytest.raises(InvalidPayload, match=words) as caught:
        codec.encode(value, "")

    assert caught.value.pointer == pointer


@pytest.mark.parametrize("innermost", [[], {}, [1], {"a": 1}])
def test_nesting_is_bounded(innermost: object) -> None:
    value = innermost
    for _ in range(codec.MAX_DEPTH - 1):
        value = [value]
    codec.encode(value)

    with pytest.raises(InvalidPayload, match="deeper than 64"):
        codec.encode([value])


def test_depths_that_python_just_bears_are_refused_as_others_are() -> None:
    value: object = {}
    for _ in range(400):
        value = {"a": value}

    with pytest.raises(InvalidPayload, match="deeper than 64"):
        codec.encode(value)


def test_an_integer_of_4000_digits_is_the_largest_that_passes() -> None:
    assert codec.decode(codec.encode([10**4000 - 1, {"a": -(10**4000) + 1}])) == [10**4000 - 1, {"a": -(10**4000) + 1}]
    codec.encode("1" * 5000)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(InvalidPayload, match="deeper"):
        codec.encode(loop)


def test_a_backslash_u0000_written_out_is_no_nul() -> None:
    assert codec.decode(codec.encode("\\u0000")) == "\\u0000"


@pytest.mark.parametrize("value", [{"a": [1, {2: 3}]}, [({"b": {None: 1}},)], {"c": {"d": {True: []}}}])
def test_a_key_that_is_no_text_is_found_however_deep_it_lies(value: object) -> None:
    with pytest.raises(InvalidPayload, match="string keys only"):
        codec.encode(value)


def test_the_size_is_counted_in_bytes() -> None:
    codec.encode("ü" * 10, max_bytes=22)

    with pytest.raises(InvalidPayload, match="22 bytes of JSON, above the limit of 21"):
        codec.encode("ü" * 10, max_bytes=21)


def test_tuples_become_lists() -> None:
    assert codec.decode(codec.encode((1, (2,)))) == [1, [2]]


@given(values)
def test_json_from_outside_is_read_as_python_reads_it(value: object) -> None:
    assert codec.decode_foreign(json.dumps(value).encode()) == value


def test_looking_for_a_fault_takes_little_memory_whatever_the_shape() -> None:
    value = {"k" * 10_000: [0] * 50_000}
    tracemalloc.start()

    codec.encode(value)

    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 5_000_000


def test_what_another_program_has_spaced_differently_is_read_all_the_same() -> None:
    assert codec.decode(' [1, {"a": 2}]\n') == [1, {"a": 2}]
    assert codec.decode(b"[1]") == [1]


@pytest.mark.parametrize("text", ["", " ", "[1] x", "[1]]", "{", "nul"])
def test_what_is_no_json_is_refused_by_decode(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1 column"):
        codec.decode(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [((), "[]"), ([], "[]"), ({}, "{}"), (None, "null"), (0, "0"), (False, "false"), ("", '""'), (0.0, "0.0")],
)
def test_what_is_nothing_keeps_its_type(value: object, text: str) -> None:
    assert codec.encode(value) == text
