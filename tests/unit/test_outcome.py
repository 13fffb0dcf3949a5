"""The rules of retries and failures."""

from decimal import Decimal
from fractions import Fraction

import pytest

from minicelery import codec
from minicelery.errors import InvalidInput
from minicelery.outcome import Retry, RetryPolicy, describe_error, judge
from minicelery.states import Status


def test_back_off_is_exponential_up_to_the_cap() -> None:
    policy = RetryPolicy(base=1, factor=2, cap=10, jitter=False)

    assert [policy.delay(count, 0.5) for count in range(6)] == [1, 2, 4, 8, 10, 10]
    assert policy.delay(100_000, 0.5) == 10


def test_full_jitter_takes_a_random_part_of_the_back_off() -> None:
    policy = RetryPolicy(base=1, factor=2, cap=10)

    assert [policy.delay(3, random) for random in (0, 0.25, 0.999)] == [0, 2, pytest.approx(7.992)]


def test_a_base_of_zero_retries_at_once() -> None:
    assert RetryPolicy(base=0).delay(5, 0.9) == 0


def _judged(error: BaseException, retry_count: int = 0, **policy: object) -> tuple[Status, float]:
    outcome = judge(error, retry_count, 3, RetryPolicy(jitter=False, **policy), 0.5)
    return outcome.status, outcome.delay


def test_an_exception_is_retried_until_the_retries_are_used_up() -> None:
    judged = [_judged(ValueError(), count) for count in range(4)]

    assert judged == [(Status.RETRYING, 1), (Status.RETRYING, 2), (Status.RETRYING, 4), (Status.FAILED, 0)]


def test_only_the_chosen_exceptions_are_retried() -> None:
    chosen = {"retry_for": (OSError,), "no_retry_for": (FileNotFoundError,)}

    assert _judged(ConnectionError(), **chosen)[0] is Status.RETRYING
    assert _judged(FileNotFoundError(), **chosen)[0] is Status.FAILED
    assert _judged(ValueError(), **chosen)[0] is Status.FAILED


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_fails_for_good(error: BaseException) -> None:
    assert _judged(error)[0] is Status.FAILED


def test_an_asked_retry_waits_as_asked_and_ignores_the_chosen_exceptions() -> None:
    assert _judged(Retry(7), retry_for=()) == (Status.RETRYING, 7)
    assert _judged(Retry(0), retry_for=()) == (Status.RETRYING, 0)
    assert _judged(Retry(), 1, retry_for=()) == (Status.RETRYING, 2)
    assert _judged(Retry(7), 3)[0] is Status.FAILED


def test_an_error_is_described_by_type_message_and_traceback() -> None:
    try:
        raise ValueError("wrong")
    except ValueError as error:
        described = describe_error(error)

    assert (described["type"], described["message"]) == ("ValueError", "wrong")
    assert described["traceback"].splitlines()[0] == "Traceback (most recent call last):"
    assert 'raise ValueError("wrong")' in described["traceback"]


def test_an_asked_retry_is_described_by_the_error_that_led_to_it() -> None:
    asked = Retry(1)
    asked.__context__ = ValueError("wrong")  # as in an except block

    assert describe_error(asked)["type"] == "ValueError"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


class Endless(Exception):
    def __str__(self) -> str:
        return str(self)


@pytest.mark.parametrize(
    "error", [Unprintable(), Endless(), ValueError("\ud800\x00\x1b[31m"), ValueError("x" * 10_000_000)]
)
def test_any_error_becomes_a_text_that_can_be_stored(error: Exception) -> None:
    body = judge(error, 3, 3, RetryPolicy(), 0.5).body

    assert len(body) < 60_000
    assert set(codec.decode(body)) == {"type", "message", "traceback"}


@pytest.mark.parametrize("countdown", [float("nan"), -1, "5", float("inf"), True, object(), 10**400])
def test_a_countdown_that_is_no_wait_is_refused_where_it_is_given(countdown: object) -> None:
    with pytest.raises(InvalidInput, match="not a delay"):
        Retry(countdown)


def test_a_countdown_that_was_made_no_wait_afterwards_is_refused_too() -> None:
    asked = Retry(1)
    asked.countdown = float("inf")

    with pytest.raises(InvalidInput, match="not a delay"):
        judge(asked, 0, 3, RetryPolicy(), 0.5)


def test_any_type_of_number_is_a_countdown() -> None:
    assert [Retry(number).countdown for number in (Decimal("1.5"), Fraction(1, 2), 0)] == [1.5, 0.5, 0.0]
