"""Schedules that are declared in the code."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.errors import DuplicateScheduleName, InvalidInput
from minicelery.schedule import Missed, Origin, Schedule, parse, task_id_of


@pytest.fixture
def app() -> MiniCelery:
    return MiniCelery("shop")


def declare(app: MiniCelery, **options: Any) -> Schedule:
    @app.periodic(**options)
    @app.task(queue="reports")
    def report(kind: str = "short") -> None: ...

    [schedule] = app.periodics
    return schedule


def test_a_task_is_declared_periodic_under_its_own_name(app: MiniCelery) -> None:
    schedule = declare(app, cron="*/5 9-17 * * mon-fri", timezone="Europe/Vienna")

    assert (schedule.name, schedule.task, schedule.queue) == ("report", "report", "reports")
    assert (schedule.missed, schedule.most, schedule.origin) == (Missed.ONCE, 1000, Origin.CODE)
    assert app.tasks.find("report") is not None


def test_a_task_may_be_declared_periodic_several_times_with_arguments_and_options(app: MiniCelery) -> None:
    @app.periodic(every=30, name="short", queue="low", expires=20, tags=["a"], priority=2)
    @app.periodic(every=60, name="long", args=["long"], missed="all", most=5)
    @app.task
    def report(kind: str = "short") -> None: ...

    long, short = app.periodics
    assert (long.name, long.args, long.missed, long.most) == ("long", '["long"]', Missed.ALL, 5)
    assert (short.queue, short.more) == ("low", '{"priority":"2","expires_in":"20.000","tags":"a"}')
    assert report("x") is None, "it is still the task"


def test_a_debounced_task_is_not_declared_periodic(app: MiniCelery) -> None:
    @app.task(debounce=5)
    def report() -> None: ...

    with pytest.raises(InvalidInput, match="give unique_for or throttle instead") as refused:
        app.periodic(every=60)(report)

    assert refused.value.pointer == "/debounce"
    assert list(app.periodics) == []


def test_the_same_definition_has_the_same_version_and_another_one_has_not() -> None:
    first, same, other = (declare(MiniCelery("a"), every=every) for every in (5, 5, 6))

    assert first.version == same.version != other.version


def test_a_definition_comes_back_from_its_fields_as_it_was(app: MiniCelery) -> None:
    schedule = declare(app, cron="0 2 * * *", timezone="Europe/Vienna", kwargs={"kind": "größer"}, missed="skip")

    assert parse(schedule.fields()) == schedule
    assert replace(schedule, version="").digest() == schedule.version


def test_the_wrong_order_of_decorators_is_told_with_the_cure(app: MiniCelery) -> None:
    with pytest.raises(InvalidInput, match=r"write @app.periodic above @app.task"):

        @app.task  # type: ignore[type-var]
        @app.periodic(every=5)
        def report() -> None: ...


def test_two_schedules_of_one_name_are_refused(app: MiniCelery) -> None:
    with pytest.raises(DuplicateScheduleName, match="name="):

        @app.periodic(every=5)
        @app.periodic(every=6)
        @app.task
        def report() -> None: ...


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"every": 5, "kwargs": {"kin": 1}}, "/kwargs/kin"),
        ({"every": 5, "args": [1, 2]}, "/args/1"),
        ({"every": 5, "queue": "a b"}, "/queue"),
        ({"every": 5, "missed": "never"}, "/missed"),
        ({"every": 5, "most": 0}, "/most"),
        ({"every": 5, "evry": 5}, "/evry"),
        ({"every": 5, "name": "x" * 101}, "/name"),
        ({"every": 5, "name": "a b"}, "/name"),
        ({"every": 5, "expires": datetime(2030, 1, 1, tzinfo=UTC)}, "/expires"),
        ({"cron": "* * * *"}, "/cron"),
    ],
)
def test_a_wrong_option_is_named(app: MiniCelery, options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        declare(app, **options)

    assert refused.value.pointer == pointer


def test_a_tasks_id_follows_from_schedule_and_due_time() -> None:
    assert task_id_of("nightly", 1_800_000_000) == "nightly:2027-01-15T08:00:00Z"
    assert len(task_id_of("x" * 100, 1_800_000_000)) <= 128


def test_settings_that_are_replaced_leave_what_was_declared(app: MiniCelery) -> None:
    declare(app, every=5)
    app.configure(namespace="other")

    assert [schedule.name for schedule in app.periodics] == ["report"]
