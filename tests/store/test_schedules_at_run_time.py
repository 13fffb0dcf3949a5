"""``app.schedules``: schedules as an application makes, changes and runs them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minicelery import MiniCelery, Status
from minicelery.cron import Rule
from minicelery.errors import (
    ForeignData,
    InvalidInput,
    ScheduleExists,
    ScheduleFromCode,
    ScheduleNotFound,
    ScheduleStuck,
    UnknownTask,
)
from minicelery.firing import Clockwork
from minicelery.schedule import Missed, describe
from minicelery.testing import drain
from minicelery.timetable import Change


@pytest.fixture
def shop(app: MiniCelery) -> MiniCelery:
    @app.task(queue="reports")
    def report(kind: str = "short") -> str:
        return kind

    return app


def report_of(shop: MiniCelery, *args: str) -> Any:
    return shop.tasks.find("report").s(*args)


def test_a_schedule_is_added_and_shown_with_its_words_and_next_time(shop: MiniCelery) -> None:
    shop.schedules.add("nightly", report_of(shop, "long"), cron="0 2 * * *", timezone="Europe/Vienna", missed="skip")

    [record] = shop.schedules.list()
    shown = describe(record)
    assert shown["task"] == {"name": "report", "args": ["long"], "kwargs": {}, "queue": "reports", "max_retries": 3}
    assert (shown["words"], shown["missed"]) == ("At 02:00 every day, Europe/Vienna", "skip")
    assert datetime.fromisoformat(shown["next"]).hour == 2
    assert datetime.fromisoformat(shown["next"]).utcoffset() in (timedelta(hours=1), timedelta(hours=2))
    assert (shown["origin"], shown["paused"], shown["declared"], shown["last"]) == ("runtime", False, True, None)


def test_a_call_may_be_given_as_a_submission(shop: MiniCelery) -> None:
    call = {"name": "report", "kwargs": {"kind": "x"}, "priority": 8, "expires": 20, "tags": ["a"], "queue": "low"}
    record = shop.schedules.add("s", call, every=timedelta(minutes=5))

    assert describe(record)["task"] == {**call, "args": [], "max_retries": 3}
    assert record.next is not None
    assert record.next % 300 == 0


def test_what_is_said_of_its_runs_is_shown(shop: MiniCelery) -> None:
    more = {"time_limit": 9, "ignore_result": True, "unique_for": 60.0, "unique_until": "start"}
    record = shop.schedules.add("s", {"name": "report", **more}, every=5)

    shown = describe(record)["task"]
    assert shown == {"name": "report", "args": [], "kwargs": {}, "queue": "reports", "max_retries": 3, **more}


@pytest.mark.parametrize("of_the_task", [False, True])
def test_a_debounced_task_has_no_schedule(shop: MiniCelery, of_the_task: bool) -> None:
    quiet = shop.task(name="quiet", debounce=5)(lambda: None)
    call = quiet.s() if of_the_task else report_of(shop).set(debounce=5)

    with pytest.raises(InvalidInput, match="give unique_for or throttle instead") as refused:
        shop.schedules.add("s", call, every=60)

    assert refused.value.pointer == "/task/debounce"
    assert shop.schedules.list() == []


def test_a_unique_task_that_is_to_be_run_now_is_the_one_that_is_there(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop).set(unique_for=60), every=3600)
    first = shop.schedules.run_now("s")

    second = shop.schedules.run_now("s")

    assert (first.duplicate, second.duplicate, second.id) == (False, True, first.id)
    last = describe(shop.schedules.get("s"))["last"]
    assert (last["task_id"], last["duplicate"]) == (first.id, True)
    drain(shop)
    assert not shop.schedules.run_now("s").duplicate


def test_a_name_that_is_taken_is_refused(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop), every=5)

    with pytest.raises(ScheduleExists, match="there already"):
        shop.schedules.add("s", report_of(shop), every=5)


@pytest.mark.parametrize(
    ("call", "options", "pointer"),
    [
        ({"name": "report", "args": 5}, {"every": 5}, "/task/args"),
        ({"name": "report", "kwargs": {"kin": 1}}, {"every": 5}, "/task/kwargs/kin"),
        ({"name": "report", "task_id": "x"}, {"every": 5}, "/task/task_id"),
        ({"name": "report", "countdown": 5}, {"every": 5}, "/task/countdown"),
        ({"name": "report", "eta": datetime.now(UTC)}, {"every": 5}, "/task/eta"),
        ({"name": "report", "expires": datetime(2090, 1, 1, tzinfo=UTC)}, {"every": 5}, "/task/expires"),
        ({}, {"every": 5}, "/task/name"),
        (5, {"every": 5}, "/task"),
        ({"name": "report"}, {}, "/cron"),
        ({"name": "report"}, {"cron": "x"}, "/cron"),
        ({"name": "report"}, {"every": 5, "most": 1001}, "/most"),
        ({"name": "report"}, {"every": 5, "mised": "all"}, "/mised"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(shop: MiniCelery, call: Any, options: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        shop.schedules.add("s", call, **options)

    assert refused.value.pointer == pointer
    assert shop.schedules.list() == []


def test_an_unknown_task_is_told_with_the_nearest_name(shop: MiniCelery) -> None:
    with pytest.raises(UnknownTask, match="did you mean 'report'"):
        shop.schedules.add("s", {"name": "reprot"}, every=5)


def test_a_change_leaves_what_is_not_given(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop, "long"), cron="0 2 * * *", timezone="Europe/Vienna", missed="all", most=7)

    changed = shop.schedules.change("s", cron="0 3 * * *").schedule

    assert changed.rule == Rule("0 3 * * *", "Europe/Vienna")
    assert (changed.args, changed.missed, changed.most) == ('["long"]', Missed.ALL, 7)
    assert shop.schedules.change("s", timezone="UTC").schedule.rule == Rule("0 3 * * *", "UTC")
    assert shop.schedules.change("s", every=60).schedule.rule == Rule(every=60)
    assert shop.schedules.change("s", report_of(shop, "x"), missed="skip").schedule.args == '["x"]'
    assert shop.schedules.get("s").schedule.rule == Rule(every=60)


def test_a_change_of_the_rule_is_due_from_now_on_and_any_other_keeps_what_is_due(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop), every=60)
    overdue = int(time.time()) // 60 * 60 - 600
    shop.clients.commands.zadd(shop.keys.schedules, {"s": overdue})

    assert shop.schedules.change("s", missed="all").next == overdue
    assert (shop.schedules.change("s", every=30).next or 0) > time.time() - 1


def test_a_change_by_somebody_else_in_between_is_not_lost(shop: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.schedules.add("s", report_of(shop), every=60)
    schedule = shop.timetable.schedule
    others = iter([{"missed": "skip"}])

    def with_another_before_it(*args: Any) -> Change:
        for other in others:
            shop.schedules.change("s", **other)
        return schedule(*args)

    monkeypatch.setattr(shop.timetable, "schedule", with_another_before_it)
    changed = shop.schedules.change("s", every=30).schedule

    assert (changed.rule, changed.missed) == (Rule(every=30), Missed.SKIP)


def test_who_is_overtaken_again_and_again_is_told(shop: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.schedules.add("s", report_of(shop), every=60)
    monkeypatch.setattr(shop.timetable, "schedule", lambda *_: Change.CHANGED)
    monkeypatch.setattr(shop.timetable, "resume_schedule", lambda *_: Change.CHANGED)

    for change in (lambda: shop.schedules.change("s", every=30), lambda: shop.schedules.resume("s")):
        with pytest.raises(ScheduleStuck, match="try again"):
            change()


def test_a_paused_schedule_is_resumed_without_what_was_due_meanwhile(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop), every=1, missed="all")
    assert (shop.schedules.pause("s").paused, shop.schedules.get("s").next) == (True, None)
    assert Clockwork(shop.timetable, shop.agenda, shop.world).fire() is None

    record = shop.schedules.resume("s")

    assert not record.paused
    assert (record.next or 0) > time.time() - 1


def test_a_schedule_is_run_now_also_while_it_is_paused(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop, "now"), every=3600)
    shop.schedules.pause("s")

    result = shop.schedules.run_now("s")

    assert drain(shop) == 1
    assert result.get(timeout=5) == "now"
    last = shop.schedules.get("s").last
    assert last
    assert (last.task_id, last.slot, last.status) == (result.id, None, Status.SUCCESS)


def test_a_run_that_has_no_place_to_go_is_refused(shop: MiniCelery) -> None:
    shop.schedules.add("s", report_of(shop), every=3600)
    shop.clients.commands.set(shop.keys.queue("reports"), "another program's")

    with pytest.raises(ForeignData, match="queue:reports"):
        shop.schedules.run_now("s")


def test_what_a_schedule_sends_keeps_to_the_limits_of_its_task(shop: MiniCelery) -> None:
    @shop.task(concurrency=1)
    def careful() -> None: ...

    shop.schedules.add("s", careful.s(), every=3600)
    task_id = shop.schedules.run_now("s").id

    gates = shop.clients.commands.hget(shop.keys.task(task_id), "gates")
    assert gates
    assert gates == shop.clients.commands.hget(shop.keys.task(careful.delay().id), "gates")


def test_what_is_not_there_is_told_by_its_name(shop: MiniCelery) -> None:
    calls: list[Callable[[str], object]] = [
        shop.schedules.get,
        shop.schedules.change,
        shop.schedules.pause,
        shop.schedules.resume,
        shop.schedules.delete,
        shop.schedules.run_now,
    ]
    for call in calls:
        with pytest.raises(ScheduleNotFound, match="'none'"):
            call("none")


def test_a_schedule_from_code_is_changed_there(shop: MiniCelery) -> None:
    shop.periodic(every=60)(shop.tasks.find("report"))
    [schedule] = shop.periodics
    shop.broker.beat({"w": f'{{"schedules":["report {schedule.version}"]}}'}, 60)
    clockwork = Clockwork(shop.timetable, shop.agenda, shop.world)
    clockwork.declared = [schedule]
    clockwork.declare()

    with pytest.raises(ScheduleFromCode, match="pause it"):
        shop.schedules.change("report", every=30)
    with pytest.raises(ScheduleFromCode, match="pause it"):
        shop.schedules.delete("report")
    assert shop.schedules.pause("report").paused


def test_a_preview_shows_words_and_times_in_the_zone(shop: MiniCelery) -> None:
    preview = shop.schedules.preview(3, cron="0 0 1 1 *", timezone="Asia/Kolkata")

    assert preview.words == "At 00:00 on January 1, Asia/Kolkata"
    assert [moment[4:] for moment in preview.next] == ["-01-01T00:00:00+05:30"] * 3
    with pytest.raises(InvalidInput) as refused:
        shop.schedules.preview(101, every=5)
    assert refused.value.pointer == "/count"
