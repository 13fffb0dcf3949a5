"""Which task comes next: within a queue by priority, between queues in their order, among equals who came first."""

import pytest

from minicelery.errors import ForeignData
from minicelery.handover import Claim
from minicelery.states import Status
from tests.store.conftest import SHORT, Desk


def _taken(desk: Desk, count: int = 10, **how: object) -> list[str]:
    return [delivery.id for delivery in desk.claim(count=count, **how).deliveries]


def _named(desk: Desk, queue: str = "default") -> list[str]:
    """The priorities that a queue names."""
    return list(desk.app.clients.commands.zrange(desk.app.keys.priorities(queue), 0, -1))


def test_the_higher_priority_comes_first_and_among_equals_who_came_first(desk: Desk) -> None:
    desk.hire("w")
    for task, priority in (("a", 0), ("b", 9), ("c", 5), ("d", 9), ("e", 5), ("f", 3), ("g", 6)):
        desk.submit(task, priority=priority)

    assert [desk.take().id for _ in range(7)] == ["b", "d", "g", "c", "e", "f", "a"]
    desk.lawful()


def test_a_queue_in_front_is_emptied_of_all_priorities_before_the_next_is_served(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("first", queue="low", priority=9)
    desk.submit("last", queue="high", priority=0)

    assert _taken(desk, 1, queues=("high", "low")) == ["last"]
    assert _taken(desk, 1, queues=("high", "low")) == ["first"]


def test_a_claim_of_several_goes_on_with_a_lower_priority_when_nothing_is_left_above_it(desk: Desk) -> None:
    desk.hire("w")
    for task, priority in (("a", 9), ("b", 5), ("c", 0)):
        desk.submit(task, priority=priority)
    desk.submit("d", queue="low")

    assert _taken(desk, queues=("default", "low")) == ["a", "b", "c", "d"]


def test_a_share_of_what_waits_ends_the_claim_while_more_of_the_same_priority_waits(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b", "c", "d", priority=9)
    desk.submit("e")

    assert _taken(desk, share=2) == ["a", "b"]


def test_a_long_task_ends_the_claim_in_front_of_what_has_a_lower_priority(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("long", name="long", priority=3)
    desk.submit("above", priority=9)
    desk.submit("below", priority=0)

    assert _taken(desk) == ["above"]
    assert _taken(desk) == ["long"]


def test_a_queue_names_the_priorities_that_wait_in_it_and_no_others(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("normal", priority=5)
    unnamed = _named(desk)
    desk.submit("high", priority=9)
    desk.submit("low", priority=2)
    named = _named(desk)

    _taken(desk, 2)

    assert (unnamed, named, _named(desk)) == ([], ["2", "9"], ["2"])
    _taken(desk)
    assert desk.app.inspector.queues() == []


def test_the_length_of_a_queue_is_that_of_all_its_lists(desk: Desk) -> None:
    desk.submit("a", "b", priority=9)
    desk.submit("c")
    desk.submit("d", queue="mail", priority=0)

    assert (desk.app.inspector.queue_length("default"), desk.app.inspector.queue_length("mail")) == (3, 1)
    assert desk.app.inspector.queues() == ["default", "mail"]


@pytest.mark.parametrize("way", ["release", "recover", "retry", "delay", "revive"])
def test_a_task_keeps_its_priority_whatever_way_it_goes(desk: Desk, way: str) -> None:
    desk.hire("w", "v")
    desk.submit("t", priority=9, delay=60 if way == "delay" else None)
    delivery = None if way == "delay" else desk.take()
    if delivery and way == "release":
        desk.broker.release("w", [(delivery.id, delivery.token)])
    elif delivery and way == "retry":
        desk.settle(delivery, Status.RETRYING, "{}")
    elif delivery and way == "revive":
        desk.fail(delivery)
        desk.broker.revive(["t"], "request")
    elif delivery:
        desk.broker.recover("w", ["t"])
    desk.broker.promote(early=True)
    desk.submit("u")

    assert desk.where("t") == ["PENDING", "ready"]
    assert _named(desk) == ["9"]
    desk.lawful()
    assert desk.take("v").id == "t"


def test_what_was_in_quarantine_has_its_priority_again_once_it_is_revived(desk: Desk) -> None:
    desk.submit("t", priority=9)
    for crash in range(5):
        desk.hire("w")
        [delivery] = desk.claim(quarantine=crash > 1).deliveries
        desk.broker.recover("w", [delivery.id])
    assert desk.where("t") == ["FAILED", "dead"]

    desk.broker.revive(["t"], "request")

    desk.submit("u")
    desk.hire("w")
    desk.lawful()
    assert desk.take().id == "t"


def test_what_is_given_back_is_the_next_one_of_its_priority(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b", priority=2)
    desk.submit("c", priority=1)
    delivery = desk.take()

    desk.broker.release("w", [(delivery.id, delivery.token)])

    assert _taken(desk) == ["a", "b", "c"]


def test_a_task_of_any_priority_rings(desk: Desk) -> None:
    desk.submit("t", priority=0)

    assert desk.app.clients.commands.llen(desk.app.keys.bell("default")) == 1


def test_a_thread_that_was_woken_and_leaves_a_lower_priority_behind_rings_for_the_next(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", name="long", priority=9)
    desk.submit("b", priority=0)
    desk.app.clients.commands.delete(desk.app.keys.bell("default"))

    desk.broker.claim(Claim("w", 0, 1, "n1", ("default",), woken=True, costs=SHORT))

    assert desk.app.clients.commands.llen(desk.app.keys.bell("default")) == 1


def test_foreign_names_among_the_priorities_hide_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("low", priority=0)
    desk.submit("normal")
    desk.submit("high", priority=9)
    junk = {"x": 7, "12": 12, "5": 5, "": 1, "-1": -1, "4.5": 4.5}
    desk.app.clients.commands.zadd(desk.app.keys.priorities("default"), junk)

    assert _taken(desk) == ["high", "normal", "low"]
    assert not _named(desk) or set(_named(desk)) == set(junk)


def test_an_overwritten_list_of_priorities_refuses_those_that_need_it_and_no_others(desk: Desk) -> None:
    desk.hire("w")
    desk.app.clients.commands.set(desk.app.keys.priorities("default"), "another program's")

    with pytest.raises(ForeignData, match="priorities:default"):
        desk.submit("t", priority=9)
    desk.submit("u")

    assert desk.where("t") == [""]
    assert _taken(desk) == ["u"]


@pytest.mark.parametrize("lane", ["5", "10", "x", ""])
def test_a_lane_that_no_task_of_ours_has_is_told_by_the_doctor(desk: Desk, lane: str) -> None:
    desk.submit("t", priority=9)
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "lane", lane)

    [found] = desk.app.doctor.violations()

    assert "its lane is missing or wrong" in str(found)


def test_a_list_that_no_claim_looks_into_is_found_and_named_by_the_doctor(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", priority=7)
    desk.app.clients.commands.delete(desk.app.keys.priorities("default"))
    assert _taken(desk) == []

    [found] = desk.app.doctor.violations()
    [repair] = desk.app.doctor.repair(pause=0)

    assert "no claim looks into it" in str(found)
    assert repair.done == "named among the priorities of its queue"
    desk.lawful()
    assert _taken(desk) == ["t"]


def test_the_same_claim_again_gives_the_same_tasks_of_all_priorities(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", priority=9)
    desk.submit("b")
    claim = Claim("w", 0, 1, "n1", ("default",), count=9, budget=9, costs=SHORT)

    first, again = desk.broker.claim(claim), desk.broker.claim(claim)

    assert {one.token for one in first.deliveries} == {one.token for one in again.deliveries} == {"1.n1"}
    assert len(again.deliveries) == 2
