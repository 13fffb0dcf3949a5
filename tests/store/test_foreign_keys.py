"""Another program overwrites a key of ours: whatever has no place to go stays where it is, whole, and goes on later."""

from collections.abc import Callable

import pytest

from minicelery.errors import ForeignData
from minicelery.handover import Claim, Recovery
from minicelery.states import Status
from tests.store.conftest import Desk

ERROR = '{"type":"E","message":"m","traceback":"t"}'


def spoil(desk: Desk, name: str) -> Callable[[], object]:
    """Overwrite a key. Called, what is given back removes it again."""
    key = f"{desk.app.keys.prefix}{name}"
    desk.app.clients.commands.set(key, "another program's")
    return lambda: desk.app.clients.commands.delete(key)


@pytest.fixture(autouse=True)
def lawful_in_the_end(desk: Desk) -> object:
    yield
    desk.lawful()


@pytest.mark.parametrize("name", ["queue:bad", "bell:bad"])
def test_due_tasks_of_an_overwritten_queue_stay_and_the_others_go_on(desk: Desk, name: str) -> None:
    desk.submit("stuck", queue="bad", due=4e9)
    desk.submit(*(f"t{number}" for number in range(20)), due=4e9)
    mend = spoil(desk, name)
    desk.app.clients.commands.zadd(desk.app.keys.delayed, {"stuck": 1})

    moved, wait = desk.broker.promote(early=True)

    assert (moved, desk.where("stuck")) == (20, ["SCHEDULED", "delayed"])
    assert 4 < (wait or 0) <= 5
    assert {tuple(desk.where(f"t{number}")) for number in range(20)} == {("PENDING", "ready")}
    mend()
    assert desk.broker.promote(early=True) == (1, None)


def test_more_stuck_tasks_than_a_batch_are_in_nobodys_way(desk: Desk) -> None:
    ids = [f"t{number}" for number in range(250)]
    desk.submit(*ids, queue="bad", due=4e9)
    desk.submit("later", due=4e9)
    mend = spoil(desk, "queue:bad")
    desk.app.clients.commands.zadd(desk.app.keys.delayed, {**dict.fromkeys(ids, 1), "later": 2})

    moved = [desk.broker.promote() for _ in range(2)]

    assert [count for count, _ in moved] == [0, 1]
    assert moved[0][1] == 0
    assert 4 < (moved[1][1] or 0) <= 5
    assert desk.where("later") == ["PENDING", "ready"]
    mend()


def test_a_task_for_an_overwritten_quarantine_stays_delayed(desk: Desk) -> None:
    desk.submit("t", due=4e9)
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "lane", "quarantine")
    mend = spoil(desk, "quarantine_bell:default")

    assert desk.broker.promote(early=True)[0] == 0

    assert desk.where("t") == ["SCHEDULED", "delayed"]
    mend()


@pytest.mark.parametrize("alien", [{"status": "SCHEDULED"}, {"status": "RETRYING", "queue": 'a"b'}])
def test_a_foreign_hash_in_the_delayed_set_harms_no_other_task(desk: Desk, alien: dict[str, str]) -> None:
    desk.submit("t", "u", due=4e9)
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.hset(keys.task("alien"), mapping=alien)
    commands.zadd(keys.delayed, {"alien": 1})

    assert desk.broker.promote(early=True) == (2, None)

    assert [desk.where(task) for task in ("t", "u")] == [["PENDING", "ready"]] * 2
    commands.delete(keys.task("alien"))


