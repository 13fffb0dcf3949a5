"""Fair keys: tenants of a queue take turns, however much each of them has submitted."""

import itertools
import json
import random
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.errors import InvalidInput
from minicelery.handover import Accepted, Claim
from minicelery.message import Delivery
from minicelery.options import task_settings
from minicelery.states import Status
from tests.store.clock import Clock, install
from tests.store.conftest import Desk, staffed

ROOM = "fair/5/default/{}"


@pytest.fixture
def desk(app: MiniCelery) -> Desk:
    return staffed(app)


def of(tenant: str, **more: str) -> str:
    """What a message of a tenant has more than others."""
    return json.dumps({"fair": tenant, **more})


def limited(tenant: str) -> str:
    """The same, where one task of each tenant may run at a time."""
    options: Any = {"concurrency": 1, "concurrency_key": lambda *_: tenant}
    return of(tenant, gates=task_settings("add", options).limits.gates((), {}))


def flood(desk: Desk, **tenants: int) -> None:
    """Of each tenant so many tasks, named a1, a2, …; one tenant after the other."""
    for tenant, count in tenants.items():
        desk.submit(*(f"{tenant}{number}" for number in range(1, count + 1)), more=of(tenant))


def taken(desk: Desk, most: int = 999, **options: Any) -> list[str]:
    """The next tasks, in the order in which claims get them: single ones, unless said otherwise."""
    found: list[str] = []
    while len(found) < most and (deliveries := desk.claim(**options).deliveries):
        found += [delivery.id for delivery in deliveries]
    return found


# ---- turns ----------------------------------------------------------------------------------------


def test_tenants_take_turns_and_each_ones_tasks_keep_their_order(desk: Desk) -> None:
    flood(desk, a=4, b=2)
    desk.submit("c1", more=of("c"))
    desk.lawful()

    assert taken(desk) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    desk.lawful()


def test_tasks_without_a_key_count_as_one_tenant_each(desk: Desk) -> None:
    flood(desk, a=3)
    desk.submit("p", "q")

    assert taken(desk) == ["a1", "p", "q", "a2", "a3"]


def test_one_tenants_flood_delays_anothers_ten_by_no_more_than_a_round_each(real_app: MiniCelery) -> None:
    """Three tenants: ten rounds of three, whatever the backlog."""
    desk = Desk(real_app)
    desk.hire("w")
    for start in range(0, 10_000, 500):
        desk.submit(*(f"a{number}" for number in range(start, start + 500)), more=of("a"))
    assert taken(desk, 15) == [f"a{number}" for number in range(15)]  # it has been at it for a while
    flood(desk, b=10, c=10)

    starts = taken(desk, 60)

    assert [task for task in starts if task[0] == "b"] == [f"b{number}" for number in range(1, 11)]
    assert max(starts.index(f"b{number}") for number in range(1, 11)) < 2 * 3 * 10
    assert all(starts.index(f"b{number}") < 3 * number for number in range(1, 11))
    assert desk.app.inspector.queue_length("default") == 10_000 - 15 + 20 - 60


@pytest.mark.parametrize("count", [2, 3, 5, 40])
def test_a_claim_of_several_takes_them_in_the_order_of_single_ones(desk: Desk, count: int) -> None:
    flood(desk, a=7, b=3)
    desk.submit("p", "q")
    flood(desk, c=1, d=5)
    order = ["a1", "b1", "p", "q", "c1", "d1", "a2", "b2", "d2", "a3", "b3", "d3", "a4", "d4", "a5", "d5", "a6", "a7"]

    assert taken(desk, count=count) == order
    desk.lawful()
    assert desk.app.inspector.queue_length("default") == 0


def test_a_claim_of_several_gets_them_although_only_one_is_in_line(desk: Desk) -> None:
    flood(desk, a=50)

    assert [delivery.id for delivery in desk.claim(count=20).deliveries] == [f"a{number}" for number in range(1, 21)]
    desk.lawful()
    assert len(desk.claim(count=20, share=10).deliveries) == 3  # a tenth of what waits


