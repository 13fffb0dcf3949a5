"""How many tasks a claim takes: the next one in any case, and behind it only what is short and others can spare."""

from collections.abc import Callable

import pytest

from minicelery import MiniCelery
from minicelery.handover import Claim, Settlement
from minicelery.states import Status
from tests.stack import wait_until
from tests.store.conftest import Desk

LONG, SHORT = "long", "add"
Taken = Callable[..., list[str]]


@pytest.fixture
def taken(desk: Desk) -> Taken:
    """Claims for a registered worker; the ids that it got."""
    desk.hire("w")

    def claim(count: int = 10, **more: object) -> list[str]:
        return [delivery.id for delivery in desk.claim(count=count, **more).deliveries]

    return claim


def test_a_claim_without_costs_takes_one_task(desk: Desk, taken: Taken) -> None:
    desk.submit("a", "b")

    assert taken(costs={}) == ["a"]


def test_a_claim_takes_no_more_than_its_count(desk: Desk, taken: Taken) -> None:
    desk.submit("a", "b", "c")

    assert taken(2, budget=1000) == ["a", "b"]


@pytest.mark.parametrize(("budget", "expected"), [(29, ["a", "b"]), (30, ["a", "b", "c"])])
def test_what_is_taken_together_fits_into_the_budget(
    desk: Desk, taken: Taken, budget: int, expected: list[str]
) -> None:
    desk.submit("a", "b", "c", "d")

    assert taken(budget=budget, costs={SHORT: 10}) == expected


def test_the_next_task_is_taken_alone_even_if_it_is_longer_than_the_budget(desk: Desk, taken: Taken) -> None:
    desk.submit("a", "b")

    assert taken(budget=5, costs={SHORT: 10}) == ["a"]


def test_a_task_that_costs_nothing_is_still_not_taken_behind_one_that_is_too_long(desk: Desk, taken: Taken) -> None:
    desk.submit("a")
    desk.submit("b", name="free")

    assert taken(budget=5, costs={SHORT: 10, "free": 0}) == ["a"]


def test_behind_a_task_of_unknown_length_nothing_is_taken(desk: Desk, taken: Taken) -> None:
    desk.submit("a", name=LONG)
    desk.submit("b")

    assert taken() == ["a"]
    assert taken() == ["b"]


def test_a_task_of_unknown_length_ends_the_batch_and_is_the_next_one(desk: Desk, taken: Taken) -> None:
    desk.submit("a")
    desk.submit("b", name=LONG)
    desk.submit("c")

    assert taken() == ["a"]
    assert desk.where("b") == ["PENDING", "ready"]
    assert taken() == ["b"]
    assert taken() == ["c"]
    desk.lawful()


@pytest.mark.parametrize("woken", [False, True])
def test_a_task_that_ends_the_batch_ends_it_for_all_queues(desk: Desk, taken: Taken, woken: bool) -> None:
    """Who was woken looks at the other queues all the same, as it passes the ring on."""
    desk.submit("a", queue="high")
    desk.submit("b", queue="high", name=LONG)
    desk.submit("c", queue="low")

    assert taken(queues=("high", "low"), woken=woken) == ["a"]
    assert desk.where("c") == ["PENDING", "ready"]


def test_who_was_woken_rings_for_what_it_leaves_in_a_queue_that_it_did_not_get_to(desk: Desk, taken: Taken) -> None:
    desk.submit("a", queue="high", name=LONG)
    desk.submit("b", queue="low")
    bell = desk.app.keys.bell("low")
    desk.app.clients.commands.delete(bell)

    assert taken(queues=("high", "low"), woken=True) == ["a"]
    assert desk.app.clients.commands.llen(bell) == 1


def test_a_batch_goes_on_in_the_next_queue(desk: Desk, taken: Taken) -> None:
    desk.submit("c", "d", queue="low")
    desk.submit("a", "b", queue="high")

    assert taken(3, queues=("high", "low")) == ["a", "b", "c"]


@pytest.mark.parametrize(("share", "expected"), [(1, 5), (2, 3), (4, 2), (5, 1), (100, 1)])
def test_a_claim_leaves_the_other_threads_their_share(desk: Desk, taken: Taken, share: int, expected: int) -> None:
    desk.submit(*"abcde")

    assert taken(share=share) == list("abcde")[:expected]


def test_the_share_is_of_each_queue(desk: Desk, taken: Taken) -> None:
    desk.submit(*"abcd", queue="high")
    desk.submit(*"ef", queue="low")

    assert taken(share=2, queues=("high", "low")) == ["a", "b"]


def test_rubbish_is_no_task_of_a_batch_and_does_not_end_it(desk: Desk, taken: Taken) -> None:
    desk.submit("a", "b")
    commands, ready = desk.app.clients.commands, desk.app.keys.queue("default")
    commands.rpush(ready, "rubbish")
    commands.linsert(ready, "before", "a", "more")

    claimed = desk.claim(count=2)

    assert [delivery.id for delivery in claimed.deliveries] == ["a", "b"]
    assert set(claimed.dropped) == {"rubbish", "more"}


def test_what_ends_a_batch_is_not_dropped(desk: Desk, taken: Taken) -> None:
    desk.submit("a")
    desk.submit("b", name=LONG)

    assert desk.claim(count=5).dropped == ()
    assert taken() == ["b"]


def test_all_of_a_batch_are_recorded_under_tokens_of_their_own(desk: Desk, taken: Taken) -> None:
    desk.submit("a", "b")
    desk.hire("w")

    for delivery in desk.claim(count=2).deliveries:
        assert desk.where(delivery.id) == ["RUNNING", "claimed"]
        assert desk.settle(delivery)

    assert [desk.app.inspector.task(task).status for task in "ab"] == [Status.SUCCESS] * 2


def test_a_single_outcome_is_on_its_way_before_the_claim_is_made(real_app: MiniCelery) -> None:
    desk = Desk(real_app)
    real_app.scripts.load_all()  # what the server does not know goes out a second time
    desk.hire("w")
    desk.submit("a", "b")
    first = desk.take()

    def claim() -> Claim:
        wait_until(lambda: desk.where("a")[0] == Status.SUCCESS.value, what="the outcome")
        return Claim("w", 1, 1, "nonce", ("default",), 1)

    kept, claimed = desk.broker.exchange("w", [Settlement(first.id, first.token, Status.SUCCESS, "3")], claim)

    assert (kept, [delivery.id for delivery in claimed.deliveries]) == ([True], ["b"])


def test_many_outcomes_go_out_together_with_the_claim(desk: Desk) -> None:
    desk.hire("w")
    desk.submit(*map(str, range(10)))
    taken = desk.claim(count=10).deliveries
    seen: list[str] = []

    def claim() -> Claim:
        seen.append(desk.where("0")[0])
        return Claim("w", 1, 1, "nonce", ("default",), 1)

    done = [Settlement(delivery.id, delivery.token, Status.SUCCESS, "3") for delivery in taken]
    kept, claimed = desk.broker.exchange("w", done, claim)

    assert (kept, claimed.deliveries, seen) == ([True] * 10, (), [Status.RUNNING.value])
