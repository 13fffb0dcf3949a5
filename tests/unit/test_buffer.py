"""What a child has claimed and not begun, and the outcomes it has not recorded."""

import pytest

from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.worker.buffer import NEVER, Buffer, Ended


def delivery(task_id: str) -> Delivery:
    return Delivery(task_id, f"1.{task_id}", "add", "[]", "{}", "default", 0, 3, 0.0)


def ended(task_id: str, at: float = 1.0) -> Ended:
    return Ended(delivery(task_id), Outcome(Status.SUCCESS, "3"), 0.001, at)


def names(waiting: list[tuple[float, Delivery]]) -> list[str]:
    return [one.id for _, one in waiting]


@pytest.fixture
def buffer() -> Buffer:
    return Buffer()


def test_tasks_are_taken_in_the_order_in_which_they_were_claimed(buffer: Buffer) -> None:
    buffer.put([delivery("a"), delivery("b")], 1.0)
    buffer.put([delivery("c")], 2.0)

    assert [buffer.take(), buffer.take(), buffer.take()] == [
        (1.0, delivery("a")),
        (1.0, delivery("b")),
        (2.0, delivery("c")),
    ]
    assert buffer.take() is None


def test_only_what_was_claimed_before_the_moment_is_late_and_the_last_comes_first(buffer: Buffer) -> None:
    buffer.put([delivery("a"), delivery("b")], 1.0)
    buffer.put([delivery("c")], 2.0)

    assert names(buffer.late(2.0)) == ["b", "a"]
    assert buffer.waiting == 1
    assert names(buffer.late(NEVER)) == ["c"]


def test_what_redis_has_not_taken_back_is_the_next_again_and_in_order(buffer: Buffer) -> None:
    buffer.put([delivery("a"), delivery("b")], 1.0)
    late = buffer.late(NEVER)
    buffer.put([delivery("c")], 2.0)

    buffer.put_back(late)

    assert names(buffer.late(NEVER)) == ["c", "b", "a"]


def test_what_is_taken_out_to_be_given_back_is_known_until_redis_has_answered(buffer: Buffer) -> None:
    buffer.put([delivery("a"), delivery("b"), delivery("c")], 1.0)
    late = buffer.late(NEVER)

    assert names(buffer.leaving) == names(late) == ["c", "b", "a"]

    buffer.returned(late[:1])
    buffer.put_back(late[1:2])
    assert names(buffer.leaving) == ["a"]


def test_several_claimed_at_once_are_looked_after_and_a_single_one_is_not(buffer: Buffer) -> None:
    buffer.put([delivery("a")], 1.0)
    assert not buffer.stirred.is_set()

    buffer.put([delivery("b"), delivery("c")], 1.0)
    assert buffer.stirred.is_set()


def test_an_outcome_is_unrecorded_until_redis_has_answered_for_it(buffer: Buffer) -> None:
    one, other = ended("a"), ended("b")
    buffer.hold(one)
    buffer.hold(other)

    assert buffer.ended() == [one, other]
    assert buffer.ended() == []
    assert buffer.unrecorded == [one, other]

    buffer.recorded([one])
    assert buffer.unrecorded == [other]


def test_the_oldest_outcome_is_the_first_that_nobody_is_recording(buffer: Buffer) -> None:
    assert buffer.oldest_outcome is None

    buffer.hold(ended("a", 1.0))
    buffer.hold(ended("b", 2.0))
    assert buffer.oldest_outcome == 1.0

    buffer.ended()
    buffer.hold(ended("c", 3.0))
    assert buffer.oldest_outcome == 3.0