def test_a_foreign_hash_in_the_hands_of_a_lost_worker_harms_no_other_task(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.take()
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.hset(keys.task("alien"), mapping={"status": "RUNNING", "token": "1.x"})
    commands.hset(keys.claimed("w"), "alien", "1.x")

    assert desk.broker.recover("w") == Recovery(ready=1)

    commands.delete(keys.task("alien"))


@pytest.mark.parametrize("name", ["queue:bad", "bell:bad"])
def test_what_a_lost_worker_held_stays_with_it_until_its_queue_is_ours_again(desk: Desk, name: str) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.submit("stuck", queue="bad")
    desk.claim(count=2, queues=("bad", "default"))
    mend = spoil(desk, name)

    assert desk.broker.recover("w", ["stuck"]) == Recovery(ready=1, stuck=1)
    assert desk.broker.recover("w", ["stuck"]) == Recovery(stuck=1)

    assert desk.where("stuck") == ["RUNNING", "claimed"]
    assert desk.app.inspector.task("stuck").crashes == 0
    assert desk.app.inspector.expired_workers()[1] == ["w"]
    mend()
    assert desk.broker.recover("w", expired=True) == Recovery(ready=1)
    assert desk.where("stuck") == ["PENDING", "ready"]
    assert desk.app.inspector.workers() == []


def test_a_worker_whose_tasks_are_stuck_can_claim_nothing_more(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("stuck", queue="bad")
    desk.claim(queues=("bad",))
    mend = spoil(desk, "queue:bad")
    desk.broker.recover("w")
    desk.submit("t")

    assert not desk.claim().leased
    mend()


def test_a_task_that_would_be_buried_waits_for_the_dead_letters(desk: Desk) -> None:
    desk.submit("t")
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "crashes", 9)
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "lane", "quarantine")
    desk.app.clients.commands.rename(desk.app.keys.queue("default"), desk.app.keys.quarantine("default"))
    desk.hire("w")
    desk.claim(quarantine=True)
    mend = spoil(desk, "queue:dead_letter")

    assert desk.broker.recover("w", ["t"]) == Recovery(stuck=1)

    mend()
    assert desk.broker.recover("w", ["t"]) == Recovery(dead=1)
    assert desk.where("t") == ["FAILED", "dead"]


@pytest.mark.parametrize(
    ("status", "name"), [(Status.FAILED, "queue:dead_letter"), (Status.RETRYING, "delayed")], ids=["failed", "retry"]
)
def test_an_outcome_that_has_no_place_to_go_is_refused_whole(desk: Desk, status: Status, name: str) -> None:
    desk.hire("w")
    desk.submit("t", "u")
    delivery, other = desk.take(), desk.take()
    mend = spoil(desk, name)

    with pytest.raises(ForeignData, match=name):
        desk.settle(delivery, status, ERROR, delay=60)

    assert desk.settle(other)
    assert desk.app.inspector.task("t").status is Status.RUNNING
    mend()
    assert desk.settle(delivery, status, ERROR, delay=60)
    assert desk.where("t")[0] == status


@pytest.mark.parametrize("name", ["queue:bad", "bell:bad"])
def test_a_hand_back_into_an_overwritten_queue_is_refused_whole(desk: Desk, name: str) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.submit("stuck", queue="bad")
    held = [(one.id, one.token) for one in desk.claim(count=2, queues=("default", "bad")).deliveries]
    mend = spoil(desk, name)

    with pytest.raises(ForeignData, match=name):
        desk.broker.release("w", held)

    assert [desk.where(task) for task in ("t", "stuck")] == [["RUNNING", "claimed"]] * 2
    mend()
    assert desk.broker.release("w", held) == [True, True]


@pytest.mark.parametrize(("known", "name"), [(True, "delayed"), (False, "queue:dead_letter")])
def test_what_can_be_passed_on_to_no_place_stays(desk: Desk, known: bool, name: str) -> None:
    desk.hire("w")
    if known:
        desk.broker.beat({"other": '{"queues":["default"],"tasks":["add"]}'}, 60)
    desk.submit("t")
    delivery = desk.take()
    mend = spoil(desk, name)

    with pytest.raises(ForeignData, match=name):
        desk.broker.pass_on("w", "t", delivery.token, ERROR)

    assert desk.app.inspector.task("t").status is Status.RUNNING
    mend()
    assert desk.where("t") == ["RUNNING", "claimed"]
    assert desk.broker.pass_on("w", "t", delivery.token, ERROR) is (Status.SCHEDULED if known else Status.FAILED)


@pytest.mark.parametrize("name", ["queue:default", "bell:default"])
def test_a_dead_letter_is_not_revived_into_an_overwritten_queue(desk: Desk, name: str) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.fail(desk.take())
    mend = spoil(desk, name)

    with pytest.raises(ForeignData, match=name):
        desk.broker.revive(["t"], "request")

    assert desk.where("t") == ["FAILED", "dead"]
    mend()
    assert desk.broker.revive(["t"], "request") == [True]