def test_a_repeated_claim_gives_the_same_tasks_again(desk: Desk) -> None:
    flood(desk, a=9)
    claim = Claim("w", 0, 1, "nonce000001", ("default",), 4, budget=9, costs={"add": 1})

    first, second = desk.broker.claim(claim), desk.broker.claim(claim)

    assert {one.id for one in first.deliveries} == {one.id for one in second.deliveries} == {"a1", "a2", "a3", "a4"}
    desk.lawful()


def test_a_batch_ends_at_a_task_that_is_not_short_and_it_stays_in_line(desk: Desk) -> None:
    flood(desk, a=1)
    desk.submit("a2", name="long", more=of("a"))
    flood(desk, b=1)

    assert [one.id for one in desk.claim(count=9).deliveries] == ["a1", "b1"]
    assert desk.where("a2") == ["PENDING", "ready"]
    desk.lawful()


def test_a_higher_priority_goes_first_and_has_turns_of_its_own(desk: Desk) -> None:
    flood(desk, a=2, b=1)
    desk.submit("a8", "a9", more=of("a", priority="9"))
    desk.submit("b9", more=of("b", priority="9"))

    assert taken(desk) == ["a8", "b9", "a9", "a1", "b1", "a2"]
    desk.lawful()


def test_each_queue_has_turns_of_its_own(desk: Desk) -> None:
    flood(desk, a=1)
    desk.submit("z", queue="other", more=of("a"))

    assert desk.where("z") == ["PENDING", "ready"]


def test_with_ageing_what_waits_for_its_turn_grows_older_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    clock = Clock(desk.app)
    desk.hire("w", lease=1e9)
    desk.app.limits.set_queue("default", ageing=9)
    desk.submit("a1", "a2", "a3", more=of("a", priority="0"))
    desk.submit("b1", more=of("b", priority="0"), delay=8)
    clock.go_on(8)
    desk.broker.promote()
    desk.submit("p", more=of("c", priority="9"))
    clock.go_on(2)
    desk.submit("q", "r", more=of("c", priority="9"))

    assert taken(desk) == ["p", "a1", "b1", "a2", "a3", "q", "r"]


@pytest.fixture
def clock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Clock:
    install(monkeypatch)
    clock = Clock(desk.app)
    desk.hire("w", lease=1e9)
    desk.app.limits.set_queue("default", ageing=9)
    return clock


def test_with_ageing_a_tenants_delayed_task_is_as_old_as_its_due_time(desk: Desk, clock: Clock) -> None:
    desk.submit("a1", more=of("a", priority="0"), delay=100)
    clock.go_on(95)
    desk.submit("p", priority=9)
    clock.go_on(5)
    desk.broker.promote()

    assert taken(desk) == ["p", "a1"]


def elders(desk: Desk) -> list[str]:
    """Who counts as older than others that stand before them in the list of priority 0."""
    return [str(task) for task in desk.app.clients.commands.zrange(desk.app.keys.elders("default", 0), 0, -1)]


def _overtake(desk: Desk, clock: Clock) -> None:
    """In line are p, of 8 s, and behind it a2, of 0 s, the last task of its tenant."""
    desk.submit("a1", "a2", more=of("a", priority="0"))
    clock.go_on(8)
    desk.submit("p", priority=0)
    assert desk.take().id == "a1"
    assert elders(desk) == ["a2"]


def test_with_ageing_the_last_of_a_tenant_counts_since_it_came_though_its_room_is_empty(
    desk: Desk, clock: Clock
) -> None:
    _overtake(desk, clock)
    clock.go_on(2)
    desk.submit("q", priority=9)

    assert taken(desk) == ["p", "a2", "q"]
    assert elders(desk) == []


@pytest.mark.parametrize("how", ["cancelled", "expired", "purged", "deleted", "taken", "moved"])
def test_with_ageing_who_has_left_the_line_makes_it_no_older(desk: Desk, clock: Clock, how: str) -> None:
    _overtake(desk, clock)
    commands, keys = desk.app.clients.commands, desk.app.keys
    match how:
        case "cancelled":
            desk.cancel("a2")
        case "expired":
            commands.hset(keys.task("a2"), "expires", "1")
        case "purged":
            desk.app.limits.purge("default")
            desk.submit("p2", priority=0)
        case "deleted":
            commands.delete(keys.task("a2"))
        case _:  # by an older release
            commands.lpop(keys.priority("default", 0))
            commands.hset(keys.task("a2"), "pass", "fair/0/other/a")
            commands.hset(keys.task("a2"), "status", "RUNNING" if how == "taken" else "PENDING")
    clock.go_on(2)
    desk.submit("q", priority=9)

    assert desk.take().id == "q"
    assert elders(desk) == []


