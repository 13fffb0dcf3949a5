"""Each change of a schedule on each server: what it answers, what it changes, and that it may be sent twice."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.cron import check_rule
from minicelery.errors import ForeignData, ScheduleNotFound
from minicelery.firing import Clockwork
from minicelery.message import Message
from minicelery.schedule import Missed, Origin, Schedule, ScheduleRecord, describe, made_of, task_id_of
from minicelery.states import Status
from minicelery.timetable import Change, Fired, Firing
from tests.store.conftest import Desk

PASSED, UNDECLARED, GONE = Fired("passed"), Fired("undeclared"), Fired("gone")


@dataclass
class Table:
    """A desk, and schedules of its tasks that are as overdue as a test wants them."""

    desk: Desk
    now: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.app = self.desk.app
        self.timetable = self.app.timetable

    def defined(self, name: str = "s", every: int = 60, version: str = "v1", **more: Any) -> Schedule:
        message = Message("", "add", "[1,2]", "{}", more.pop("queue", "default"), 3, more=more.pop("text", ""))
        rule = check_rule(every=every)
        return replace(made_of(name, message, rule, Missed.ONCE, 1000), version=version, **more)

    def slot(self, ago: float = 0, every: int = 60) -> int:
        """The latest due time that lies so many seconds back."""
        return int(self.now - ago) // every * every

    def add(self, name: str = "s", slot: int | None = None, **more: Any) -> int:
        """A schedule that stands at a due time."""
        slot = self.slot() if slot is None else slot
        assert self.timetable.schedule(self.defined(name, **more), "", str(slot)) is Change.DONE
        return slot

    def fire(self, slot: int, name: str = "s", version: str = "v1", slots: tuple[int, ...] | None = None) -> Fired:
        [fired] = self.timetable.fire([Firing(name, version, str(slot), slots or (slot,), slot + 60)])
        return fired

    def declare(self, *versions: str, worker: str = "w", lease: float = 60, name: str = "s") -> list[str]:
        """A live worker whose code has the schedule in these versions; what is wanted of them is written."""
        facts = {"schedules": [f"{name} {version}" for version in versions]}
        self.desk.broker.beat({worker: json.dumps(facts)}, lease)
        found = [self.defined(name, version=version, origin=Origin.CODE) for version in versions]
        answers = self.timetable.declare((name, one.version, None, None) for one in found)
        return [
            self.timetable.declare([(name, one.version, self.slot(-60), one)])[0] if answer == "wanted" else answer
            for one, answer in zip(found, answers, strict=True)
        ]

    def get(self, name: str = "s") -> ScheduleRecord:
        return self.app.agenda.schedule(name)

    def damage(self, part: str, value: str, name: str = "s") -> None:
        self.app.clients.commands.hset(self.app.keys.schedule(name), part, value)

    def stand_at(self, slot: int, name: str = "s") -> None:
        self.app.clients.commands.zadd(self.app.keys.schedules, {name: slot})


@pytest.fixture
def table(desk: Desk) -> Table:
    return Table(desk)


@pytest.fixture(autouse=True)
def lawful_in_the_end(desk: Desk) -> object:
    yield
    desk.lawful()


# ---- firing ------------------------------------------------------------------------------------


def test_a_due_time_is_one_task_whose_id_follows_from_it(table: Table) -> None:
    slot = table.add()

    assert table.fire(slot) == Fired("fired", 1)

    assert table.desk.where(task_id_of("s", slot)) == ["PENDING", "ready"]
    record = table.get()
    assert (record.next, record.fired) == (slot + 60, 1)
    assert record.last
    assert (record.last.task_id, record.last.slot, record.last.status) == (task_id_of("s", slot), slot, Status.PENDING)


def test_a_due_time_is_fired_once_however_many_workers_find_it(table: Table) -> None:
    slot = table.add()

    assert [table.fire(slot) for _ in range(6)] == [Fired("fired", 1), *[PASSED] * 5]
    assert table.app.inspector.queue_length("default") == 1


def test_a_schedule_that_is_deleted_and_added_again_fires_no_due_time_twice(table: Table) -> None:
    slot = table.add()
    table.fire(slot)
    table.timetable.unschedule("s", "n1")
    table.add(slot=slot)

    assert table.fire(slot) == Fired("fired", 0)
    assert table.app.inspector.queue_length("default") == 1
    assert table.get().next == slot + 60


def test_what_was_computed_from_another_definition_is_refused(table: Table) -> None:
    slot = table.add()
    table.timetable.schedule(table.defined(version="v2", every=30), "v1", str(slot))

    assert table.fire(slot) == PASSED
    assert table.app.inspector.queue_length("default") == 0
    assert table.get().next == slot


def test_several_due_times_are_fired_in_order_and_the_last_one_is_told(table: Table) -> None:
    slot = table.add()
    slots = tuple(slot + 60 * number for number in range(-3, 1))

    assert table.fire(slot, slots=slots) == Fired("fired", 4)

    table.desk.hire("w")
    assert [table.desk.take().id for _ in slots] == [task_id_of("s", one) for one in slots]
    last = table.get().last
    assert last
    assert last.slot == slot


def test_a_task_that_is_fired_has_all_that_was_said_of_it(table: Table) -> None:
    text = '{"priority":"9","expires_in":"30.000","tags":"a b"}'
    slot = table.add(text=text, queue="mail")

    table.fire(slot)

    record = table.app.inspector.task(task_id_of("s", slot))
    assert (record.queue, record.priority, record.tags) == ("mail", 9, ("a", "b"))
    assert record.expires == pytest.approx(record.created_at + 30)
    assert (record.name, record.args, record.max_retries) == ("add", [1, 2], 3)


def test_who_looks_is_told_what_is_due_and_when_the_next_one_is(table: Table) -> None:
    slot = table.add("a")
    table.add("b", slot=table.slot(-600))
    table.add("c", slot=table.slot(-1200))

    now, wait, found = table.timetable.due()

    assert [(one.name, one.slot, one.version) for one in found] == [("a", str(slot), "v1")]
    assert wait == pytest.approx(table.slot(-600) - now, abs=0.01)


def test_a_name_without_a_schedule_is_put_away(table: Table) -> None:
    table.stand_at(table.slot())

    assert table.fire(table.slot()) == GONE
    assert table.timetable.due()[2] == []


def test_a_run_that_somebody_wants_leaves_the_due_times_as_they_are(table: Table) -> None:
    slot = table.add()

    assert [table.timetable.run_now("s", "s:now-1") for _ in range(2)] == [Fired("fired", 1), Fired("fired", 0)]

    assert table.desk.where("s:now-1") == ["PENDING", "ready"]
    record = table.get()
    assert (record.next, record.fired) == (slot, 1)
    assert record.last
    assert (record.last.task_id, record.last.slot) == ("s:now-1", None)
    assert table.timetable.run_now("none", "x") == GONE


# ---- of unique tasks -------------------------------------------------------------------------------

UNIQUE = '{"once":"finish","once_key":"add:k","hold":"60000"}'


def last_of(table: Table) -> tuple[str, float | None, Status | None, bool]:
    last = table.get().last
    assert last
    return last.task_id, last.slot, last.status, last.duplicate


def test_a_unique_task_whose_last_run_has_not_ended_is_not_sent_twice(table: Table) -> None:
    table.desk.hire("w")
    slot = table.add(text=UNIQUE)
    first = task_id_of("s", slot)
    table.fire(slot)
    table.desk.take()

    assert table.fire(slot + 60) == Fired("fired", 0, joined=first)

    assert table.desk.where(task_id_of("s", slot + 60)) == [""]
    assert last_of(table) == (first, slot + 60, Status.RUNNING, True)
    assert (table.get().next, table.get().fired) == (slot + 120, 1)


def test_a_unique_task_is_sent_again_when_its_last_run_has_ended(table: Table) -> None:
    table.desk.hire("w")
    slot = table.add(text=UNIQUE)
    table.fire(slot)
    table.fire(slot + 60)
    table.desk.settle(table.desk.take())

    assert table.fire(slot + 120) == Fired("fired", 1)

    second = task_id_of("s", slot + 120)
    assert last_of(table) == (second, slot + 120, Status.PENDING, False)
    assert table.app.clients.commands.get(table.app.keys.unique("add:k")) == second
    assert table.app.clients.commands.pttl(table.app.keys.unique("add:k")) > 50_000


def test_a_key_whose_task_is_gone_keeps_no_due_time_back(table: Table) -> None:
    slot = table.add(text=UNIQUE)
    table.app.clients.commands.set(table.app.keys.unique("add:k"), "deleted-by-others", px=60_000)

    assert table.fire(slot) == Fired("fired", 1)


def test_a_schedule_and_a_call_that_are_the_same_are_one_task(table: Table) -> None:
    table.desk.submit("mine", more=UNIQUE)
    slot = table.add(text=UNIQUE)

    assert table.fire(slot) == Fired("fired", 0, joined="mine")
    assert last_of(table)[0] == "mine"


def test_what_is_unique_until_it_starts_is_sent_again_while_it_runs(table: Table) -> None:
    table.desk.hire("w")
    slot = table.add(text=UNIQUE.replace("finish", "start"))
    table.fire(slot)
    table.desk.take()

    assert table.fire(slot + 60) == Fired("fired", 1)


def test_a_throttled_task_is_sent_once_in_its_time_whatever_becomes_of_it(table: Table) -> None:
    table.desk.hire("w")
    slot = table.add(text=UNIQUE.replace("finish", "throttle"))
    table.fire(slot)
    table.desk.settle(table.desk.take())

    assert table.fire(slot + 60) == Fired("fired", 0, joined=task_id_of("s", slot))


def test_several_due_times_of_a_unique_task_are_one_task(table: Table) -> None:
    slot = table.add(text=UNIQUE)

    fired = table.fire(slot, slots=tuple(slot + 60 * number for number in range(-3, 1)))

    assert fired == Fired("fired", 1, joined=task_id_of("s", slot - 180))
    assert table.app.inspector.queue_length("default") == 1


def test_a_run_that_somebody_wants_of_a_unique_task_is_the_one_that_is_there(table: Table) -> None:
    slot = table.add(text=UNIQUE)
    table.fire(slot)

    assert table.timetable.run_now("s", "s:now-1") == Fired("fired", 0, joined=task_id_of("s", slot))
    assert last_of(table) == (task_id_of("s", slot), None, Status.PENDING, True)


def test_how_the_run_has_ended_to_which_a_due_time_was_joined_is_noted(table: Table) -> None:
    table.desk.hire("w")
    table.desk.submit("mine", more=UNIQUE)
    table.fire(table.add(text=UNIQUE))
    table.desk.fail(table.desk.take())

    table.timetable.note_ends()

    assert table.app.clients.commands.hget(table.app.keys.schedule("s"), "last_status") == "FAILED"


# ---- what the code declares ----------------------------------------------------------------------


def test_a_schedule_from_code_is_fired_while_a_live_worker_declares_it(table: Table) -> None:
    assert table.declare("v1") == ["written"]
    assert table.declare("v1") == ["same"]
    table.stand_at(table.slot())

    assert table.fire(table.slot()) == Fired("fired", 1)


@pytest.mark.parametrize("how", ["removed from the code", "lease is over"])
def test_a_schedule_that_no_live_worker_declares_is_not_fired(table: Table, how: str) -> None:
    table.declare("v1")
    table.stand_at(table.slot())
    if how == "removed from the code":
        table.desk.hire("w")
    else:
        table.desk.broker.beat({"w": '{"schedules":["s v1"]}'}, -1)

    assert table.fire(table.slot()) == UNDECLARED

    assert table.app.inspector.queue_length("default") == 0
    assert (table.get().declared, table.get().next, table.timetable.due()[2]) == (False, None, [])


@pytest.mark.parametrize(("away", "is_missed"), [(100, True), (4000, False)])
def test_what_came_back_soon_has_missed_what_it_stood_at(table: Table, away: int, is_missed: bool) -> None:
    table.declare("v1")
    slot = table.slot(away)
    table.stand_at(slot)
    table.desk.hire("w")
    table.fire(slot)
    table.damage("undeclared", str(time.time() - away))

    assert table.declare("v1") == ["written"]

    assert table.get().next == (slot if is_missed else table.slot(-60))


def test_with_two_releases_side_by_side_the_newer_definition_stays(table: Table) -> None:
    table.declare("old", worker="w1")
    assert table.declare("new", worker="w2") == ["written"]

    answers = [table.declare(version, worker=worker) for version, worker in [("old", "w1"), ("new", "w2")] * 3]

    assert answers == [["newer"], ["same"]] * 3
    assert table.get().schedule.version == "new"
    table.stand_at(table.slot())
    assert table.fire(table.slot(), version="new") == Fired("fired", 1)


def test_when_the_newer_release_is_gone_the_older_one_has_its_definition_again(table: Table) -> None:
    table.declare("old", worker="w1")
    table.declare("new", worker="w2")
    table.declare("new", worker="w2", lease=-1)

    assert table.declare("old", worker="w1") == ["written"]
    assert table.declare("new", worker="w2") == ["newer"]
    assert table.get().schedule.version == "old"


def test_a_pause_outlasts_a_new_release(table: Table) -> None:
    table.declare("v1")
    table.timetable.pause_schedule("s")

    assert table.declare("v2") == ["written"]

    assert (table.get().paused, table.get().next) == (True, None)


def test_a_schedule_of_run_time_is_not_replaced_by_one_of_the_code(table: Table) -> None:
    table.add(version="mine")

    assert table.declare("v1") == ["runtime"]
    assert table.get().schedule.version == "mine"


def test_a_schedule_from_code_is_neither_changed_nor_deleted_while_it_is_declared(table: Table) -> None:
    table.declare("v1")

    assert table.timetable.schedule(table.defined(version="v2"), "v1", "") is Change.CODE
    assert table.timetable.unschedule("s", "n") is Change.CODE
    table.desk.hire("w", lease=-1)
    assert table.timetable.unschedule("s", "n") is Change.DONE


# ---- changes ---------------------------------------------------------------------------------------


def test_a_name_is_given_once_and_a_repeat_is_recognised(table: Table) -> None:
    table.add()

    assert table.timetable.schedule(table.defined(), "", "5") is Change.DONE
    assert table.timetable.schedule(table.defined(version="v2"), "", "5") is Change.THERE
    assert table.get().schedule.version == "v1"
    assert table.get().next == table.slot()


def test_a_change_of_what_was_changed_meanwhile_is_refused(table: Table) -> None:
    table.add()

    assert table.timetable.schedule(table.defined(version="v2"), "v1", "") is Change.DONE
    assert table.timetable.schedule(table.defined(version="v3"), "v1", "") is Change.CHANGED
    assert table.timetable.schedule(table.defined("x", version="v3"), "v1", "") is Change.NONE


def test_a_paused_schedule_stands_at_no_time_until_it_is_resumed(table: Table) -> None:
    slot = table.add()

    assert [table.timetable.pause_schedule("s") for _ in range(2)] == [Change.DONE] * 2
    assert (table.get().paused, table.get().next) == (True, None)
    assert table.fire(slot) == PASSED
    table.timetable.schedule(table.defined(version="v2"), "v1", str(slot))
    assert table.get().next is None, "nor does a change wake it"

    assert table.timetable.resume_schedule("s", "v1", slot + 60) is Change.CHANGED
    assert [table.timetable.resume_schedule("s", "v2", slot + 60) for _ in range(2)] == [Change.DONE] * 2
    assert (table.get().paused, table.get().next) == (False, slot + 60)
    assert table.timetable.pause_schedule("none") is Change.NONE
    assert table.timetable.resume_schedule("none", "v1", None) is Change.NONE


def test_a_deletion_is_answered_the_same_when_it_is_repeated(table: Table) -> None:
    table.add()

    assert [table.timetable.unschedule("s", "n1") for _ in range(2)] == [Change.DONE] * 2
    assert table.timetable.unschedule("s", "n2") is Change.NONE
    with pytest.raises(ScheduleNotFound):
        table.get()
    assert table.app.agenda.schedules() == []


def test_a_new_next_time_rings_the_alarm(table: Table) -> None:
    with table.app.clients.commands.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(table.app.keys.alarm)
        channel.get_message(timeout=5)
        slot = table.add(slot=table.slot(-600))

        assert channel.get_message(timeout=5)["data"] == f"{slot}.000"


# ---- how runs end ----------------------------------------------------------------------------------


def test_how_the_last_run_ended_is_known_after_its_task_is_gone(table: Table) -> None:
    table.desk.hire("w")
    slot = table.add()
    table.fire(slot)
    table.timetable.note_ends()
    table.desk.settle(table.desk.take())
    assert table.timetable.note_ends() == 1
    assert table.timetable.note_ends() == 0, "it is looked at no more"

    table.app.clients.commands.delete(table.app.keys.task(task_id_of("s", slot)))

    last = table.get().last
    assert last
    assert last.status is Status.SUCCESS


def test_a_dead_letter_is_looked_at_until_it_is_revived_or_deleted(table: Table) -> None:
    table.desk.hire("w")
    slot = table.add()
    table.fire(slot)
    table.desk.fail(table.desk.take())
    table.timetable.note_ends()
    table.desk.broker.revive([task_id_of("s", slot)], "n")
    table.desk.settle(table.desk.take())
    table.timetable.note_ends()

    table.app.clients.commands.delete(table.app.keys.task(task_id_of("s", slot)))

    last = table.get().last
    assert last
    assert last.status is Status.SUCCESS


def test_of_many_open_runs_those_are_looked_at_that_were_not_for_longest(table: Table) -> None:
    for number in range(130):
        table.fire(table.add(f"s{number}"), f"s{number}")

    assert [table.timetable.note_ends() for _ in range(2)] == [100, 100]

    scores = table.app.clients.commands.zrange(table.app.keys.open_runs, 0, -1, withscores=True)
    assert len(scores) == 130


# ---- what another program does ---------------------------------------------------------------------


def spoil(table: Table, key: str) -> Callable[[], object]:
    table.app.clients.commands.delete(key)
    table.app.clients.commands.set(key, "another program's")
    return lambda: table.app.clients.commands.delete(key)


def test_a_schedule_of_an_overwritten_queue_waits_and_the_others_are_fired(table: Table) -> None:
    slot = table.add("bad", queue="bad")
    table.add("good")
    key = table.app.keys.bell("bad")
    mend = spoil(table, key)
    firings = [Firing(name, "v1", str(slot), (slot,), slot + 60) for name in ("bad", "good")]

    assert table.timetable.fire(firings) == [Fired("stuck", detail=key), Fired("fired", 1)]

    assert table.app.inspector.queue_length("bad") == 0
    assert (table.get("bad").next, table.get("good").next) == (slot, slot + 60)
    mend()
    assert table.fire(slot, "bad") == Fired("fired", 1)


def test_an_overwritten_schedule_is_left_out_and_stops_no_other(table: Table) -> None:
    table.add("good")
    slot = table.add("bad")
    key = table.app.keys.schedule("bad")
    mend = spoil(table, key)

    assert table.fire(slot, "bad") == Fired("stuck", detail=key)
    assert [record.schedule.name for record in table.app.agenda.schedules()] == ["good"]
    with pytest.raises(ForeignData):
        table.timetable.pause_schedule("bad")
    with pytest.raises(ForeignData):
        table.timetable.unschedule("bad", "n")
    mend()


def test_a_damaged_schedule_is_told_once_and_stops_no_other(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    table.add("bad")
    table.add("good")
    table.damage("cron", "no expression", "bad")
    table.damage("every", "", "bad")
    clockwork = Clockwork(table.timetable, table.app.agenda, table.app.world)

    waits = [clockwork.fire() for _ in range(3)]

    assert waits[0] == 0.0
    assert 0 < (waits[2] or 0) <= 1, "it is no reason to hurry"
    assert caplog.text.count("the schedule bad is damaged") == 1
    assert table.get("good").fired == 1


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("more", "no JSON"),
        ("more", "5"),
        ("more", UNIQUE.replace("60000", "soon")),
        ("more", UNIQUE.replace("60000", "-1")),
        ("more", '{"once":"finish"}'),
        ("more", '{"priority":9}'),
        ("more", '{"tags":["x"]}'),
        ("more", '{"options":{"a":1}}'),
        ("more", '{"options":null}'),
        ("more", '{"gates":{}}'),
        ("more", '{"fair":[]}'),
        ("more", '{"expires":"nan"}'),
        ("more", '{"expires_in":"1e300"}'),
    ],
)
def test_a_schedule_whose_options_are_damaged_sends_nothing_and_stops_no_other(
    table: Table, part: str, value: str
) -> None:
    slot = table.add("bad")
    table.add("good")
    table.damage(part, value, "bad")
    firings = [Firing(name, "v1", str(slot), (slot,), slot + 60) for name in ("bad", "good")]

    assert table.timetable.fire(firings) == [Fired("stuck", detail=table.app.keys.schedule("bad")), Fired("fired", 1)]
    assert "good" in [describe(record)["name"] for record in table.app.agenda.schedules()]


def test_an_incomplete_schedule_waits_and_is_no_reason_to_hurry(table: Table) -> None:
    table.add()
    table.app.clients.commands.hdel(table.app.keys.schedule("s"), "queue")

    assert table.fire(table.slot()) == Fired("stuck", detail=table.app.keys.schedule("s"))
    assert clockwork_of(table.app).fire() != 0.0


def test_a_schedule_whose_key_of_uniqueness_is_overwritten_waits(table: Table) -> None:
    slot = table.add(text=UNIQUE)
    key = table.app.keys.unique("add:k")
    table.app.clients.commands.lpush(key, "another program's")

    assert table.fire(slot) == Fired("stuck", detail=key)

    assert table.desk.where(task_id_of("s", slot)) == [""]
    table.app.clients.commands.delete(key)
    assert table.fire(slot) == Fired("fired", 1)


def fire_all(clockwork: Clockwork) -> float:
    """Let a worker look until it wants to wait, 20 times at most; for how long."""
    return next((wait for wait in (clockwork.fire() for _ in range(20)) if wait != 0.0), 0.0) or 0.0


@pytest.mark.parametrize("count", [100, 230])
def test_schedules_that_are_stuck_keep_no_other_from_its_turn(table: Table, count: int) -> None:
    slot = table.slot()
    for number in range(count):
        table.add(f"bad{number}", slot=slot - 60, queue="bad")
    for number in range(3):
        table.add(f"good{number}", slot=slot)
    mend = spoil(table, table.app.keys.bell("bad"))
    clockwork = clockwork_of(table.app)

    wait = fire_all(clockwork)

    assert 0 < wait <= 1
    assert all(table.get(f"good{number}").fired for number in range(3))
    mend()
    fire_all(clockwork)
    assert table.get(f"bad{count - 1}").fired > 0, "it is looked at again, from the first one on"


def test_an_overwritten_timetable_is_said_so(table: Table) -> None:
    mend = spoil(table, table.app.keys.schedules)

    for change in (
        lambda: table.timetable.schedule(table.defined(), "", "5"),
        lambda: table.timetable.declare([("s", "v1", None, None)]),
        lambda: table.timetable.due(),
        lambda: table.app.agenda.schedules(),
    ):
        with pytest.raises(ForeignData):
            change()

    assert not table.app.clients.commands.exists(table.app.keys.schedule("s"))
    mend()


# ---- what every worker does ------------------------------------------------------------------------


def clockwork_of(app: MiniCelery, *declared: Schedule) -> Clockwork:
    clockwork = Clockwork(app.timetable, app.agenda, app.world)
    clockwork.declared = declared
    return clockwork


def test_many_workers_at_once_fire_each_due_time_once(table: Table) -> None:
    slot = table.slot(20, every=1)
    for name in ("a", "b"):
        table.add(name, slot=slot, every=1)
    workers = [clockwork_of(table.app) for _ in range(3)]

    for _ in range(4):
        for clockwork in workers:
            clockwork.fire()

    ids = set(table.app.inspector.task_ids())
    for name in ("a", "b"):
        stands_at = int(table.get(name).next or 0)
        assert {one for one in ids if one.startswith(name)} == {task_id_of(name, at) for at in range(slot, stands_at)}
        assert stands_at > slot + 20


def test_a_worker_writes_what_its_code_declares_and_fires_it(table: Table) -> None:
    schedule = table.defined(every=1, origin=Origin.CODE)
    schedule = replace(schedule, version=schedule.digest())
    table.desk.broker.beat({"w": json.dumps({"schedules": [f"s {schedule.version}"]})}, 60)
    clockwork = clockwork_of(table.app, schedule)

    clockwork.declare()

    assert table.get().schedule == schedule
    assert table.get().declared
    table.stand_at(table.slot())
    clockwork.fire()
    assert table.get().fired > 0


def test_after_an_outage_the_policy_decides(table: Table) -> None:
    slot = table.slot(3600)
    for name in ("skip", "once", "all"):
        table.add(name, slot=slot, missed=Missed(name))
    table.add("few", slot=slot, missed=Missed.ALL, most=5)
    clockwork = clockwork_of(table.app)

    while clockwork.fire() == 0.0:
        pass

    fired = {name: table.get(name).fired for name in ("skip", "once", "all", "few")}
    assert fired["skip"] in (0, 1)  # 1: a due time has come meanwhile
    assert fired["once"] - fired["skip"] in (0, 1)
    assert fired["all"] - fired["skip"] in (60, 61)
    assert fired["few"] - fired["skip"] in (4, 5)
    assert all((table.get(name).next or 0) > time.time() - 1 for name in fired)
