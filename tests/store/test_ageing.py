"""Ageing: with the time that it waits a task of low priority gets in front of what has come later."""

import itertools
import random
from collections.abc import Callable

import pytest

from minicelery import MiniCelery
from minicelery.errors import ForeignData
from minicelery.handover import Claim, Settlement
from minicelery.states import Status
from tests.store.clock import Clock
from tests.store.conftest import SHORT, Desk
from tests.store.test_gates import more

AGEING = 90.0  # ten seconds for each step of priority
FAILURE = '{"type":"E","message":"m","traceback":""}'


@pytest.fixture
def desk(app: MiniCelery, clock: Clock) -> Desk:
    """A desk whose queue has ageing."""
    desk = Desk(app)
    desk.hire("w", lease=1e9)
    desk.app.limits.set_queue("default", ageing=AGEING)
    return desk


def taken(desk: Desk, count: int = 10, **how: object) -> list[str]:
    return [delivery.id for delivery in desk.claim(count=count, **how).deliveries]


def one_by_one(desk: Desk, count: int) -> list[str]:
    return [desk.take().id for _ in range(count)]


def bell(desk: Desk) -> int:
    return int(desk.app.clients.commands.llen(desk.app.keys.bell("default")))


# ---- the order ----------------------------------------------------------------------------------


def test_without_ageing_the_lowest_priority_waits_for_as_long_as_others_come(desk: Desk, clock: Clock) -> None:
    desk.app.limits.clear_queue("default")
    desk.submit("low", priority=0)
    clock.go_on(1e6)
    desk.submit("high", priority=9)

    assert one_by_one(desk, 2) == ["high", "low"]


def test_with_ageing_nothing_passes_the_lowest_priority_that_comes_later_than_the_bound(
    desk: Desk, clock: Clock
) -> None:
    desk.submit("low", priority=0)
    clock.go_on(AGEING - 0.001)
    desk.submit("in-time", priority=9)
    clock.go_on(0.002)
    desk.submit("too-late", priority=9)

    assert one_by_one(desk, 3) == ["in-time", "low", "too-late"]
    desk.lawful()


def test_among_tasks_that_came_at_about_the_same_time_the_higher_priority_comes_first(desk: Desk, clock: Clock) -> None:
    for task, priority in (("a", 0), ("b", 5), ("c", 9), ("d", 9), ("e", 3), ("f", 5)):
        desk.submit(task, priority=priority)
        clock.go_on(1)

    assert one_by_one(desk, 6) == ["c", "d", "b", "f", "e", "a"]


def test_each_step_of_priority_is_worth_a_ninth_of_the_time(desk: Desk, clock: Clock) -> None:
    desk.submit("normal")
    clock.go_on(9.9)
    desk.submit("sooner", priority=6)
    clock.go_on(0.2)
    desk.submit("later", priority=6)

    assert one_by_one(desk, 3) == ["sooner", "normal", "later"]