def test_a_tenant_that_was_away_comes_into_the_round_at_its_end(desk: Desk) -> None:
    flood(desk, a=3, b=3)
    assert taken(desk, 1) == ["a1"]
    desk.submit("c1", "c2", more=of("c"))

    assert taken(desk) == ["b1", "a2", "c1", "b2", "a3", "c2", "b3"]


def test_every_thread_is_woken_for_a_batch_of_one_tenant(desk: Desk) -> None:
    flood(desk, a=5)

    assert desk.app.clients.commands.llen(desk.app.keys.bell("default")) == 5


@pytest.mark.parametrize("end", ["claimed", "cancelled", "purged", "moved", "lost"])
def test_who_leaves_a_list_leaves_no_note_that_it_was_older_than_others_there(desk: Desk, end: str) -> None:
    commands, keys = desk.app.clients.commands, desk.app.keys
    flood(desk, a=3)
    assert taken(desk, 1) == ["a1"]
    assert commands.zrange(keys.elders("default", 5), 0, -1) == ["a2"]
    match end:
        case "claimed":
            taken(desk)
        case "cancelled":
            desk.broker.cancel(["a2", "a3"])
        case "purged":
            desk.app.limits.purge("default")
        case "moved":
            desk.app.limits.move("default", "other")
        case _:
            commands.delete(keys.task("a2"))
            taken(desk)

    assert commands.keys(f"{keys.prefix}elders*") == []


# ---- whatever becomes of the one in line ------------------------------------------------------------


def test_behind_a_cancelled_one_the_next_of_its_tenant_comes_to_the_tail(desk: Desk) -> None:
    flood(desk, a=3, b=2)

    assert desk.cancel("a1") is Status.CANCELLED

    desk.lawful()
    assert taken(desk) == ["b1", "a2", "b2", "a3"]


def test_one_that_is_cancelled_in_its_room_just_leaves(desk: Desk) -> None:
    flood(desk, a=3)

    assert desk.cancel("a2") is Status.CANCELLED

    assert desk.app.inspector.queue_length("default") == 2
    assert taken(desk) == ["a1", "a3"]
    desk.lawful()


def test_a_whole_tenant_can_be_cancelled_at_once(desk: Desk) -> None:
    flood(desk, a=4, b=1)

    desk.broker.cancel(["a1", "a2", "a3", "a4"])

    desk.lawful()
    assert taken(desk) == ["b1"]
    assert desk.app.clients.commands.keys(f"{desk.app.keys.prefix}*fair/*") == []
    assert desk.app.clients.commands.keys(f"{desk.app.keys.prefix}tenants*") == []


@pytest.mark.parametrize("who", ["upkeep", "claim"])
@pytest.mark.parametrize("count", [1, 5])
def test_behind_an_expired_one_the_next_of_its_tenant_follows(desk: Desk, who: str, count: int) -> None:
    desk.submit("a1", "a2", more=of("a", expires_in="50"))
    desk.submit("a3", "a4", more=of("a"))
    desk.let_expire("a1")
    desk.let_expire("a2")

    if who == "upkeep":
        desk.broker.expire()
        desk.lawful()

    assert taken(desk, count=count) == ["a3", "a4"]
    assert desk.where("a1") == desk.where("a2") == ["EXPIRED"]
    desk.lawful()


def test_a_purge_takes_what_waits_for_its_turn_too(desk: Desk) -> None:
    flood(desk, a=210, b=30)
    desk.submit("z", more=of("a", priority="9"))
    desk.submit("p")

    assert desk.app.limits.purge("default") == 242

    desk.lawful()
    assert desk.app.inspector.queue_length("default") == 0
    assert taken(desk) == []
    assert desk.app.clients.commands.keys(f"{desk.app.keys.prefix}*fair/*") == []


