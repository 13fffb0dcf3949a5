"""Which calls are the same: options, keys, and what a handle says."""

from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.errors import InvalidInput
from minicelery.states import Status
from minicelery.testing import eager


def declare(app: MiniCelery, **options: Any) -> Any:
    @app.task(**options)
    def add(x: Any, y: int = 0, **more: Any) -> Any:
        return x

    return add


def test_the_second_call_of_a_unique_task_gives_the_first_ones_handle_and_says_so(fake_app: MiniCelery) -> None:
    add = declare(fake_app, unique_for=60)

    first, second = add.delay(1), add.delay(1)

    assert (second.id, first.duplicate, second.duplicate) == (first.id, False, True)
    assert not fake_app.result(first.id).duplicate


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        (((1, 2), {}), ((1,), {"y": 2}), True),
        (((1,), {"a": 1, "b": 2}), ((1,), {"b": 2, "a": 1}), True),
        (((({"a": 1, "b": 2},)), {}), ((({"b": 2, "a": 1},)), {}), True),
        ((((1, 2),), {}), (([1, 2],), {}), True),
        (((1,), {}), ((2,), {}), False),
        (((1,), {}), (("1",), {}), False),
        (((12,), {}), ((1, 2), {}), False),
        (((1,), {"a": None}), ((1,), {}), False),
    ],
)
def test_calls_with_the_same_arguments_are_the_same(
    fake_app: MiniCelery, one: tuple[Any, Any], other: tuple[Any, Any], are_same: bool
) -> None:
    add = declare(fake_app, unique_for=60)

    add.apply_async(*one)

    assert add.apply_async(*other).duplicate is are_same


def test_a_key_function_says_which_calls_are_the_same(fake_app: MiniCelery) -> None:
    add = declare(fake_app, unique_for=60, unique_key=lambda x, **more: x["user"])

    assert [add.delay({"user": user, "n": n}).duplicate for n, user in enumerate(["a", "b", "a"])] == [
        False,
        False,
        True,
    ]


def test_a_key_of_the_call_wins_over_the_tasks_function(fake_app: MiniCelery) -> None:
    add = declare(fake_app, unique_for=60, unique_key=lambda x: "all")

    calls = [add.apply_async((1,), unique_key=key) for key in ("a", "b", "a", None)]

    assert [call.duplicate for call in calls] == [False, False, True, False]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: 5, "what the key function gave is 5; a key is a string of 1 to 1000 characters"),
        (lambda x: "", "is 0 characters"),
        (lambda x: "k" * 1001, "is 1001 characters"),
        (lambda x: x["user"], "the key function failed: TypeError"),
        (lambda: "k", "the key function failed: TypeError"),
    ],
)
def test_a_key_function_that_gives_no_key_is_told(fake_app: MiniCelery, function: Any, words: str) -> None:
    add = declare(fake_app, unique_for=60, unique_key=function)

    with pytest.raises(InvalidInput, match=words) as caught:
        add.delay(1)

    assert caught.value.pointer == "/unique_key"
    assert list(fake_app.inspector.task_ids()) == []


@pytest.mark.parametrize(
    ("of_task", "of_call", "pointer"),
    [
        ({"unique_for": 0}, None, "/unique_for"),
        ({"throttle": -1}, None, "/throttle"),
        ({"debounce": float("nan")}, None, "/debounce"),
        ({"debounce": True}, None, "/debounce"),
        ({"unique_for": "60"}, None, "/unique_for"),
        ({"unique_for": 1e9}, None, "/unique_for"),
        ({"unique_for": 1, "throttle": 1}, None, "/throttle"),
        ({"throttle": 1, "debounce": 1}, None, "/debounce"),
        ({"unique_until": "start"}, None, "/unique_until"),
        ({"unique_for": 1, "unique_until": "end"}, None, "/unique_until"),
        ({"unique_key": lambda x: "k"}, None, "/unique_key"),
        ({"unique_for": 1, "unique_key": "k"}, None, "/unique_key"),
        ({"throttle": 1, "unique_until": "start"}, None, "/unique_until"),
        ({"debounce": 5, "debounce_max": 4}, None, "/debounce_max"),
        ({"unique_for": 5, "debounce_max": 9}, None, "/debounce_max"),
        ({}, {"unique_key": "k"}, "/unique_key"),
        ({}, {"unique_until": "start"}, "/unique_until"),
        ({}, {"unique_for": 1, "unique_key": ""}, "/unique_key"),
        ({}, {"unique_for": 1, "unique_key": b"k"}, "/unique_key"),
        ({}, {"unique_for": 1, "debounce": 1}, "/debounce"),
        ({"debounce": 5}, {"debounce_max": 4}, "/debounce_max"),
        ({"debounce": 5}, {"countdown": 4}, "/countdown"),
        ({"debounce": 5}, {"expires": 4}, "/expires"),
        ({"throttle": 5}, {"unique_until": "start"}, "/unique_until"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(
    fake_app: MiniCelery, of_task: Any, of_call: Any, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        declare(fake_app, **of_task).apply_async((1,), **(of_call or {}))

    assert caught.value.pointer == pointer


def test_a_call_that_names_another_kind_leaves_that_of_the_task(fake_app: MiniCelery) -> None:
    add = declare(fake_app, unique_for=60)

    assert add.apply_async((1,), debounce=5).status is Status.SCHEDULED
    assert add.apply_async((1,), throttle=5).duplicate is False
    assert add.delay(1).duplicate is False
    assert add.delay(1).duplicate is True


def test_a_call_may_say_more_about_the_kind_of_its_task(fake_app: MiniCelery) -> None:
    add = declare(fake_app, unique_for=60, unique_until="start", unique_key=lambda x: "k")

    assert '"once":"start"' in add.message((1,), {}, {"unique_for": 5}).more
    assert '"hold":"5000"' in add.message((1,), {}, {"unique_for": 5}).more
    assert '"once":"finish"' in add.message((1,), {}, {"unique_until": "finish"}).more


def test_a_debounced_task_is_due_after_ten_quiet_times_unless_said_otherwise(fake_app: MiniCelery) -> None:
    add = declare(fake_app, debounce=2, debounce_max=3)

    assert '"longest":"3000"' in add.message((1,), {}, {}).more
    assert '"longest":"40000"' in add.message((1,), {}, {"debounce": 4}).more
    assert '"longest":"9000"' in add.message((1,), {}, {"debounce_max": 9}).more


def test_duplicates_are_told_in_many_calls_too(fake_app: MiniCelery) -> None:
    add = declare(fake_app, unique_for=60)

    results = fake_app.submit_many(add.s(number % 250) for number in range(450))

    assert [result.duplicate for result in results] == [False] * 250 + [True] * 200
    assert [result.id for result in results[250:]] == [result.id for result in results[:200]]


def test_in_eager_mode_every_call_is_run(fake_app: MiniCelery) -> None:
    add = declare(fake_app, throttle=60)

    with eager(fake_app):
        assert [add.delay(1).get(), add.delay(1).get()] == [1, 1]


def test_a_call_without_all_that_has_nothing_more(fake_app: MiniCelery) -> None:
    assert declare(fake_app).message((1,), {}, {"queue": "mail"}).more == ""