def test_of_tasks_that_count_the_same_the_higher_priority_comes_first(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    clock.go_on(AGEING)
    desk.submit("high", priority=9)

    assert one_by_one(desk, 2) == ["high", "low"]


def test_ageing_is_that_of_one_queue(desk: Desk, clock: Clock) -> None:
    desk.submit("low", queue="strict", priority=0)
    clock.go_on(1e6)
    desk.submit("high", queue="strict", priority=9)

    assert taken(desk, 1, queues=("strict",)) == ["high"]


def test_the_queue_in_front_is_emptied_first_however_old_the_other_ones_tasks_are(desk: Desk, clock: Clock) -> None:
    desk.submit("old", priority=9)
    clock.go_on(1e6)
    desk.submit("new", queue="front", priority=0)

    assert taken(desk, 2, queues=("front", "default")) == ["new", "old"]


# ---- whole claims -------------------------------------------------------------------------------


def test_a_claim_of_several_takes_from_the_list_in_front_until_that_is_empty(desk: Desk, clock: Clock) -> None:
    desk.submit("low-1", priority=0)
    clock.go_on(AGEING + 1)
    desk.submit("low-2", priority=0)
    desk.submit("high", priority=9)

    assert taken(desk, 2) == ["low-1", "low-2"]
    assert taken(desk) == ["high"]


def test_a_claim_that_empties_one_list_goes_on_with_the_next_oldest(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    clock.go_on(AGEING + 1)
    desk.submit("high", priority=9)
    desk.submit("normal")
    desk.submit("other", queue="other")

    assert taken(desk, queues=("default", "other")) == ["low", "high", "normal", "other"]
    assert desk.app.clients.commands.exists(desk.app.keys.priorities("default")) == 0
    assert bell(desk) == 0, "the last list of the queue was looked into, whichever it was"
    desk.lawful()


def test_what_is_left_in_the_list_in_front_ends_the_claim(desk: Desk, clock: Clock) -> None:
    desk.submit("low-1", "low-2", priority=0)
    clock.go_on(AGEING + 1)
    desk.submit("high", priority=9)

    assert taken(desk, share=2) == ["low-1"]
    assert bell(desk) > 0


def test_who_was_woken_and_leaves_a_younger_list_behind_rings_for_the_next(desk: Desk, clock: Clock) -> None:
    desk.submit("low", name="long", priority=0)
    clock.go_on(AGEING + 1)
    desk.submit("high", priority=9)
    desk.app.clients.commands.delete(desk.app.keys.bell("default"))

    claimed = desk.broker.claim(Claim("w", 0, 1, "n1", ("default",), woken=True, costs=SHORT))

    assert [delivery.id for delivery in claimed.deliveries] == ["low"]
    assert bell(desk) == 1


def test_the_same_claim_again_gives_the_same_task(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    clock.go_on(AGEING + 1)
    desk.submit("high", priority=9)
    claim = Claim("w", 0, 1, "n1", ("default",))

    assert [[one.id for one in desk.broker.claim(claim).deliveries] for _ in range(2)] == [["low"]] * 2


# ---- with limits, pauses and what is given back ----------------------------------------------------


def test_the_number_of_runs_of_a_queue_holds_for_its_lists_in_the_order_of_age(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_queue("default", concurrency=2)
    desk.submit("low", priority=0)
    clock.go_on(AGEING + 1)
    desk.submit("high-1", "high-2", priority=9)

    first = desk.claim(count=10).deliveries

    assert [one.id for one in first] == ["low", "high-1"]
    desk.settle(first[0])
    assert taken(desk) == ["high-2"]


def test_a_paused_queue_gives_nothing_and_keeps_its_order(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    desk.app.limits.pause_queue("default")
    clock.go_on(AGEING + 1)
    desk.submit("high", priority=9)
    assert taken(desk) == []

    desk.app.limits.resume_queue("default")

    assert one_by_one(desk, 2) == ["low", "high"]
    desk.lawful()


def _give_back(desk: Desk, how: str) -> None:
    delivery = desk.take()
    assert delivery.id == "low-1"
    if how == "release":
        desk.broker.release("w", [(delivery.id, delivery.token)])
    else:
        desk.broker.recover("w", [delivery.id])
        desk.hire("w", lease=1e9)


@pytest.mark.parametrize("how", ["release", "recover"])
def test_what_is_given_back_has_not_to_wait_anew_nor_has_what_is_behind_it(desk: Desk, clock: Clock, how: str) -> None:
    desk.submit("low-1", "low-2", priority=0)
    clock.go_on(AGEING + 1)
    _give_back(desk, how)
    desk.submit("high", priority=9)

    assert one_by_one(desk, 3) == ["low-1", "low-2", "high"]


def test_what_comes_to_be_retried_waits_anew(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    delivery = desk.take()
    clock.go_on(AGEING + 1)
    desk.settle(delivery, Status.RETRYING, FAILURE, delay=100)
    desk.broker.promote(early=True)
    desk.submit("high", priority=9)

    assert one_by_one(desk, 2) == ["high", "low"]


def _make_ready_late(desk: Desk, clock: Clock, how: str) -> None:
    """A task of priority 0 that was made a day ago, and comes to be ready now."""
    desk.submit("low", priority=0, **({"delay": 86_400.0} if how == "due" else {}))
    if how == "retried":
        desk.settle(desk.take(), Status.RETRYING, FAILURE, delay=86_400)
    if how == "revived":
        desk.fail(desk.take())
    clock.go_on(86_400)
    if how in ("due", "retried"):
        desk.broker.promote()
    elif how == "revived":
        desk.app.revive("low")
    else:
        desk.app.limits.move("default", "aside")
        desk.app.limits.move("aside", "default")


@pytest.mark.parametrize("how", ["due", "retried", "revived", "moved"])
@pytest.mark.parametrize("given_back", [False, True])
def test_what_comes_to_be_ready_late_counts_from_then_also_when_it_is_given_back(
    desk: Desk, clock: Clock, how: str, given_back: bool
) -> None:
    _make_ready_late(desk, clock, how)
    if given_back:
        delivery = desk.take()
        desk.broker.release("w", [(delivery.id, delivery.token)])
    clock.go_on(AGEING - 1)
    desk.submit("in-time", priority=9)
    clock.go_on(2)
    desk.submit("too-late", priority=9)

    assert one_by_one(desk, 3) == ["in-time", "low", "too-late"]


def test_what_a_limit_lets_go_counts_from_when_it_was_due(desk: Desk, clock: Clock) -> None:
    limited = more(concurrency=1)[:-1] + ',"priority":"0"}'
    desk.submit("a", more=limited)
    first = desk.take()
    desk.submit("b", more=limited, delay=86_400)
    clock.go_on(86_400)
    desk.broker.promote()
    assert taken(desk) == []
    desk.submit("high", priority=9)
    desk.settle(first)

    assert one_by_one(desk, 2) == ["high", "b"]


def test_what_a_worker_passes_on_as_it_does_not_know_its_name_waits_no_time_anew(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    clock.go_on(AGEING + 1)
    delivery = desk.take()
    desk.broker.beat({"other": '{"queues":["default"],"tasks":["add"]}'}, 60)
    assert desk.broker.pass_on("w", delivery.id, delivery.token, FAILURE) is Status.SCHEDULED
    desk.broker.promote(early=True)
    desk.submit("high", priority=9)

    assert one_by_one(desk, 2) == ["low", "high"]


def test_what_a_limit_had_stopped_keeps_back_nobody_behind_it(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more(concurrency=1)[:-1] + ',"priority":"0"}')
    desk.submit("low", priority=0)
    first = desk.take()
    assert taken(desk, 1) == ["low"]
    desk.submit("behind", priority=0)
    clock.go_on(AGEING + 1)
    desk.settle(first)
    desk.submit("high", priority=9)
    assert desk.where("b") == ["PENDING", "ready"]

    assert one_by_one(desk, 3) == ["b", "behind", "high"]
    desk.lawful()


def test_what_waits_in_quarantine_is_taken_from_there(desk: Desk, clock: Clock) -> None:
    desk.submit("t", priority=0)
    for _ in range(2):
        [delivery] = desk.claim().deliveries
        desk.broker.recover("w", [delivery.id])
        desk.hire("w", lease=1e9)

    assert taken(desk) == []
    assert taken(desk, quarantine=True) == ["t"]


# ---- what another program does, and what is over -----------------------------------------------------


@pytest.mark.parametrize("junk", ["unknown", "cancelled", "expired", "no task"])
def test_what_is_no_waiting_task_brings_its_list_no_nearer(
    desk: Desk, clock: Clock, long_lists: None, junk: str
) -> None:
    old = [f"old-{number}" for number in range(5)]
    if junk in ("cancelled", "expired"):
        desk.submit(*old, priority=0, **({"expires": 1.0} if junk == "expired" else {}))
    clock.go_on(AGEING + 1)
    desk.submit("low", priority=0)
    desk.submit("high", priority=9)
    commands, low = desk.app.clients.commands, desk.app.keys.priority("default", 0)
    if junk == "cancelled":
        desk.broker.cancel(old)
        assert commands.llen(low) == 6, "the list is too long to take them out"
    if junk in ("unknown", "no task"):
        commands.rpush(low, *old)
    if junk == "no task":
        commands.hset(desk.app.keys.task(old[-1]), mapping={"status": "PENDING", "updated_at": "nan"})

    assert one_by_one(desk, 2) == ["high", "low"]


def test_a_list_of_nothing_else_is_cleared_and_keeps_nobody_back(desk: Desk, clock: Clock) -> None:
    desk.submit("low", priority=0)
    desk.submit("high", priority=9)
    desk.app.clients.commands.rpush(desk.app.keys.priority("default", 0), *(f"x{number}" for number in range(110)))

    first = desk.claim()

    assert (first.deliveries, len(first.dropped)) == ((), 100)
    assert one_by_one(desk, 2) == ["high", "low"]


def test_a_list_that_is_named_and_empty_is_forgotten(desk: Desk) -> None:
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.zadd(keys.priorities("default"), {"3": 3})
    desk.submit("high", priority=9)

    assert taken(desk) == ["high"]
    assert commands.exists(keys.priorities("default")) == 0


def test_a_list_that_another_program_has_overwritten_keeps_back_nothing_that_can_be_taken(desk: Desk) -> None:
    commands, keys = desk.app.clients.commands, desk.app.keys
    desk.submit("high", priority=9)
    desk.submit("low", priority=0)
    commands.delete(keys.queue("default"))
    commands.set(keys.queue("default"), "another program's")

    assert one_by_one(desk, 2) == ["high", "low"]
    with pytest.raises(ForeignData):
        desk.claim()


@pytest.mark.parametrize("value", ["", "x", "nan", "-1", "0", "1e99", "inf"])
def test_an_ageing_that_is_none_is_none(desk: Desk, clock: Clock, value: str) -> None:
    desk.app.clients.commands.hset(desk.app.keys.controls, "ageing/default", value)
    desk.submit("low", priority=0)
    clock.go_on(1e6)
    desk.submit("high", priority=9)

    assert one_by_one(desk, 2) == ["high", "low"]


# ---- in random order, beside a model of it -----------------------------------------------------------


class Line:
    """What waits, as it should: for each priority the tasks in order, with the time since when each counts."""

    def __init__(self) -> None:
        self.lists: dict[int, list[tuple[str, float]]] = {priority: [] for priority in range(10)}
        self.came: dict[str, tuple[float, int]] = {}
        self.given_back: set[str] = set()

    def put(self, task: str, priority: int, now: float) -> None:
        self.came[task] = (now, priority)
        self.lists[priority].append((task, now))

    def put_back(self, task: str) -> None:
        came, priority = self.came[task]
        self.lists[priority].insert(0, (task, came))
        self.given_back.add(task)

    def take(self, count: int) -> list[str]:
        """What a claim of so many takes: from the list in front, and from the next one where that is empty then."""
        counts = sorted((some[0][1] - one * AGEING / 9, -one) for one, some in self.lists.items() if some)
        taken: list[str] = []
        for _, minus in counts:
            some = self.lists[-minus]
            while some and len(taken) < count:
                taken.append(some.pop(0)[0])
        return taken

    def waiting(self) -> list[str]:
        return [task for some in self.lists.values() for task, _ in some]

    def nobody_has_waited_too_long_for(self, task: str) -> None:
        """Nothing passes what came so much earlier that no priority makes up for it; but for what has had its turn."""
        came, priority = self.came[task]
        for other in () if task in self.given_back else set(self.waiting()) - self.given_back:
            others_came, others_priority = self.came[other]
            assert came - others_came <= (priority - others_priority) * AGEING / 9 + 1e-6, (task, other)


@pytest.mark.parametrize("seed", range(3))
def test_tasks_come_in_the_order_of_a_model_and_none_waits_beyond_its_bound(
    desk: Desk, clock: Clock, seed: int
) -> None:
    pick, line, numbers = random.Random(seed), Line(), itertools.count(1)
    held: dict[str, str] = {}

    def submit() -> None:
        task, priority = f"t{next(numbers)}", pick.choice([0, 0, 3, 5, 5, 8, 9, 9])
        desk.submit(task, priority=priority)
        line.put(task, priority, clock.now)

    def claim() -> None:
        count = pick.choice([1, 1, 1, 2, 5])
        deliveries = desk.claim(count=count).deliveries
        expected = line.take(count)
        assert [one.id for one in deliveries] == expected
        if count == 1 and expected:
            line.nobody_has_waited_too_long_for(expected[0])
        held.update({one.id: one.token for one in deliveries})

    def give_back() -> None:
        if held:
            task = pick.choice(sorted(held))
            desk.broker.release("w", [(task, held.pop(task))])
            line.put_back(task)

    def end() -> None:
        for task, token in held.items():
            desk.broker.settle("w", [Settlement(task, token, Status.SUCCESS, "1")])
        held.clear()

    def go_on() -> None:
        clock.go_on(pick.choice([0.001, 1.0, 10.0, 47.3]))

    steps: list[Callable[[], None]] = [
        submit,
        submit,
        submit,
        submit,
        claim,
        claim,
        claim,
        give_back,
        go_on,
        go_on,
        end,
    ]
    for _ in range(250):
        pick.choice(steps)()
    while line.waiting():
        claim()
    desk.lawful()