def test_a_queue_is_moved_with_what_waits_for_its_turn_and_in_order(desk: Desk) -> None:
    flood(desk, a=210, b=3)
    desk.submit("b0", queue="other", more=of("b"))

    assert desk.app.limits.move("default", "other") == 213

    desk.lawful()
    assert desk.app.inspector.queue_length("default") == 0
    starts = taken(desk, 999, count=50, queues=("other",))
    assert starts[:7] == ["b0", "a1", "b1", "a2", "b2", "a3", "b3"]
    assert [task for task in starts if task[0] == "a"] == [f"a{number}" for number in range(1, 211)]
    desk.lawful()


@pytest.mark.parametrize("step", ["purge", "move"])
def test_a_step_of_an_operator_is_bounded_and_leaves_the_next_one_in_line(desk: Desk, step: str) -> None:
    flood(desk, a=250)

    if step == "purge":
        assert desk.broker.purge("default", 5) == (200, 1)
    else:
        assert desk.broker.move("default", 5, "other") == (200, 1)

    assert desk.where("a201") == ["PENDING", "ready"]
    desk.lawful()


def test_what_is_given_back_is_the_next_one_whoevers_turn_it_is(desk: Desk) -> None:
    flood(desk, a=3, b=1)
    delivery = desk.take()

    desk.broker.release("w", [(delivery.id, delivery.token)])

    desk.lawful()
    assert taken(desk) == ["a1", "b1", "a2", "a3"]
    desk.lawful()


def test_what_a_lost_worker_had_is_the_next_one(desk: Desk) -> None:
    flood(desk, a=3, b=1)
    desk.take()

    desk.broker.recover("w")
    desk.hire("w", lease=1e6)

    assert taken(desk) == ["a1", "b1", "a2", "a3"]
    desk.lawful()


def test_a_retry_stands_behind_the_others_of_its_tenant(desk: Desk) -> None:
    flood(desk, a=3, b=1)
    desk.settle(desk.take(), Status.RETRYING, '{"type":"E","message":"m","traceback":""}', delay=0)

    desk.broker.promote(early=True)

    assert desk.where("a1") == ["WAITING", "waiting"]
    assert taken(desk) == ["b1", "a2", "a3", "a1"]
    desk.lawful()


def test_a_revived_one_stands_behind_the_others_of_its_tenant(desk: Desk) -> None:
    flood(desk, a=3)
    desk.fail(desk.take())

    desk.app.revive("a1")

    assert taken(desk) == ["a2", "a3", "a1"]
    desk.lawful()


def test_a_delayed_one_waits_for_its_turn_when_it_is_due(desk: Desk) -> None:
    desk.submit("a1", more=of("a"), delay=10)
    assert desk.where("a1") == ["SCHEDULED", "delayed"]
    flood(desk, b=1)
    desk.submit("a2", "a3", more=of("a"))

    desk.broker.promote(early=True)

    assert taken(desk) == ["b1", "a2", "a3", "a1"]


def test_what_has_crashed_its_process_waits_in_quarantine_for_nobodys_turn(desk: Desk) -> None:
    flood(desk, a=2)
    for _ in range(2):
        desk.take()
        desk.broker.recover("w", ["a1"])
        desk.hire("w", lease=1e6)

    assert desk.where("a1") == ["PENDING", "ready"]
    assert taken(desk, quarantine=True) == ["a1"]
    assert taken(desk) == ["a2"]
    desk.lawful()


def test_a_submission_that_is_sent_twice_takes_one_place(desk: Desk) -> None:
    flood(desk, a=2)

    assert desk.submit("a1", "a2", more=of("a")) == [Status.PENDING, Status.WAITING]

    assert taken(desk) == ["a1", "a2"]
    desk.lawful()


def test_an_id_twice_in_one_batch_takes_one_place(desk: Desk) -> None:
    assert desk.submit("a1", "a2", "a2", "a1", more=of("a")) == [
        Status.PENDING,
        Status.WAITING,
        Status.WAITING,
        Status.PENDING,
    ]
    desk.lawful()
    assert taken(desk) == ["a1", "a2"]


def test_a_unique_task_of_a_tenant_is_one_while_it_waits_for_its_turn(desk: Desk) -> None:
    once = of("a", once="finish", once_key="add:x", hold="60000")
    flood(desk, a=1)
    desk.submit("u1", more=once)

    [answer] = desk.submit("u2", more=once)

    assert answer == Accepted("u1", Status.WAITING, duplicate=True, replayed=False)
    assert taken(desk) == ["a1", "u1"]


