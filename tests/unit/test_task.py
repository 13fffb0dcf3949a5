"""Declaring and calling tasks."""

import inspect
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import RFC_4122, UUID

import pytest

from minicelery import MiniCelery, TaskContext, codec
from minicelery.errors import (
    DuplicateTaskName,
    InvalidArguments,
    InvalidInput,
    InvalidName,
    InvalidPayload,
    TaskIdTaken,
)
from minicelery.handover import Claim
from minicelery.states import Status
from minicelery.time_limits import TimeLimits
from minicelery.world import World


@pytest.fixture
def add(fake_app: MiniCelery) -> Any:
    @fake_app.task
    def add(x: int, y: int = 0, *, z: int = 0) -> int:
        """The sum."""
        return x + y + z

    return add


def test_calling_a_task_runs_the_function_right_here(add: Any, fake_app: MiniCelery) -> None:
    assert add(2, 3) == 5
    assert list(fake_app.inspector.task_ids()) == []


def test_a_task_keeps_name_and_documentation_of_its_function(add: Any) -> None:
    assert (add.name, add.__name__, add.__doc__) == ("add", "add", "The sum.")


def test_a_bound_task_can_be_called_right_here_too(fake_app: MiniCelery) -> None:
    @fake_app.task(bind=True)
    def report(self: TaskContext, x: int) -> tuple[int, int]:
        self.progress(1, 2)
        return x, self.retry_count

    assert report(7) == (7, 0)


def test_delay_sends_the_call(add: Any, fake_app: MiniCelery) -> None:
    result = add.delay(2, y=3)

    record = fake_app.inspector.task(result.id)
    assert (record.name, record.args, record.kwargs) == ("add", [2], {"y": 3})
    assert (record.queue, record.max_retries, record.status) == ("default", 3, Status.PENDING)


def test_options_of_a_call_win_over_those_of_the_task(fake_app: MiniCelery) -> None:
    @fake_app.task(queue="mail", max_retries=1, name="other.name")
    def send() -> None: ...

    plain = send.delay().record
    chosen = send.apply_async(queue="low", max_retries=0, task_id="mine").record

    assert (plain.name, plain.queue, plain.max_retries) == ("other.name", "mail", 1)
    assert (chosen.id, chosen.queue, chosen.max_retries) == ("mine", "low", 0)


@pytest.mark.parametrize(
    "options", [{"countdown": 60}, {"eta": datetime.now(UTC) + timedelta(hours=1)}, {"countdown": 1e-3}]
)
def test_a_call_for_later_is_scheduled(add: Any, options: dict[str, Any]) -> None:
    assert add.apply_async((1,), **options).status is Status.SCHEDULED


def test_a_moment_without_a_time_zone_is_one_of_utc(add: Any) -> None:
    soon, late = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) + timedelta(hours=2)

    record = add.apply_async((1,), eta=soon.replace(tzinfo=None), expires=late.replace(tzinfo=None)).record

    assert (record.due, record.expires) == pytest.approx((soon.timestamp(), late.timestamp()), abs=0.001)
    with pytest.raises(InvalidInput, match="would expire before it is due"):
        add.apply_async((1,), eta=late, expires=soon.replace(tzinfo=None))


def test_a_task_may_say_when_its_calls_expire(fake_app: MiniCelery) -> None:
    @fake_app.task(expires=60)
    def work() -> None: ...

    for options, seconds in (({}, 60), ({"priority": 9}, 60), ({"countdown": 59.5}, 60), ({"expires": 5.5}, 5.5)):
        record = work.apply_async(**options).record
        assert record.expires == pytest.approx(record.created_at + seconds, abs=0.002), options
    with pytest.raises(InvalidInput, match="would expire before it is due") as caught:
        work.apply_async(countdown=60)
    assert caught.value.pointer == "/expires"


