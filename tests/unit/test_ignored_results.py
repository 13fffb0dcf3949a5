"""Tasks whose results nobody wants to know: what they return is not kept, and may be anything."""

from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.errors import InvalidInput, TaskFailed
from minicelery.handover import Claim
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.testing import drain, eager

NO_RESULT = Outcome(Status.SUCCESS, "null")
#: What a task says, what a call says, and whether the result is kept then.
CASES = [(None, None, True), (True, None, False), (True, False, True), (False, True, False), (None, True, False)]


def named(value: bool | None) -> dict[str, Any]:
    return {} if value is None else {"ignore_result": value}


def claim(app: MiniCelery) -> Delivery:
    app.broker.beat({"w": "{}"}, 60)
    [delivery] = app.broker.claim(Claim("w", 0, 1, "n", ("default",))).deliveries
    return delivery


@pytest.mark.parametrize(("of_the_task", "of_the_call", "is_kept"), CASES)
def test_what_the_call_says_goes_before_what_the_task_says(
    fake_app: MiniCelery, of_the_task: bool | None, of_the_call: bool | None, is_kept: bool
) -> None:
    task = fake_app.task(name="t", **named(of_the_task))(lambda: 3)

    task.apply_async(**named(of_the_call))

    assert fake_app.executor.execute(claim(fake_app)) == (Outcome(Status.SUCCESS, "3") if is_kept else NO_RESULT)


@pytest.mark.parametrize(("of_the_task", "of_the_call", "is_kept"), CASES)
def test_it_is_so_in_tests_of_applications_too(
    fake_app: MiniCelery, of_the_task: bool | None, of_the_call: bool | None, is_kept: bool
) -> None:
    task = fake_app.task(name="t", **named(of_the_task))(lambda: 3)
    with eager(fake_app):
        here = task.apply_async(**named(of_the_call))
        assert (here.status, here.get()) == (Status.SUCCESS, 3 if is_kept else None)

    sent = task.s().set(**named(of_the_call)).delay()
    drain(fake_app)

    assert (sent.status, sent.get(timeout=0)) == (Status.SUCCESS, 3 if is_kept else None)


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), "x" * 2_000_000])
def test_what_is_returned_may_be_anything(fake_app: MiniCelery, value: Any) -> None:
    fake_app.task(name="t", ignore_result=True)(lambda: value).delay()

    assert fake_app.executor.execute(claim(fake_app)) == NO_RESULT


def test_a_failure_is_kept_as_ever(fake_app: MiniCelery) -> None:
    @fake_app.task(ignore_result=True, max_retries=0)
    def fail() -> None:
        raise ValueError("no")

    result = fail.delay()
    drain(fake_app)

    with pytest.raises(TaskFailed, match="ValueError: no"):
        result.get(timeout=0)


def test_a_call_that_only_says_so_has_no_limits(fake_app: MiniCelery) -> None:
    fake_app.task(name="t")(lambda: 3).apply_async(ignore_result=True)

    assert fake_app.executor.time_limits(claim(fake_app)) is None


def test_a_task_that_says_nothing_sends_nothing_more(fake_app: MiniCelery) -> None:
    task = fake_app.task(name="t", ignore_result=True)(lambda: 3)

    assert task.message((), {}, {}).more == "", "the worker has it from the code"
    assert task.message((), {}, {"ignore_result": None}).more == ""
    assert task.message((), {}, {"ignore_result": False}).more == '{"options":"{\\"ignore_result\\":false}"}'


@pytest.mark.parametrize("value", [1, "yes", []])
def test_what_is_neither_true_nor_false_is_refused(fake_app: MiniCelery, value: Any) -> None:
    task = fake_app.task(name="t")(lambda: 3)

    for refused in (
        lambda: task.apply_async(ignore_result=value),
        lambda: fake_app.task(name="u", ignore_result=value)(lambda: 3),
    ):
        with pytest.raises(InvalidInput, match="neither True nor False") as caught:
            refused()
        assert caught.value.pointer == "/ignore_result"