# ---- together with limits and pauses ----------------------------------------------------------------


def test_a_tenant_whose_task_a_limit_stops_has_its_next_one_in_line_at_once(desk: Desk) -> None:
    desk.submit("a1", "a2", more=limited("a"))
    desk.submit("a3", "a4", more=of("a"))
    flood(desk, b=2)

    assert taken(desk, 3) == ["a1", "b1", "b2"]
    assert desk.where("a2") == ["WAITING", "waiting"]
    assert desk.where("a3") == ["PENDING", "ready"]
    desk.lawful()
    assert taken(desk, count=5) == ["a3", "a4"]


def test_who_a_limit_lets_go_is_the_next_one_and_takes_no_second_turn(desk: Desk) -> None:
    desk.submit("a1", "a2", more=limited("a"))
    first = desk.take()
    assert first.id == "a1"
    assert taken(desk, 1) == []
    flood(desk, b=2)
    desk.submit("a3", more=of("a"))

    desk.settle(first)

    assert taken(desk) == ["a2", "b1", "a3", "b2"]
    desk.lawful()


def test_one_that_goes_to_the_head_and_one_to_the_tail_in_the_same_step_get_there(desk: Desk) -> None:
    own: Any = {"concurrency": 1}
    gates = json.dumps({"gates": task_settings("add", own).limits.gates((), {})})
    desk.submit("x1", "x2", "x3", more=gates)
    delivery = desk.take()
    assert taken(desk, 1) == []
    flood(desk, a=2)
    desk.submit("p", name="plain")
    desk.settle(delivery)
    assert desk.where("x2") == ["PENDING", "ready"]

    desk.broker.cancel(["a1", "x2"])

    desk.lawful()
    assert taken(desk) == ["x3", "p", "a2"]


def test_a_paused_name_stops_its_tasks_and_no_turns(desk: Desk) -> None:
    flood(desk, a=3)
    desk.submit("x1", "x2", name="other", more=of("a"))
    desk.app.limits.pause_task("add")

    assert taken(desk, count=9, costs={"add": 1, "other": 1}, budget=9) == ["x1", "x2"]
    desk.lawful()

    desk.app.limits.resume_task("add")
    desk.broker.admit()
    assert sorted(taken(desk)) == ["a1", "a2", "a3"]
    desk.lawful()


def test_a_paused_queue_and_one_that_is_full_give_nothing(desk: Desk) -> None:
    flood(desk, a=5)
    desk.app.limits.pause_queue("default")
    assert taken(desk, count=5) == []

    desk.app.limits.resume_queue("default")
    desk.app.limits.set_queue("default", concurrency=2)

    assert taken(desk, count=5) == ["a1", "a2"]
    desk.lawful()


# ---- foreign hands ----------------------------------------------------------------------------------


def test_the_next_submission_heals_a_tenant_whose_one_in_line_is_lost(desk: Desk) -> None:
    flood(desk, a=3)
    desk.app.clients.commands.delete(desk.app.keys.task("a1"), desk.app.keys.queue("default"))

    desk.submit("a4", more=of("a"))

    assert taken(desk) == ["a2", "a3", "a4"]
    desk.lawful()


@pytest.mark.parametrize("priority", ["5", "9"])
@pytest.mark.parametrize("count", [1, 9])
def test_a_claim_that_comes_to_a_lost_one_puts_the_next_of_its_tenant_in_line(
    desk: Desk, priority: str, count: int
) -> None:
    desk.submit("a1", "a2", "a3", more=of("a", priority=priority))
    desk.app.clients.commands.delete(desk.app.keys.task("a1"))

    claimed = desk.claim(count=count)

    assert claimed.dropped == ("a1",)
    assert [delivery.id for delivery in claimed.deliveries] + taken(desk) == ["a2", "a3"]
    desk.lawful()


@pytest.mark.parametrize("step", ["purge", "move"])
def test_a_lost_one_in_line_keeps_nobody_from_being_purged_or_moved(desk: Desk, step: str) -> None:
    flood(desk, a=3)
    desk.app.clients.commands.delete(desk.app.keys.task("a1"))

    done = desk.app.limits.purge("default") if step == "purge" else desk.app.limits.move("default", "other")

    assert done == 2
    assert desk.app.inspector.queue_length("default") == 0
    desk.lawful()