@pytest.mark.parametrize(
    ("options", "pointer", "words"),
    [
        ({"expires": 0}, "/expires", "not a time to expire"),
        ({"expires": datetime(2090, 1, 1, tzinfo=UTC)}, "/expires", "not a time to expire"),
        ({"expires": 60, "debounce": 5}, "/expires", "leave this out, or debounce"),
        ({"rate_limit": 0}, "/rate_limit", "not a rate"),
        ({"rate_limit": "10/w"}, "/rate_limit", "not a rate"),
        ({"max_retries": None}, "/max_retries", "not a number of retries"),
    ],
)
def test_a_task_that_can_not_be_called_so_is_refused(
    fake_app: MiniCelery, options: dict[str, Any], pointer: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        fake_app.task(name="t", **options)(lambda: None)

    assert caught.value.pointer == pointer


def test_a_moment_in_the_past_means_now(add: Any) -> None:
    assert add.apply_async((1,), eta=datetime(2000, 1, 1, tzinfo=UTC)).status is Status.PENDING


@pytest.mark.parametrize(
    ("options", "pointer", "words"),
    [
        ({"countdown": -1}, "/countdown", "not a delay"),
        ({"countdown": float("nan")}, "/countdown", "not a delay"),
        ({"countdown": "10"}, "/countdown", "not a delay"),
        ({"countdown": 1, "eta": datetime.now(UTC)}, "/eta", "not both"),
        ({"eta": "2030-01-01"}, "/eta", "not a datetime"),
        ({"queue": "dead_letter"}, "/queue", "reserved"),
        ({"queue": "a b"}, "/queue", "not a valid name"),
        ({"max_retries": -1}, "/max_retries", "number of retries"),
        ({"max_retries": True}, "/max_retries", "number of retries"),
        ({"time_limit": 0.05}, "/time_limit", "at least 0.1"),
        ({"time_limit": "10"}, "/time_limit", "out of range"),
        ({"soft_time_limit": True}, "/soft_time_limit", "out of range"),
        ({"soft_time_limit": 10, "time_limit": 10}, "/soft_time_limit", "10 s is not less than the time limit of 10 s"),
        ({"task_id": ""}, "/task_id", "not a valid name"),
        ({"countdwn": 1}, "/countdwn", "did you mean countdown"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    add: Any, fake_app: MiniCelery, options: dict[str, Any], pointer: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        add.apply_async((1,), **options)

    assert caught.value.pointer == pointer
    assert list(fake_app.inspector.task_ids()) == []


@pytest.mark.parametrize(
    ("args", "kwargs", "pointer"),
    [((), {}, "/args"), ((1, 2, 3), {}, "/args/2"), ((1,), {"x": 1}, "/kwargs/x"), ((1,), {"q": 1}, "/kwargs/q")],
)
def test_arguments_that_the_function_cannot_take_are_refused(
    add: Any, args: tuple[int, ...], kwargs: dict[str, int], pointer: str
) -> None:
    with pytest.raises(InvalidArguments, match="can't be called so") as caught:
        add.apply_async(args, kwargs)

    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda x: None,
        lambda x, y=0, /, z=0: None,
        lambda x, *more: None,
        lambda *all_of_them, z=0, **named: None,
        lambda x=0, *, z: None,
        lambda x, y, /, **named: None,
    ],
)
def test_a_call_without_keywords_is_refused_exactly_if_python_refuses_it(function: Any, fake_app: MiniCelery) -> None:
    task = fake_app.task(name="any")(function)

    for count in range(5):
        try:
            inspect.signature(function).bind(*range(count))
        except TypeError:
            with pytest.raises(InvalidArguments):
                task.message(range(count), {}, {})
        else:
            assert task.message(range(count), {}, {}).args == codec.encode(list(range(count)))


def test_an_id_is_a_uuid_of_random_numbers() -> None:
    made = [World().new_id() for _ in range(500)]

    assert [str(UUID(one)) for one in made] == made
    assert {(UUID(one).version, UUID(one).variant) for one in made} == {(4, RFC_4122)}
    assert len(set(made)) == 500


def test_a_value_that_is_not_json_is_refused_with_its_place(add: Any) -> None:
    with pytest.raises(InvalidPayload) as caught:
        add.delay(1, z={"a": {1, 2}})

    assert caught.value.pointer == "/kwargs/z/a"


def test_two_tasks_of_one_name_are_an_error_at_start(add: Any, fake_app: MiniCelery) -> None:
    with pytest.raises(DuplicateTaskName, match="two tasks are named 'add'"):
        fake_app.task(name="add")(lambda: None)


def test_a_task_name_that_cannot_be_a_key_is_refused(fake_app: MiniCelery) -> None:
    with pytest.raises(InvalidName):
        fake_app.task(name="a b")(lambda: None)


def test_a_wrong_option_of_a_task_is_refused(fake_app: MiniCelery) -> None:
    with pytest.raises(InvalidInput, match="did you mean max_retries"):
        fake_app.task(max_retry=3)(lambda: None)
    wrongs: list[dict[str, Any]] = [{"retry_factor": 0}, {"retry_cap": "1"}, {"retry_for": (ValueError, 3)}]
    for wrong in wrongs:
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            fake_app.task(**wrong)(print)
    with pytest.raises(InvalidInput, match="/retry_backoff"):
        fake_app.task(retry_backoff=-1)(lambda: None)


def test_a_soft_limit_is_less_than_the_time_limit(fake_app: MiniCelery) -> None:
    with pytest.raises(InvalidInput, match="give a lower soft_time_limit") as caught:
        fake_app.task(name="t", soft_time_limit=5, time_limit=5)(lambda: None)

    assert caught.value.pointer == "/soft_time_limit"


@pytest.mark.parametrize(
    ("options", "pointer", "words"),
    [
        ({"isolation": "container"}, "/isolation", 'use "thread" or "process"'),
        ({"max_memory_mb": 100}, "/max_memory_mb", 'give isolation="process", too'),
        ({"isolation": "process", "max_memory_mb": 0}, "/max_memory_mb", "not a number of MiB"),
        ({"isolation": "process", "max_memory_mb": True}, "/max_memory_mb", "not a number of MiB"),
    ],
)
def test_a_task_that_can_not_be_isolated_so_is_refused(
    fake_app: MiniCelery, options: dict[str, Any], pointer: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        fake_app.task(name="t", **options)(lambda: None)

    assert caught.value.pointer == pointer


def test_a_limit_of_a_call_that_does_not_go_with_that_of_the_task_is_refused(fake_app: MiniCelery) -> None:
    @fake_app.task(soft_time_limit=5)
    def work() -> None: ...

    with pytest.raises(InvalidInput, match="5 s is not less than the time limit of 3 s") as caught:
        work.apply_async(time_limit=3)

    assert caught.value.pointer == "/time_limit"
    assert list(fake_app.inspector.task_ids()) == []


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, TimeLimits(10, 5)),
        ({"time_limit": 20}, TimeLimits(20, 5)),
        ({"soft_time_limit": 2.5}, TimeLimits(10, 2.5)),
        ({"time_limit": 1, "soft_time_limit": 0.5}, TimeLimits(1, 0.5)),
    ],
)
def test_limits_of_a_call_travel_to_the_worker_and_win_over_those_of_the_task(
    fake_app: MiniCelery, options: dict[str, Any], limits: TimeLimits
) -> None:
    @fake_app.task(soft_time_limit=5, time_limit=10)
    def work() -> None: ...

    work.apply_async(**options)
    fake_app.broker.beat({"w": "{}"}, 60)
    [delivery] = fake_app.broker.claim(Claim("w", 0, 1, "n", ("default",))).deliveries

    found = fake_app.executor.time_limits(delivery)
    assert found
    assert found[0] == limits


