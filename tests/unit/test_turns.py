"""In which order a worker looks into its queues."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from minicelery.errors import InvalidInput
from minicelery.turns import Turns, read


@pytest.fixture
def chance() -> Callable[[], float]:
    return random.Random(7).random


def test_without_weights_the_order_is_the_one_that_is_given(chance: Callable[[], float]) -> None:
    turns = read(["high", "default", "low"])

    assert turns == Turns(("high", "default", "low"))
    assert {turns.order(chance) for _ in range(100)} == {("high", "default", "low")}


def test_each_queue_comes_first_as_often_as_its_weight_says(chance: Callable[[], float]) -> None:
    turns = read(["high:6", "default:3", "low:1"])

    firsts = Counter(turns.order(chance)[0] for _ in range(10_000))

    assert turns.queues == ("high", "default", "low")
    assert [firsts[name] for name in turns.queues] == pytest.approx([6000, 3000, 1000], rel=0.1)


def test_the_rest_of_the_order_is_drawn_by_weight_too(chance: Callable[[], float]) -> None:
    turns = read(["high:6", "default:3", "low:1"])

    behind_high = Counter(order[1] for order in (turns.order(chance) for _ in range(10_000)) if order[0] == "high")

    assert behind_high["default"] / behind_high["low"] == pytest.approx(3, rel=0.15)


def test_every_order_has_every_queue_once(chance: Callable[[], float]) -> None:
    turns = read(["a:1000", "b:1", "c:1"])

    assert {frozenset(turns.order(chance)) for _ in range(100)} == {frozenset("abc")}


def test_the_smallest_share_does_not_starve(chance: Callable[[], float]) -> None:
    turns = read(["a:99", "b:1"])

    assert any(turns.order(chance)[0] == "b" for _ in range(1000))


@pytest.mark.parametrize("number", [0.0, 1.0 - 2**-53])
def test_any_number_of_chance_will_do(number: float) -> None:
    assert set(read(["a:1000", "b:1"]).order(lambda: number)) == {"a", "b"}


def test_a_name_that_ends_in_digits_is_given_with_its_weight() -> None:
    assert read(["tenant:7:1", "mail:2"]) == Turns(("tenant:7", "mail"), (1, 2))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["high:6", "default"], "'default' has none; give each queue a weight, such as default:1, or none"),
        (["default", "tenant:7"], "'tenant' has the weight 7 and 'default' has none"),
        (["high:0"], "use 1 to 1000"),
        (["high:1001"], "use 1 to 1000"),
        (["high:" + "9" * 5000], "use 1 to 1000"),
        (["high:1", "high:2"], "'high' stands twice"),
        ([":3"], "not a valid name"),
        (["a b:3"], "not a valid name"),
        (["a b"], "not a valid name"),
        (["dead_letter:3"], "reserved"),
        (["dead_letter"], "reserved"),
    ],
)
def test_a_list_that_can_not_be_served_is_refused_with_the_cure(entries: list[str], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(entries)

    assert words in caught.value.detail
    assert len(caught.value.detail) < 500