def test_the_doctor_finds_a_tenant_without_one_in_line_and_puts_it_right(desk: Desk) -> None:
    flood(desk, a=3)
    desk.app.clients.commands.delete(desk.app.keys.task("a1"), desk.app.keys.queue("default"))
    room = desk.app.keys.waiting(ROOM.format("a"))
    words = f"{room}: holds tasks that wait for their turn, and none of their tenant is in line"
    assert [str(violation) for violation in desk.app.doctor.violations()] == [words]

    done = [str(repair) for repair in desk.app.doctor.repair(0)]

    assert done == [f"{words}: the next one is made ready at the tail of its queue"]
    desk.lawful()
    assert taken(desk) == ["a2", "a3"]


def test_the_doctor_finds_what_is_left_of_a_tenant_and_deletes_it(desk: Desk) -> None:
    flood(desk, a=1, b=2)
    desk.app.clients.commands.delete(desk.app.keys.task("a1"))
    assert desk.claim().dropped == ("a1",)
    room = desk.app.keys.room(ROOM.format("a"))
    words = f"{room}: is left of a tenant that has no task here"
    assert [str(violation) for violation in desk.app.doctor.violations()] == [words]

    assert [str(repair) for repair in desk.app.doctor.repair(0)] == [f"{words}: deleted"]

    assert desk.app.clients.commands.exists(room) == 0
    desk.lawful()


def test_the_doctor_makes_ready_what_waits_in_no_room(desk: Desk) -> None:
    flood(desk, a=2)
    desk.app.clients.commands.delete(desk.app.keys.waiting(ROOM.format("a")))
    assert len(list(desk.app.doctor.violations())) == 1

    list(desk.app.doctor.repair(0))

    desk.lawful()
    assert sorted(taken(desk)) == ["a1", "a2"]


def test_the_doctor_finds_a_task_in_two_rooms(desk: Desk) -> None:
    flood(desk, a=2)
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.zadd(keys.waiting(ROOM.format("b")), {"a2": 1})

    found = [str(violation) for violation in desk.app.doctor.violations()]

    assert f"a2: is WAITING and in waiting and room {ROOM.format('b')}, but belongs in waiting" in found


def test_what_stands_in_a_room_and_does_not_wait_there_holds_nobody_up(desk: Desk) -> None:
    flood(desk, a=3)
    desk.app.clients.commands.zadd(desk.app.keys.waiting(ROOM.format("a")), {"ghost": 0.5})

    assert taken(desk) == ["a1", "a2", "a3"]
    desk.lawful()