def test_many_calls_are_sent_in_order(add: Any, fake_app: MiniCelery) -> None:
    results = fake_app.submit_many(add.s(number) for number in range(450))

    assert len({result.id for result in results}) == 450
    assert fake_app.inspector.queue_length("default") == 450
    assert results[449].record.args == [449]


def test_a_wrong_call_among_many_keeps_all_back(add: Any, fake_app: MiniCelery) -> None:
    with pytest.raises(InvalidArguments, match=r"^/1/args: ") as caught:
        fake_app.submit_many([add.s(1), add.s()])

    assert caught.value.pointer == "/1/args"
    assert fake_app.inspector.queue_length("default") == 0


def test_a_signature_can_be_given_options_and_sent_often(add: Any) -> None:
    signature = add.s(1).set(queue="low")

    first, second = signature.delay(), signature.delay()

    assert first.id != second.id
    assert first.record.queue == second.record.queue == "low"


@pytest.mark.parametrize(
    ("args", "kwargs", "pointer"),
    [
        (5, None, "/args"),
        ("ab", None, "/args"),
        ({"x": 1}, None, "/args"),
        ((), [1], "/kwargs"),
        ((), {1: 2}, "/kwargs"),
    ],
)
def test_arguments_of_another_shape_are_refused(add: Any, args: Any, kwargs: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        add.apply_async(args, kwargs)

    assert caught.value.pointer == pointer


async def _asynchronous() -> None: ...


def _generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (_asynchronous, {}, "async or a generator"),
        (_generator, {}, "async or a generator"),
        (lambda: None, {}, "give name="),
        (lambda: None, {"name": "fine", "bind": True}, "no first parameter"),
        (5, {}, "not a function"),
        ("name", {}, "not a function"),
    ],
)
def test_what_can_never_run_as_a_task_is_refused_at_the_declaration(
    fake_app: MiniCelery, function: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        fake_app.task(**options)(function)
    with pytest.raises(InvalidInput):
        fake_app.task(function, **options)


def test_a_timeout_that_is_no_number_is_refused(add: Any) -> None:
    with pytest.raises(InvalidInput, match="'5' is not a number of seconds") as caught:
        add.delay(1, 2).get(timeout="5")

    assert caught.value.pointer == "/timeout"


def test_of_many_calls_the_error_says_that_those_with_a_free_id_are_submitted(add: Any, fake_app: MiniCelery) -> None:
    add.apply_async([1, 2], task_id="taken")

    with pytest.raises(TaskIdTaken, match="All other calls are submitted") as caught:
        fake_app.submit_many([add.s(3, 4), add.s(5, 6).set(task_id="taken")])

    assert caught.value.places == [1]
    assert fake_app.inspector.queue_length("default") == 2


def test_what_is_no_call_is_refused_by_submit_many(add: Any, fake_app: MiniCelery) -> None:
    with pytest.raises(InvalidInput, match=r"make it with task.s"):
        fake_app.submit_many([add.s(1), 5])  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match="countdwn"):
        add.s(1).set(countdwn=3)


def test_a_moment_after_the_last_year_is_refused(add: Any) -> None:
    far = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12)))

    with pytest.raises(InvalidInput, match="too far away"):
        add.apply_async((1,), eta=far)
