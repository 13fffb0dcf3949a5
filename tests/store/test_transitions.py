"""Each transition on each server: what it answers, what it changes, and that it may be sent twice."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from minicelery.doorbell import Doorbell
from minicelery.events import describe
from minicelery.handover import Claim, Recovery, Settlement
from minicelery.message import Message
from minicelery.states import FINISHED, Status
from tests.store.conftest import SHORT, Desk

#: Without fakeredis, which knows nothing of encodings, nor of bytes that are no UTF-8.
SERVERS = pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)


def test_a_submitted_task_is_ready_in_its_queue(desk: Desk) -> None:
    assert desk.submit("t", queue="mail") == [Status.PENDING]

    assert desk.where("t") == ["PENDING", "ready"]
    assert desk.app.inspector.queues() == ["mail"]
    desk.lawful()


def test_a_task_with_a_delay_waits_in_the_delayed_set(desk: Desk) -> None:
    assert desk.submit("t", delay=60) == [Status.SCHEDULED]

    assert desk.where("t") == ["SCHEDULED", "delayed"]
    assert desk.broker.promote()[0] == 0
    desk.lawful()


def test_a_due_time_in_the_past_means_now(desk: Desk) -> None:
    assert desk.submit("t", due=1.0) == [Status.PENDING]
    assert desk.where("t") == ["PENDING", "ready"]


def test_a_submission_that_is_repeated_is_one_task(desk: Desk) -> None:
    desk.submit("t")
    assert desk.submit("t") == [Status.PENDING]

    assert desk.where("t") == ["PENDING", "ready"]


def test_a_submission_repeated_after_the_end_changes_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.settle(desk.take())

    assert desk.submit("t") == [Status.SUCCESS]
    assert desk.where("t") == ["SUCCESS"]


def test_an_id_that_another_task_has_is_refused_and_the_rest_of_the_batch_accepted(desk: Desk) -> None:
    desk.submit("t")

    assert desk.submit("t", "u", queue="mail") == [None, Status.PENDING]
    assert desk.app.inspector.task("t").queue == "default"


def test_the_same_id_twice_in_one_batch_is_one_task(desk: Desk) -> None:
    assert desk.submit("t", "t") == [Status.PENDING, Status.PENDING]
    assert desk.where("t") == ["PENDING", "ready"]


def test_a_batch_for_several_queues_goes_to_each(desk: Desk) -> None:
    desk.hire("w")
    desk.broker.enqueue([desk.message("a"), desk.message("m", "mail"), desk.message("b")])

    assert [delivery.id for delivery in desk.claim(count=3).deliveries] == ["a", "b"]
    assert [delivery.id for delivery in desk.claim(count=3, queues=("mail",)).deliveries] == ["m"]
    desk.lawful()


DIFFERENCES: tuple[dict[str, Any], ...] = (
    {},
    {"args": "[2]"},
    {"kwargs": '{"x":1}'},
    {"name": "other"},
    {"queue": "mail"},
    {"max_retries": 7},
    {"more": '{"priority":"9"}'},
    {"delay": 60.0},
    {"due": 4e9},
)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
@pytest.mark.parametrize("is_one_there", [False, True], ids=["all are new", "one is there"])
def test_what_is_sent_together_is_kept_as_what_is_sent_alone(
    desk: Desk, difference: dict[str, Any], is_one_there: bool
) -> None:
    first = desk.message("a0")
    together = [first, first._replace(id="a1", **difference), first._replace(id="a2")]
    if is_one_there:
        desk.broker.enqueue(together[:1])

    desk.broker.enqueue(together)
    for message in together:
        desk.broker.enqueue([message._replace(id=message.id.replace("a", "b"))])

    for kept, alone in (("a0", "b0"), ("a1", "b1"), ("a2", "b2")):
        assert _lasting(desk, kept) == _lasting(desk, alone)
    desk.lawful()


@SERVERS
@pytest.mark.parametrize("word", ["args", "kwargs"])
def test_what_is_sent_together_takes_the_room_of_what_is_sent_alone(desk: Desk, word: str) -> None:
    long = {"args": '["{}"]', "kwargs": '{{"x":"{}"}}'}[word].format("x" * 2_000)
    first, third = (desk.message(task_id)._replace(**{word: long}) for task_id in ("first", "third"))
    desk.broker.enqueue([first, desk.message("second"), third])
    desk.broker.enqueue([desk.message("alone")])

    encodings = [desk.app.clients.commands.object("encoding", desk.app.keys.task(one)) for one in ("second", "alone")]
    assert encodings[0] == encodings[1] != "hashtable"


def test_tasks_are_sent_together_where_the_server_lets_us_copy_nothing(desk: Desk) -> None:
    desk.app.clients.commands.execute_command("ACL SETUSER", "default", "-copy")
    try:
        desk.broker.enqueue([desk.message(task_id) for task_id in "abc"])
    finally:
        desk.app.clients.commands.execute_command("ACL SETUSER", "default", "+copy")

    assert [desk.where(task_id) for task_id in "abc"] == [["PENDING", "ready"]] * 3
    desk.lawful()


def _lasting(desk: Desk, task_id: str) -> dict[str, str]:
    """The fields of a task, but for its id and times, and the place that holds it."""
    fields = desk.app.clients.commands.hgetall(desk.app.keys.task(task_id))
    assert fields.pop("id") == task_id
    times = [fields.pop(name) for name in ("created_at", "updated_at", "due") if name in fields]
    assert all(float(time) > 1e9 for time in times)
    return {**fields, "where": " ".join(desk.where(task_id))}


@pytest.mark.parametrize("tags", [(), ("x",)], ids=["plain", "tagged"])
def test_a_batch_rings_for_each_of_its_tasks_until_the_bell_is_full(desk: Desk, tags: tuple[str, ...]) -> None:
    bell = desk.app.keys.bell("default")
    for count, rings in ((30, 30), (50, 80), (40, 100), (3, 100)):
        desk.broker.enqueue([desk.message(f"{rings}-{number}-{count}", tags=tags) for number in range(count)])
        assert desk.app.clients.commands.llen(bell) == rings


def test_tasks_are_claimed_in_the_order_of_submission(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b", "c", "d")

    assert [delivery.id for delivery in desk.claim(count=3).deliveries] == ["a", "b", "c"]
    assert desk.where("a") == ["RUNNING", "claimed"]
    assert desk.where("d") == ["PENDING", "ready"]
    desk.lawful()


def test_queues_are_served_in_the_order_given(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("low", queue="low")
    desk.submit("high", queue="high")

    claimed = desk.claim(count=2, queues=("high", "low"))

    assert [delivery.id for delivery in claimed.deliveries] == ["high", "low"]


def test_a_claim_repeated_after_a_lost_answer_gives_the_same_tasks(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b", "c")
    claim = Claim("w", 0, 1, "abcdef", ("default",), count=2, budget=2, costs=SHORT)

    first, again = desk.broker.claim(claim), desk.broker.claim(claim)

    assert [(d.id, d.token) for d in again.deliveries] == [(d.id, d.token) for d in first.deliveries]
    assert desk.where("c") == ["PENDING", "ready"]


def test_a_claim_that_arrives_after_a_later_one_takes_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.broker.claim(Claim("w", 0, 2, "later", ("default",)))
    desk.submit("t")

    assert desk.broker.claim(Claim("w", 0, 1, "early", ("default",))).deliveries == ()
    assert desk.where("t") == ["PENDING", "ready"]


def test_a_worker_without_a_lease_can_claim_nothing(desk: Desk) -> None:
    desk.submit("t")

    assert not desk.claim("stranger").leased
    assert desk.where("t") == ["PENDING", "ready"]


def test_ids_in_a_queue_without_a_waiting_task_are_dropped_and_told(desk: Desk) -> None:
    desk.hire("w")
    ready = desk.app.keys.queue("default")
    desk.submit("t")
    desk.app.clients.commands.rpush(ready, "rubbish", "ümlaut {}")

    claimed = desk.claim()

    assert set(claimed.dropped) == {"rubbish", "ümlaut {}"}
    assert [delivery.id for delivery in claimed.deliveries] == ["t"]


def test_an_id_that_stands_twice_in_a_queue_is_claimed_once(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.app.clients.commands.lpush(desk.app.keys.queue("default"), "t")

    assert [delivery.id for delivery in desk.claim(count=5).deliveries] == ["t"]


def test_success_is_recorded_with_its_result_and_a_time_to_live(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")

    assert desk.settle(desk.take(), body='{"n":12345678901234567,"e":[]}')

    record = desk.app.inspector.task("t")
    assert (record.status, record.result) == (Status.SUCCESS, {"n": 12345678901234567, "e": []})
    assert desk.where("t") == ["SUCCESS"]
    assert 0 < desk.app.clients.commands.ttl(desk.app.keys.task("t")) <= 86_400
    desk.lawful()


def test_failure_for_good_puts_the_task_into_the_dead_letters(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")

    assert desk.fail(desk.take())

    assert desk.where("t") == ["FAILED", "dead"]
    assert desk.app.inspector.task("t").error == {"type": "E", "message": "m", "traceback": "t"}
    desk.lawful()


def test_a_retry_waits_and_is_counted(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")

    desk.settle(desk.take(), Status.RETRYING, '{"type":"E","message":"m","traceback":"t"}', delay=60)

    assert desk.where("t") == ["RETRYING", "delayed"]
    assert desk.app.inspector.task("t").retry_count == 1
    desk.lawful()


def test_a_retry_that_is_due_becomes_ready_and_keeps_its_count(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.settle(desk.take(), Status.RETRYING, "{}", delay=0)

    assert desk.broker.promote() == (1, None)

    assert desk.take().retry_count == 1
    desk.lawful()


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.RETRYING])
def test_an_outcome_sent_twice_is_recorded_once(desk: Desk, status: Status) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()

    assert desk.settle(delivery, status, "{}", delay=60)
    before = desk.where("t"), desk.app.inspector.task("t").retry_count
    assert desk.settle(delivery, status, "{}", delay=60)

    assert (desk.where("t"), desk.app.inspector.task("t").retry_count) == before
    desk.lawful()


def test_the_last_outcome_is_known_again_and_none_before_it(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    first = desk.take()
    desk.settle(first, Status.RETRYING, "{}")
    desk.broker.promote()
    second = desk.take()

    assert desk.settle(first, Status.RETRYING, "{}")
    assert desk.where("t") == ["RUNNING", "claimed"]
    assert desk.settle(second)
    assert desk.settle(second)
    assert not desk.settle(first, Status.RETRYING, "{}")
    assert desk.broker.release("w", [("t", second.token)]) == [False]
    assert desk.where("t") == ["SUCCESS"]
    desk.lawful()


def test_a_task_that_goes_the_straight_way_keeps_one_token_and_no_notes(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", "u")
    given = {
        "id",
        "name",
        "args",
        "kwargs",
        "queue",
        "retry_count",
        "max_retries",
        "status",
        "created_at",
        "updated_at",
    }

    assert desk.fields("t") == given
    desk.settle(desk.take())
    desk.settle(desk.take(), Status.RETRYING, "{}")
    desk.broker.promote()
    desk.settle(desk.take())

    assert desk.fields("t") == given | {"token", "worker", "started_at", "result"}
    assert desk.fields("u") == desk.fields("t")
    assert [desk.app.inspector.task(task).deliveries for task in "tu"] == [1, 2]


def test_two_outcomes_of_one_delivery_in_one_batch_are_recorded_once(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    one = desk.take()
    twice = [Settlement(one.id, one.token, Status.FAILED, "{}")] * 2

    assert desk.broker.settle("w", twice) == [True, True]
    assert desk.where("t") == ["FAILED", "dead"]


def test_a_worker_whose_task_was_recovered_can_record_nothing(desk: Desk) -> None:
    desk.hire("zombie", "w")
    desk.submit("t")
    late = desk.take("zombie")
    desk.broker.recover("zombie", ["t"])

    assert not desk.settle(late, worker="zombie")
    assert desk.where("t") == ["PENDING", "ready"]
    current = desk.take("w")
    assert not desk.settle(late, worker="zombie")
    assert not desk.fail(late, worker="zombie")
    assert not desk.settle(late, Status.RETRYING, "{}", worker="zombie")
    assert not desk.broker.progress("t", late.token, '"done":1')
    assert desk.broker.release("zombie", [("t", late.token)]) == [False]
    assert desk.where("t") == ["RUNNING", "claimed"]
    assert desk.settle(current, worker="w")
    assert not desk.settle(late, worker="zombie")
    desk.lawful()


def test_a_token_with_the_same_number_from_another_claim_is_refused(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    current = desk.take()
    number, _, nonce = current.token.partition(".")

    assert not desk.broker.progress("t", f"{number}.{nonce[::-1]}", '"done":1')


def test_a_released_task_is_the_next_one_and_counts_no_failure(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b")
    first = desk.take()

    assert desk.broker.release("w", [(first.id, first.token)]) == [True]

    record = desk.app.inspector.task("a")
    assert (record.released, record.crashes, record.retry_count) == (1, 0, 0)
    assert desk.take().id == "a"
    desk.lawful()


def test_a_task_that_stands_twice_in_a_release_is_given_back_once(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    held = desk.take()

    assert desk.broker.release("w", [(held.id, held.token)] * 2) == [True, True]

    assert desk.where("t") == ["PENDING", "ready"]
    assert desk.app.inspector.task("t").released == 1


def test_a_release_sent_twice_gives_back_once(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()
    desk.broker.release("w", [(delivery.id, delivery.token)])

    assert desk.broker.release("w", [(delivery.id, delivery.token)]) == [True]
    assert desk.where("t") == ["PENDING", "ready"]
    assert desk.app.inspector.task("t").released == 1


def test_a_settled_task_is_not_given_back(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()
    desk.settle(delivery)

    assert desk.broker.release("w", [(delivery.id, delivery.token)]) == [False]
    assert desk.where("t") == ["SUCCESS"]


def test_all_that_a_dead_worker_held_is_ready_again_and_the_worker_forgotten(desk: Desk) -> None:
    desk.hire("w")
    ids = [f"t{number}" for number in range(250)]
    desk.submit(*ids[:125])
    desk.submit(*ids[125:])
    desk.claim(count=250)

    assert desk.broker.recover("w", ["t0"]).ready == 250

    assert desk.app.inspector.queue_length("default") == 250
    assert [desk.app.inspector.task(task).crashes for task in ("t0", "t1")] == [1, 0]
    assert desk.app.inspector.workers() == []
    assert not desk.claim("w").leased
    desk.lawful()


def test_a_recovery_sent_twice_recovers_once(desk: Desk) -> None:
    desk.hire("w", "v")
    desk.submit("t")
    desk.take()
    desk.broker.recover("w")
    desk.take("v")

    assert desk.broker.recover("w") == Recovery()
    assert desk.where("t") == ["RUNNING", "claimed"]


def test_a_live_lease_is_not_taken_for_lost(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.take()

    assert desk.app.inspector.expired_workers()[1] == []
    assert desk.broker.recover("w", expired=True) == Recovery()
    assert desk.where("t") == ["RUNNING", "claimed"]


def test_a_lease_that_is_over_lets_others_recover_and_counts_a_crash(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.take()
    desk.hire("w", lease=-1)

    assert desk.app.inspector.expired_workers()[1] == ["w"]
    assert desk.broker.recover("w", expired=True) == Recovery(ready=1)
    assert desk.app.inspector.task("t").crashes == 1
    desk.lawful()


def test_a_dead_letter_is_revived_with_all_its_retries(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.settle(desk.take(), Status.RETRYING, "{}")
    desk.broker.promote()
    desk.fail(desk.take())

    assert desk.broker.revive(["t"], "request") == [True]

    record = desk.app.inspector.task("t")
    assert (record.status, record.retry_count, record.error) == (Status.PENDING, 0, None)
    assert desk.where("t") == ["PENDING", "ready"]
    desk.lawful()


def test_a_revival_sent_twice_revives_once(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.fail(desk.take())
    desk.broker.revive(["t"], "request")

    assert desk.broker.revive(["t", "t"], "request") == [True, True]
    assert desk.where("t") == ["PENDING", "ready"]
    assert desk.broker.revive(["t", "unknown"], "another") == [False, False]


@SERVERS
@pytest.mark.parametrize("foreign", [b"foreign", b"\xff"], ids=str)
def test_all_dead_letters_are_revived_though_a_foreign_id_is_among_them(desk: Desk, foreign: bytes) -> None:
    desk.hire("w")
    ids = [f"t{number}" for number in range(230)]
    for start in (0, 115):
        desk.submit(*ids[start : start + 115])
    for delivery in desk.claim(count=230).deliveries:
        desk.fail(delivery)
    desk.app.clients.commands.rpush(desk.app.keys.dead_letter, foreign)

    assert desk.app.revive_all() == 230
    assert desk.app.inspector.dead_letter_ids(0, 10) == [foreign.decode("utf-8", "surrogateescape")]
    assert desk.take().id == "t0"


def test_a_dead_letter_is_forgotten_with_its_place(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.fail(desk.take())

    assert desk.broker.forget("t", FINISHED, "request") is Status.FAILED

    assert desk.where("t") == [""]
    assert desk.app.inspector.dead_letter_count() == 0
    assert desk.broker.forget("t", FINISHED, "request") is Status.FAILED, "its answer had been lost, say"
    assert desk.broker.forget("t", FINISHED, "another") is None


def test_an_unfinished_task_is_not_forgotten(desk: Desk) -> None:
    desk.submit("t")

    assert desk.broker.forget("t", FINISHED, "request") is Status.PENDING
    assert desk.where("t") == ["PENDING", "ready"]


def test_progress_is_kept_until_the_next_run(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()

    assert desk.broker.progress("t", delivery.token, '"done":1,"total":2,"message":"half"')
    assert desk.app.inspector.task("t").progress == {"done": 1, "total": 2, "message": "half"}
    desk.broker.release("w", [("t", delivery.token)])
    desk.take()
    assert desk.app.inspector.task("t").progress is None


def test_every_change_of_state_is_published_once(desk: Desk, heard: Callable[[], list[str]]) -> None:
    desk.hire("w")
    desk.submit("t", delay=0.0001)
    while not desk.broker.promote()[0]:
        pass
    delivery = desk.take()
    desk.broker.progress("t", delivery.token, '"done":1,"total":2,"message":"ü"')
    for _ in range(2):
        desk.settle(delivery, Status.RETRYING, '{"type":"E","message":"m","traceback":"t"}')
    desk.broker.promote()
    desk.settle(desk.take(), body='"r"')
    desk.broker.forget("t", FINISHED, "request")

    events = [json.loads(text) for text in heard()]

    names = ["scheduled", "queued", "started", "progress", "retrying", "queued", "started", "completed", "deleted"]
    assert [event["event"] for event in events] == names
    assert all(set(event) == {"event", "data"} and event["data"]["task_id"] == "t" for event in events)
    assert [event["data"]["at"] for event in events[:-1]] == sorted(event["data"]["at"] for event in events[:-1])
    assert events[3]["data"]["message"] == "ü"
    assert events[7]["data"]["result"] == "r"


MOMENTS = [
    datetime(2999, 12, 31, 23, 59, 59, 999_000, UTC),
    datetime(2400, 2, 29, 0, 0, 0, 1_000, UTC),
    datetime(2100, 2, 28, 12, 30, 0, 0, UTC),
    datetime(2100, 3, 1, 1, 2, 3, 120_000, UTC),
    datetime(2096, 2, 29, 23, 59, 59, 500_000, UTC),
    datetime(2101, 1, 1, 0, 0, 0, 0, UTC),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_the_times_of_events_are_written_as_everywhere_else(
    desk: Desk, heard: Callable[[], list[str]], moment: datetime
) -> None:
    desk.submit("t", due=moment.timestamp())

    [text] = heard()

    due = json.loads(text)["data"]["due"]
    assert due == describe(desk.app.inspector.task("t"))["due"]
    assert datetime.fromisoformat(due) == moment


def test_an_unprintable_id_put_in_by_hand_is_found_by_the_doctor(desk: Desk) -> None:
    desk.app.clients.commands.rpush(desk.app.keys.queue("default"), "ghost")

    [violation] = desk.app.doctor.violations()

    assert str(violation) == "ghost: is in default, but there is no such task"


def test_the_doctor_finds_a_task_that_is_nowhere_and_one_that_is_twice(desk: Desk) -> None:
    desk.submit("nowhere", "twice")
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.lrem(keys.queue("default"), 0, "nowhere")
    commands.zadd(keys.delayed, {"twice": 1})

    assert {str(violation) for violation in desk.app.doctor.violations()} == {
        "nowhere: is PENDING and in no place, but belongs in ready",
        "twice: is PENDING and in ready and delayed, but belongs in ready",
    }


def test_a_recovery_leaves_alone_what_the_worker_no_longer_runs(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t", "u")
    finished, given_away = desk.take(), desk.take()
    desk.settle(finished)
    claimed = desk.app.keys.claimed("w")
    desk.app.clients.commands.hset(claimed, mapping={"t": finished.token, "u": "0.another", "none": "1.x"})

    assert desk.broker.recover("w") == Recovery()

    assert desk.where("t") == ["SUCCESS"]
    assert desk.where("u")[0] == "RUNNING"
    assert given_away.id == "u"


def test_only_delayed_tasks_are_promoted_whoever_else_is_in_the_set(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("running", "ready")
    desk.take()
    desk.app.clients.commands.zadd(desk.app.keys.delayed, {"running": 1, "ready": 1, "none": 1})

    assert desk.broker.promote() == (0, None)

    assert desk.where("running") == ["RUNNING", "claimed"]
    assert desk.where("ready") == ["PENDING", "ready"]
    desk.lawful()


def test_a_task_that_a_foreign_hand_wrote_in_part_is_dropped_before_anything_is_changed(desk: Desk) -> None:
    desk.hire("w")
    commands, keys = desk.app.clients.commands, desk.app.keys
    parts = {"id": "part", "name": "add", "args": "[]", "kwargs": "{}", "queue": "default", "status": "PENDING"}
    commands.hset(keys.task("part"), mapping=parts)
    commands.hset(keys.task("odd"), mapping={**parts, "retry_count": "x", "max_retries": "3", "updated_at": "1"})
    whole = {**parts, "retry_count": "0", "max_retries": "3", "created_at": "1", "updated_at": "1"}
    commands.hset(keys.task("x" * 300), mapping={**whole, "id": "x" * 300})
    bare = {**whole, "id": "bare"}
    del bare["args"]
    commands.hset(keys.task("bare"), mapping=bare)
    commands.lpush(keys.queue("default"), "part", "odd", "bare", "x" * 300)
    desk.submit("t")

    claimed = desk.claim()

    assert [delivery.id for delivery in claimed.deliveries] == ["t"]
    assert set(claimed.dropped) == {"part", "odd", "bare", "x" * 300}
    assert commands.hgetall(keys.task("part")) == parts


@pytest.mark.parametrize("length", [128, 129])
def test_a_task_is_taken_whose_names_are_as_long_as_names_may_be(desk: Desk, length: int) -> None:
    desk.hire("w")
    task_id, name, queue = "i" * 128, "n" * length, "q" * 128
    desk.broker.enqueue([Message(task_id, name, "[]", "{}", queue, 10**19)])

    claimed = desk.claim(queues=(queue,))

    assert [delivery.name for delivery in claimed.deliveries] == ([name] if length == 128 else [])
    assert claimed.dropped == (() if length == 128 else (task_id,))


def test_a_wait_that_is_no_number_changes_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()

    with pytest.raises(redis.ResponseError, match="not a number of seconds"):
        desk.settle(delivery, Status.RETRYING, "{}", delay=float("nan"))

    assert desk.where("t") == ["RUNNING", "claimed"]
    desk.lawful()


def test_what_was_given_back_is_not_taken_for_settled_nor_the_other_way_round(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("given", "settled")
    given, settled = desk.take(), desk.take()
    desk.broker.release("w", [(given.id, given.token)])
    desk.settle(settled, Status.RETRYING, "{}")
    desk.broker.promote()

    assert not desk.settle(given)
    assert desk.broker.release("w", [(settled.id, settled.token)]) == [False]
    assert desk.where("given") == desk.where("settled") == ["PENDING", "ready"]


# ---- doorbells --------------------------------------------------------------------------------


def _rings(desk: Desk, queue: str = "default") -> int:
    return int(desk.app.clients.commands.llen(desk.app.keys.bell(queue)))


def test_whatever_becomes_ready_rings(desk: Desk) -> None:
    desk.hire("w", "v")
    silence = lambda: desk.app.clients.commands.delete(desk.app.keys.bell("default"))  # noqa: E731
    rung = []

    desk.submit("t")
    rung.append(silence())
    released = desk.take()
    desk.broker.release("w", [(released.id, released.token)])
    rung.append(silence())
    desk.take()
    desk.broker.recover("w")
    rung.append(silence())
    desk.settle(desk.take("v"), Status.RETRYING, "{}", worker="v")
    desk.broker.promote()
    rung.append(silence())
    desk.fail(desk.take("v"), worker="v")
    desk.broker.revive(["t"], "request")
    rung.append(silence())

    assert rung == [1, 1, 1, 1, 1]


def test_the_bell_is_capped_and_silent_when_nothing_is_left(desk: Desk) -> None:
    desk.hire("w")
    for start in (0, 100):
        desk.submit(*(f"t{number}" for number in range(start, start + 100)))
    full = _rings(desk)

    desk.claim(count=200)
    desk.claim()

    assert (full, _rings(desk)) == (100, 0)


def test_the_bell_is_capped_when_many_runs_of_a_limited_queue_end_together(desk: Desk) -> None:
    desk.hire("w")
    desk.app.limits.set_queue("default", concurrency=50)
    desk.submit(*(f"t{number}" for number in range(60)))
    deliveries = desk.claim(count=50).deliveries
    desk.submit(*(f"u{number}" for number in range(100)))
    desk.app.clients.commands.lpop(desk.app.keys.bell("default"))

    desk.broker.settle("w", [Settlement(one.id, one.token, Status.SUCCESS, "1") for one in deliveries])

    assert (len(deliveries), _rings(desk)) == (50, 100)


def test_the_bell_is_capped_for_tasks_that_come_one_by_one(desk: Desk) -> None:
    for number in range(102):
        desk.submit(f"t{number}")

    assert _rings(desk) == 100


def test_a_thread_that_was_woken_and_leaves_work_behind_rings_for_the_next(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b", "c")
    desk.app.clients.commands.delete(desk.app.keys.bell("default"))

    desk.broker.claim(Claim("w", 0, 1, "n1", ("default",), woken=False))
    unasked = _rings(desk)
    desk.broker.claim(Claim("w", 0, 2, "n2", ("default",), woken=True))

    assert (unasked, _rings(desk)) == (0, 1)


def test_who_was_woken_gets_nothing_if_its_lease_does_not_last_long_enough(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    lease_end = float(desk.app.clients.commands.zscore(desk.app.keys.workers, "w"))
    left = lease_end - float(desk.app.clients.commands.time()[0])

    refused = desk.broker.claim(Claim("w", 0, 1, "n1", ("default",), woken=True, least_lease=left + 1))
    assert (refused.leased, refused.deliveries) == (False, ())

    taken = desk.broker.claim(Claim("w", 0, 2, "n2", ("default",), woken=True, least_lease=left - 2))
    assert [delivery.id for delivery in taken.deliveries] == ["t"]


def test_a_worker_that_was_woken_up_to_stop_claims_nothing_more(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", "b")
    desk.broker.claim(Claim("w", 0, 1, "n1", ("default",)))
    desk.broker.wake("w", 1)

    again = desk.broker.claim(Claim("w", 0, 1, "n1", ("default",)))
    more = desk.broker.claim(Claim("w", 0, 2, "n2", ("default",)))

    assert [delivery.id for delivery in again.deliveries] == ["a"], "an answer that was lost is still repeated"
    assert (more.leased, more.deliveries) == (True, ())
    assert desk.where("b") == ["PENDING", "ready"]


def test_a_claim_of_no_queue_takes_the_place_of_one_that_was_not_made(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")

    assert desk.broker.claim(Claim("w", 0, 1, "n1", ())).deliveries == ()
    assert desk.broker.claim(Claim("w", 0, 1, "n1", ("default",))).deliveries == ()
    assert desk.where("t") == ["PENDING", "ready"]


# ---- the worker's own keys ----------------------------------------------------------------------


def test_numbers_of_claims_outlive_a_worker_for_an_hour_and_a_worker_that_comes_back(desk: Desk) -> None:
    desk.hire("w")
    claims, commands = desk.app.keys.claims("w"), desk.app.clients.commands
    desk.claim()
    desk.broker.recover("w")

    gone = commands.ttl(claims)
    desk.hire("w")

    assert 0 < gone <= 3600
    assert (commands.ttl(claims), commands.hget(claims, 0)) == (-1, "1")


def test_one_recovery_takes_all_so_that_no_other_can_count_crashes_for_the_rest(desk: Desk) -> None:
    desk.hire("w")
    ids = [f"t{number}" for number in range(250)]
    desk.submit(*ids)
    desk.claim(count=250)
    keys = desk.app.keys
    parts = [keys.workers, keys.dead_letter, keys.worker("w"), keys.claimed("w"), keys.claims("w"), keys.wake("w")]

    assert desk.app.scripts.run("recover", parts, ["w", "ended", 2, 3, 10, "was lost"]) == [250, 0, 0, 0]

    assert desk.broker.recover("w", expired=True) == Recovery()
    assert {desk.app.inspector.task(task).crashes for task in ids} == {0}


def test_what_was_due_is_not_told_of_a_running_task(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.settle(desk.take(), Status.RETRYING, "{}")
    desk.broker.promote()
    desk.take()

    assert desk.app.inspector.task("t").due is None


# ---- what arrives late ---------------------------------------------------------------------------


def test_progress_after_the_outcome_is_refused(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()
    desk.settle(delivery, Status.RETRYING, "{}", delay=60)

    assert not desk.broker.progress("t", delivery.token, '"done":1')
    assert desk.app.inspector.task("t").progress is None


def test_a_worker_whose_lease_is_over_can_claim_nothing(desk: Desk) -> None:
    desk.hire("w", lease=-1)
    desk.submit("t")

    assert not desk.claim().leased
    assert desk.where("t") == ["PENDING", "ready"]


@pytest.mark.parametrize("lease", [None, -1.0], ids=["never registered", "its lease was over"])
def test_a_copy_of_a_claim_that_was_refused_takes_nothing(desk: Desk, lease: float | None) -> None:
    if lease is not None:
        desk.hire("w", lease=lease)
    claim = Claim("w", 0, 1, "n1", ("default",))
    desk.submit("t")
    assert not desk.broker.claim(claim).leased

    desk.hire("w")

    assert desk.broker.claim(claim).deliveries == ()
    assert desk.where("t") == ["PENDING", "ready"]


def test_a_copy_of_a_revival_that_comes_after_another_failure_revives_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.fail(desk.take())
    desk.broker.revive(["t"], "request")
    desk.fail(desk.take())

    desk.broker.revive(["t"], "request")

    assert desk.where("t") == ["FAILED", "dead"]


def test_a_copy_of_a_deletion_does_not_delete_a_new_task_of_the_same_id(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.settle(desk.take())
    desk.broker.forget("t", FINISHED, "request")
    desk.submit("t")
    desk.fail(desk.take())

    assert desk.broker.forget("t", FINISHED, "request") is Status.SUCCESS
    assert desk.where("t") == ["FAILED", "dead"]


def test_who_waits_at_the_door_takes_nothing_from_the_queue(desk: Desk) -> None:
    desk.submit("t")
    desk.app.clients.commands.delete(desk.app.keys.bell("default"))

    door = Doorbell(desk.app.clients.blocking, desk.app.keys)
    assert door.wait("w", ("default",), ("ECHO", "and then"), 0.1) == "and then"
    assert desk.where("t") == ["PENDING", "ready"]


def test_an_id_that_stands_in_a_queue_though_its_task_is_finished_is_dropped(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("finished", "running")
    desk.settle(desk.take())
    running = desk.take()
    desk.app.clients.commands.lpush(desk.app.keys.queue("default"), "finished", "running")

    claimed = desk.claim(count=2)

    assert (claimed.deliveries, set(claimed.dropped)) == ((), {"finished", "running"})
    assert desk.where("finished") == ["SUCCESS"]
    assert desk.settle(running)


def test_what_is_recovered_is_the_next_one(desk: Desk) -> None:
    desk.hire("w", "v")
    desk.submit("a", "b")
    desk.take()

    desk.broker.recover("w", ["a"])

    assert desk.take("v").id == "a"