@pytest.mark.parametrize("kind", ["waiting", "room", "tenants", "elders"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_key_that_another_program_has_taken_loses_no_task(desk: Desk, kind: str, when: str) -> None:
    commands, keys = desk.app.clients.commands, desk.app.keys
    place = ("default", 5) if kind in ("tenants", "elders") else (ROOM.format("a"),)
    where = getattr(keys, kind)(*place)
    if when == "meanwhile":
        flood(desk, a=3)
    commands.delete(where)
    commands.set(where, "of another program")

    desk.submit("a8", "a9", more=of("a"))
    desk.submit("p")
    found = taken(desk, count=3)
    desk.broker.cancel(["a2"])

    assert commands.get(where) == "of another program"
    assert "p" in found
    commands.delete(where)
    list(desk.app.doctor.repair(0))
    found += taken(desk)
    assert {"a8", "a9", "p"} <= set(found)
    desk.lawful()


def test_a_second_one_in_line_takes_no_second_turn(desk: Desk) -> None:
    """As after another program has deleted what says who is in line."""
    flood(desk, a=2)
    desk.app.clients.commands.hdel(desk.app.keys.room(ROOM.format("a")), "out")
    flood(desk, b=3)
    desk.submit("a3", "a4", "a5", more=of("a"))
    desk.lawful()

    assert taken(desk) == ["a1", "b1", "a2", "b2", "a3", "b3", "a4", "a5"]
    desk.lawful()


# ---- what is shown ----------------------------------------------------------------------------------


def test_the_length_of_a_queue_counts_what_waits_for_its_turn(desk: Desk) -> None:
    flood(desk, a=5)
    desk.submit("a9", "a8", more=of("a", priority="9"))
    desk.submit("p")

    assert desk.app.inspector.queue_length("default") == 8
    taken(desk, 3)
    assert desk.app.inspector.queue_length("default") == 5


def test_why_a_task_waits_for_its_turn_is_told(desk: Desk) -> None:
    flood(desk, a=5, b=1)

    told = desk.app.why("a4")

    assert told.position == 4
    words = "waits for its turn: 4. of a in queue:default, where 2 are in line, of each fair key one"
    assert told.reasons[0] == words
    desk.app.limits.pause_queue("default", by="ops")
    assert "queue default is paused by ops" in desk.app.why("a4").reasons


# ---- what tasks and callers say ---------------------------------------------------------------------


def test_a_tasks_function_says_whose_a_call_is(app: MiniCelery) -> None:
    @app.task(fair_key=lambda tenant, *_: tenant)
    def send(tenant: str | None, number: int) -> None: ...

    results = [send.delay(tenant, number) for tenant, number in itertools.product(("acme", None), (1, 2))]

    assert [app.inspector.task(result.id).fair_key for result in results] == ["acme", "acme", None, None]
    assert [result.status for result in results] == ["PENDING", "WAITING", "PENDING", "PENDING"]
    for result in results:
        result.cancel()


def test_a_call_says_whose_it_is_instead_of_its_task(app: MiniCelery) -> None:
    @app.task(fair_key=lambda tenant: tenant)
    def send(tenant: str) -> None: ...

    results = [send.apply_async(("acme",), fair_key=key) for key in ("other", "Other & Sons", None)]
    keys = [app.inspector.task(result.id).fair_key for result in results]

    assert keys[0] == "other"
    assert keys[1] is not None
    assert keys[1].startswith("#")
    assert len(keys[1]) == 33
    assert keys[2] == "acme"
    for result in results:
        result.cancel()


@pytest.mark.parametrize("key", ["", 7, "x" * 1001, ["a"]])
def test_a_key_that_is_none_is_refused(app: MiniCelery, key: Any) -> None:
    @app.task
    def send() -> None: ...

    with pytest.raises(InvalidInput, match="a key is a string of 1 to 1000 characters") as refused:
        send.apply_async(fair_key=key)

    assert refused.value.pointer == "/fair_key"


def test_a_key_function_that_fails_is_told_with_its_reason(app: MiniCelery) -> None:
    @app.task(fair_key=lambda: 1 / 0)
    def send() -> None: ...

    with pytest.raises(InvalidInput, match="it raised ZeroDivisionError") as refused:
        send.delay()

    assert refused.value.pointer == "/fair_key"


def test_what_schedules_fire_takes_turns_too(app: MiniCelery, desk: Desk) -> None:
    @app.task(name="report", fair_key=lambda tenant: tenant)
    def report(tenant: str) -> None: ...

    schedule = app.schedules.add("nightly", report.s("acme"), every=3600)
    first, second = app.schedules.run_now(schedule.schedule.name), app.schedules.run_now(schedule.schedule.name)

    assert [first.status, second.status] == ["PENDING", "WAITING"]
    assert app.inspector.task(second.id).fair_key == "acme"
    desk.lawful()


# ---- in random order, against a model ---------------------------------------------------------------


class Line:
    """What a queue should give: those in line from the head on, each with its tenant if it has its turn to come."""

    def __init__(self) -> None:
        self.line: list[tuple[str, str]] = []
        self.rooms: dict[str, list[str]] = {}

    def come(self, task: str, tenant: str) -> None:
        if tenant and tenant in {whose for _, whose in self.line}:
            self.rooms.setdefault(tenant, []).append(task)
        else:
            self.line.append((task, tenant))

    def leave(self, task: str) -> None:
        for waiting in self.rooms.values():
            if task in waiting:
                waiting.remove(task)
                return
        [tenant] = [whose for one, whose in self.line if one == task]
        self.line.remove((task, tenant))
        if tenant and self.rooms.get(tenant):
            self.line.append((self.rooms[tenant].pop(0), tenant))

    def take(self, count: int) -> list[str]:
        found: list[str] = []
        while self.line and len(found) < count:
            found.append(self.line[0][0])
            self.leave(found[-1])
        return found


@pytest.mark.parametrize("seed", range(8))
def test_a_queue_gives_what_turns_say_whatever_comes_and_goes(real_app: MiniCelery, seed: int) -> None:
    desk, dice, line = Desk(real_app), random.Random(seed), Line()
    desk.hire("w")
    held: dict[str, Delivery] = {}
    tenants: dict[str, str] = {}
    for _ in range(150):
        match dice.choice(("submit", "submit", "claim", "claim", "cancel", "release", "retry", "end")):
            case "submit":
                for _ in range(dice.randint(1, 4)):
                    task, tenant = f"t{len(tenants)}", dice.choice(("", "a", "a", "a", "b", "c"))
                    tenants[task] = tenant
                    desk.submit(task, more=of(tenant) if tenant else "")
                    line.come(task, tenant)
            case "claim":
                count = dice.choice((1, 1, 3, 10))
                deliveries = desk.claim(count=count).deliveries
                assert [delivery.id for delivery in deliveries] == line.take(count)
                held |= {delivery.id: delivery for delivery in deliveries}
            case "cancel" if waiting := [one for one, _ in line.line] + [*itertools.chain(*line.rooms.values())]:
                line.leave(gone := dice.choice(waiting))
                desk.cancel(gone)
            case "release" if held:
                task, delivery = held.popitem()
                desk.broker.release("w", [(task, delivery.token)])
                line.line.insert(0, (task, ""))
            case "retry" if held:
                task, delivery = held.popitem()
                desk.settle(delivery, Status.RETRYING, '{"type":"E","message":"m","traceback":""}')
                desk.broker.promote(early=True)
                line.come(task, tenants[task])
            case "end" if held:
                desk.settle(held.popitem()[1])
        assert real_app.inspector.queue_length("default") == len(line.line) + sum(map(len, line.rooms.values()))
    desk.lawful()
    assert taken(desk, count=9) == line.take(999)


@pytest.mark.parametrize("seed", range(2))
def test_with_ageing_lists_with_turns_come_by_the_oldest_in_line(desk: Desk, clock: Clock, seed: int) -> None:
    dice, lines, came = random.Random(seed), {0: Line(), 9: Line()}, dict[str, float]()
    whose: dict[str, tuple[int, str]] = {}
    held: dict[str, Delivery] = {}

    def come(task: str) -> None:
        came[task] = clock.now
        lines[whose[task][0]].come(task, whose[task][1])

    def age(priority: int) -> float:
        """Of an ageing of 9 s, by the clock: the earliest comes first, and of two alike the higher priority."""
        return min((came[task] for task, _ in lines[priority].line), default=1e99) - priority - priority * 1e-6

    for _ in range(120):
        clock.go_on(dice.choice((0.0, 0.5, 1.0, 3.0)))
        match dice.choice(("submit", "submit", "claim", "claim", "cancel", "release", "retry")):
            case "submit":
                task = f"t{len(whose)}"
                whose[task] = dice.choice((0, 0, 9)), dice.choice(("", "a", "a", "a", "b", "c"))
                desk.submit(task, more=of(whose[task][1], priority=str(whose[task][0])))
                come(task)
            case "claim":
                expected = lines[min(lines, key=age)].take(1)
                deliveries = desk.claim().deliveries
                assert [delivery.id for delivery in deliveries] == expected
                held |= {delivery.id: delivery for delivery in deliveries}
            case "cancel" if waiting := [task for line in lines.values() for task, _ in line.line]:
                lines[whose[gone := dice.choice(waiting)][0]].leave(gone)
                desk.cancel(gone)
            case "release" if held:
                task, delivery = held.popitem()
                desk.broker.release("w", [(task, delivery.token)])
                lines[whose[task][0]].line.insert(0, (task, ""))
            case "retry" if held:
                task, delivery = held.popitem()
                desk.settle(delivery, Status.RETRYING, '{"type":"E","message":"m","traceback":""}')
                desk.broker.promote(early=True)
                come(task)
        assert set(elders(desk)) <= {task for task, _ in lines[0].line}
    desk.lawful()