def test_a_dead_letter_is_not_deleted_while_the_list_is_overwritten(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.fail(desk.take())
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.rename(keys.dead_letter, f"{keys.prefix}aside")
    spoil(desk, "queue:dead_letter")

    with pytest.raises(ForeignData):
        desk.broker.forget("t", [Status.FAILED], "request")

    commands.rename(f"{keys.prefix}aside", keys.dead_letter)
    assert desk.where("t") == ["FAILED", "dead"]


def test_a_submission_whose_key_another_program_has_taken_refuses_its_batch_whole(desk: Desk) -> None:
    mend = spoil(desk, "task:t")

    with pytest.raises(ForeignData, match="task:t"):
        desk.submit("a", "t", "b")

    assert desk.where("a") == desk.where("b") == [""]
    mend()
    assert desk.submit("a", "t", "b") == [Status.PENDING] * 3


@pytest.mark.parametrize("name", ["queue:bad", "bell:bad", "task:t"])
def test_a_task_that_has_no_place_to_go_is_refused_and_leaves_nothing(desk: Desk, name: str) -> None:
    mend = spoil(desk, name)

    with pytest.raises(ForeignData, match=name):
        desk.submit("t", queue="bad")

    mend()
    assert desk.where("t") == [""]
    assert desk.submit("t", queue="bad") == [Status.PENDING]


def test_a_claim_that_could_not_be_noted_takes_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    mend = spoil(desk, "worker:w:claimed")

    with pytest.raises(ForeignData, match="worker:w:claimed"):
        desk.claim()

    assert desk.where("t") == ["PENDING", "ready"]
    mend()
    assert desk.take().id == "t"


def test_a_claim_that_leaves_nothing_leaves_what_another_program_has_put_in_place_of_the_bell(desk: Desk) -> None:
    desk.hire("w")
    mend = spoil(desk, "bell:default")

    desk.claim()

    assert desk.app.clients.commands.get(desk.app.keys.bell("default")) == "another program's"
    mend()


def test_a_repeated_submission_is_answered_where_the_place_for_delayed_tasks_is_taken(desk: Desk) -> None:
    desk.submit("t")
    mend = spoil(desk, "delayed")

    assert desk.submit("t") == [Status.PENDING]
    mend()


def test_a_hash_of_another_program_in_place_of_a_task_refuses_its_submission(desk: Desk) -> None:
    where = desk.app.keys.task("t")
    desk.app.clients.commands.hset(where, "token", "another program's")

    for batch in (("t",), ("a", "t")):
        with pytest.raises(ForeignData, match="task:t"):
            desk.submit(*batch)

    assert desk.app.clients.commands.hgetall(where) == {"token": "another program's"}
    desk.app.clients.commands.delete(where)


def test_a_claim_goes_on_without_a_bell(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", "u")
    mend = spoil(desk, "bell:default")

    claimed = desk.broker.claim(Claim("w", 0, 1, "nonce", ("default",), woken=True))

    assert [delivery.id for delivery in claimed.deliveries] == ["t"]
    mend()


def test_a_task_that_lost_its_queue_is_neither_given_back_nor_revived_nor_passed_on(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("letter", "t")
    desk.fail(desk.take())
    held = desk.take()
    commands, keys = desk.app.clients.commands, desk.app.keys
    for task in ("letter", "t"):
        commands.hdel(keys.task(task), "queue")

    assert desk.broker.release("w", [("t", held.token)]) == [False]
    assert desk.broker.pass_on("w", "t", held.token, ERROR) is None
    assert desk.broker.revive(["letter"], "request") == [False]

    for task in ("letter", "t"):
        commands.hset(keys.task(task), "queue", "default")
    assert desk.where("t") == ["RUNNING", "claimed"]


def test_an_outcome_of_a_task_with_a_spoilt_count_is_recorded(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "retry_count", "many")

    assert desk.settle(delivery, Status.RETRYING, ERROR, delay=60)

    assert desk.app.inspector.task("t").retry_count == 1


def test_a_repair_waits_until_the_bell_is_ours_again(desk: Desk) -> None:
    desk.submit("t")
    desk.app.clients.commands.delete(desk.app.keys.queue("default"))
    mend = spoil(desk, "bell:default")

    assert any(str(repair).endswith("in ready: left alone") for repair in desk.app.doctor.repair(pause=0))

    assert desk.where("t") == ["PENDING"]
    mend()
    list(desk.app.doctor.repair(pause=0))
    assert desk.where("t") == ["PENDING", "ready"]
