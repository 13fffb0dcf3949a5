"""Keys under which only one task runs at a time: who gets them, who gives them up, and that nobody takes another's."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.errors import ForeignData, RedisFull, RedisUnavailable
from minicelery.handover import Accepted
from minicelery.message import Message
from minicelery.options import task_settings
from minicelery.states import FINISHED, Status
from tests.stack import wait_until
from tests.store.conftest import Desk

ERROR = '{"type":"E","message":"m","traceback":"t"}'


def once(kind: str = "finish", *, hold: float = 60, longest: float = 600, call: str = "c", **more: str) -> str:
    """What makes a message unique under the key "add:k"."""
    found = {"once": kind, "once_key": "add:k", "hold": f"{hold * 1000:.0f}", **more}
    if kind == "debounce":
        found |= {"longest": f"{longest * 1000:.0f}", "call": call}
    return json.dumps(found)


def same(task_id: str, status: Status | None) -> Accepted:
    return Accepted(task_id, status, duplicate=True)


def holder(desk: Desk, kind: str = "unique") -> str | None:
    """The id that stands at the key."""
    return desk.app.clients.commands.get(f"{desk.app.keys.prefix}{kind}:add:k")


def call(desk: Desk, task_id: str, args: str, **more: float) -> object:
    """A call of the debounced task."""
    message = Message(task_id, "add", args, "{}", "default", 3, more=once("debounce", call=args, **more))
    [answer] = desk.broker.enqueue([message])
    return answer


def due_in(desk: Desk, task_id: str) -> float:
    """Seconds from the last change of a task until it is due."""
    record = desk.app.inspector.task(task_id)
    assert record.due
    return round(record.due - record.updated_at, 2)


# ---- unique: the key is given once, and given up by whom it belongs to --------------------------


def test_a_second_submission_under_a_key_is_told_the_first_one(desk: Desk) -> None:
    assert desk.submit("a", more=once()) == [Status.PENDING]
    assert desk.submit("b", more=once()) == [same("a", Status.PENDING)]

    assert desk.where("b") == [""]
    assert desk.app.inspector.queue_length("default") == 1
    desk.lawful()


def test_of_a_batch_the_first_one_gets_the_key(desk: Desk) -> None:
    assert desk.submit("a", "b", "a", more=once()) == [Status.PENDING, same("a", Status.PENDING), Status.PENDING]

    assert [desk.where("a"), desk.where("b")] == [["PENDING", "ready"], [""]]


def test_the_same_submission_sent_again_is_no_duplicate(desk: Desk) -> None:
    desk.submit("a", more=once())

    assert desk.submit("a", more=once()) == [Status.PENDING]


def test_a_key_is_for_one_task_name_and_one_kind(desk: Desk) -> None:
    desk.submit("a", more=once())

    assert desk.submit("b", more=once(once_key="mul:k")) == [Status.PENDING]
    assert desk.submit("c", more=once("throttle")) == [Status.PENDING]


def succeed(desk: Desk) -> None:
    desk.settle(desk.take())


def fail(desk: Desk) -> None:
    desk.fail(desk.take())


def be_cancelled_in_the_run(desk: Desk) -> None:
    delivery = desk.take()
    desk.broker.cancel(["a"])
    desk.settle(delivery)


def be_cancelled_by_a_lost_worker(desk: Desk) -> None:
    desk.take()
    desk.broker.cancel(["a"])
    desk.broker.recover("w")


def be_passed_on_to_nobody(desk: Desk) -> None:
    desk.broker.pass_on("w", "a", desk.take().token, ERROR)


def crash_its_processes(desk: Desk) -> None:
    for quarantine in (False, False, True, True, True):
        desk.hire("w")
        assert desk.claim(quarantine=quarantine).deliveries
        desk.broker.recover("w", ["a"])


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (succeed, Status.SUCCESS),
        (fail, Status.FAILED),
        (lambda desk: desk.broker.cancel(["a"]), Status.CANCELLED),
        (be_cancelled_in_the_run, Status.CANCELLED),
        (be_cancelled_by_a_lost_worker, Status.CANCELLED),
        (be_passed_on_to_nobody, Status.FAILED),
        (crash_its_processes, Status.FAILED),
    ],
)
def test_the_end_of_a_task_frees_its_key(desk: Desk, end: Callable[[Desk], object], status: Status) -> None:
    desk.hire("w")
    desk.submit("a", more=once())

    end(desk)

    assert (desk.app.inspector.task("a").status, holder(desk)) == (status, None)
    assert desk.submit("b", more=once()) == [Status.PENDING]


@pytest.mark.parametrize("finds", ["claim", "upkeep"])
def test_a_task_that_expires_frees_its_key(desk: Desk, finds: str) -> None:
    desk.hire("w")
    desk.submit("a", more=once(expires="1"))

    if finds == "claim":
        desk.claim()
    else:
        desk.broker.expire()

    assert (desk.app.inspector.task("a").status, holder(desk)) == (Status.EXPIRED, None)


def test_a_task_that_runs_or_is_to_be_run_again_keeps_its_key(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once())
    answers = []
    try_another = partial(desk.submit, "b", more=once())

    delivery = desk.take()
    answers += try_another()
    desk.settle(delivery, Status.RETRYING, ERROR)
    answers += try_another()
    desk.broker.promote()
    answers += try_another()
    desk.broker.release("w", [("a", desk.take().token)])
    answers += try_another()
    desk.take()
    desk.broker.recover("w")
    answers += try_another()

    states = (Status.RUNNING, Status.RETRYING, Status.PENDING, Status.PENDING, Status.PENDING)
    assert answers == [same("a", state) for state in states]


def test_a_task_that_has_to_wait_for_its_limit_keeps_its_key(desk: Desk) -> None:
    desk.hire("w")
    gates = task_settings("add", {"concurrency": 1}).limits.gates((), {})
    desk.submit("first", more=json.dumps({"gates": gates}))
    desk.submit("a", more=once("start", gates=gates))
    first = desk.take()
    assert desk.claim().deliveries == ()

    assert desk.submit("b", more=once("start")) == [same("a", Status.WAITING)]
    desk.settle(first)
    assert desk.take().id == "a"
    assert holder(desk) is None


def test_a_cancelled_task_has_its_key_until_its_run_is_over(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once())
    delivery = desk.take()
    desk.broker.cancel(["a"])

    assert desk.submit("b", more=once()) == [same("a", Status.CANCELLED)]
    desk.settle(delivery)
    assert desk.submit("b", more=once()) == [Status.PENDING]


def test_until_start_a_key_is_free_when_a_worker_has_the_task(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once("start"))
    assert desk.submit("b", more=once("start")) == [same("a", Status.PENDING)]

    first = desk.take()

    assert holder(desk) is None
    assert desk.submit("b", more=once("start")) == [Status.PENDING]
    desk.settle(first)
    assert holder(desk) == "b", "the first one gives up no key that is not its own"


def test_a_task_gives_up_no_key_that_another_one_has_by_now(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once(hold=0.001))
    wait_until(lambda: holder(desk) is None, what="the end of the hold")
    delivery = desk.take()
    desk.submit("b", more=once())

    desk.settle(delivery)

    assert holder(desk) == "b"


def test_a_dead_letter_that_is_revived_takes_no_key_back(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once())
    desk.fail(desk.take())
    desk.submit("b", more=once())

    desk.broker.revive(["a"], "r")

    assert holder(desk) == "b"
    assert desk.submit("c", more=once()) == [same("b", Status.PENDING)]


def test_a_key_is_held_for_its_time_at_most(desk: Desk) -> None:
    desk.submit("a", more=once(hold=90))

    assert 0 < desk.app.clients.commands.pttl(f"{desk.app.keys.prefix}unique:add:k") <= 90_000


@pytest.mark.parametrize("left", ["gone", "no id", " ", "x" * 200])
def test_a_key_whose_task_is_gone_is_given_to_the_next(desk: Desk, left: str) -> None:
    desk.app.clients.commands.set(f"{desk.app.keys.prefix}unique:add:k", left)

    assert desk.submit("a", more=once()) == [Status.PENDING]
    assert holder(desk) == "a"


@pytest.mark.parametrize("kind", ["finish", "throttle", "debounce"])
def test_a_key_of_another_program_is_told_and_nothing_written(desk: Desk, kind: str) -> None:
    name = "unique" if kind == "finish" else kind
    desk.app.clients.commands.lpush(f"{desk.app.keys.prefix}{name}:add:k", "theirs")

    with pytest.raises(ForeignData):
        desk.submit("a", more=once(kind))

    assert desk.where("a") == [""]


def test_a_foreign_key_in_the_place_of_ones_own_stops_no_outcome(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once())
    key = f"{desk.app.keys.prefix}unique:add:k"
    desk.app.clients.commands.delete(key)
    desk.app.clients.commands.lpush(key, "theirs")

    assert desk.settle(desk.take())
    desk.app.clients.commands.delete(key)


# ---- throttle -----------------------------------------------------------------------------------


def test_a_throttle_lets_one_through_in_its_time_whatever_becomes_of_it(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("a", more=once("throttle"))
    desk.settle(desk.take())

    assert desk.submit("b", more=once("throttle")) == [same("a", Status.SUCCESS)]
    desk.broker.forget("a", FINISHED, "f")
    assert desk.submit("b", more=once("throttle")) == [same("a", None)]


def test_when_the_time_of_a_throttle_is_over_the_next_one_comes_through(desk: Desk) -> None:
    desk.submit("a", more=once("throttle", hold=0.001))
    wait_until(lambda: holder(desk, "throttle") is None, what="the end of the period")

    assert desk.submit("b", more=once("throttle")) == [Status.PENDING]


# ---- debounce -----------------------------------------------------------------------------------


def test_the_last_call_of_a_debounced_task_wins_after_a_quiet_time(desk: Desk, heard: Callable[[], list[str]]) -> None:
    assert call(desk, "t", "[1]", hold=5) == Status.SCHEDULED
    assert call(desk, "u", "[2]", hold=9) == same("t", Status.SCHEDULED)

    assert desk.app.inspector.task("t").args == [2]
    assert due_in(desk, "t") == 9
    assert [desk.where("t"), desk.where("u")] == [["SCHEDULED", "delayed"], [""]]
    assert [json.loads(text)["event"] for text in heard()] == ["scheduled", "scheduled"]
    desk.lawful()


def test_a_debounced_task_is_not_put_off_for_ever(desk: Desk) -> None:
    call(desk, "t", "[1]", hold=5, longest=7)
    record = desk.app.inspector.task("t")

    call(desk, "u", "[2]", hold=300)

    assert desk.app.inspector.task("t").due == pytest.approx(record.created_at + 7, abs=0.002)
    assert desk.app.clients.commands.pttl(f"{desk.app.keys.prefix}debounce:add:k") <= 7000


def test_in_one_batch_too_the_last_call_wins(desk: Desk) -> None:
    messages = [
        Message(task_id, "add", args, "{}", "default", 3, more=once("debounce", call=args))
        for task_id, args in (("t", "[1]"), ("u", "[2]"), ("v", "[3]"))
    ]

    answers = desk.broker.enqueue(messages)

    assert answers == [Status.SCHEDULED, same("t", Status.SCHEDULED), same("t", Status.SCHEDULED)]
    assert desk.app.inspector.task("t").args == [3]
    assert desk.broker.enqueue(messages) == answers, "sent again, nothing changes"
    assert desk.app.inspector.task("t").args == [3]


def test_the_limit_of_a_debounced_task_is_that_of_the_last_arguments(fake_app: MiniCelery) -> None:
    @fake_app.task(debounce=60, unique_key=lambda user: "all", concurrency=1, concurrency_key=lambda user: user)
    def sync(user: str) -> None: ...

    result = sync.delay("ann")
    sync.delay("bob")
    alone = sync.apply_async(("bob",), unique_key="another")

    gates = [fake_app.clients.commands.hget(fake_app.keys.task(one.id), "gates") for one in (result, alone)]
    assert gates[0] == gates[1]


def test_the_limit_and_the_tenant_of_a_debounced_task_go_where_the_last_call_has_none(desk: Desk) -> None:
    earlier = json.loads(once("debounce", call="[1]")) | {"gates": "{}", "fair": "acme"}
    desk.submit("t", more=json.dumps(earlier))

    call(desk, "u", "[2]")

    assert desk.app.clients.commands.hmget(desk.app.keys.task("t"), "gates", "fair") == [None, None]


def test_a_call_that_was_joined_and_comes_again_late_changes_nothing(desk: Desk) -> None:
    call(desk, "t", "[1]")
    call(desk, "u", "[2]")
    call(desk, "v", "[3]")

    again = call(desk, "u", "[2]")

    assert again == same("t", Status.SCHEDULED)
    assert desk.app.inspector.task("t").args == [3]


def test_a_call_that_was_joined_and_comes_again_after_the_run_is_not_run_again(desk: Desk) -> None:
    desk.hire("w")
    call(desk, "t", "[1]")
    call(desk, "u", "[2]")
    desk.broker.promote(early=True)
    desk.settle(desk.take())

    assert call(desk, "u", "[2]") == same("t", Status.SUCCESS)
    assert desk.where("u") == [""]


def test_the_first_call_sent_again_is_known_whatever_was_joined_to_it(desk: Desk) -> None:
    call(desk, "t", "[1]")
    call(desk, "u", "[2]")

    assert call(desk, "t", "[1]") == Status.SCHEDULED
    assert desk.app.inspector.task("t").args == [2]
    assert call(desk, "t", "[7]") is None, "another call, so the id is taken"


def be_promoted(desk: Desk) -> None:
    desk.broker.promote(early=True)


def be_promoted_and_passed_on(desk: Desk) -> None:
    desk.broker.promote(early=True)
    desk.broker.beat({"other": '{"queues":["default"],"tasks":["add"]}'}, 60)
    assert desk.broker.pass_on("w", "t", desk.take().token, ERROR) is Status.SCHEDULED


@pytest.mark.parametrize("leave", [be_promoted, be_promoted_and_passed_on, lambda desk: desk.broker.cancel(["t"])])
def test_what_waits_no_more_for_a_quiet_time_is_changed_by_no_call(desk: Desk, leave: Callable[[Desk], object]) -> None:
    desk.hire("w")
    call(desk, "t", "[1]")
    leave(desk)

    assert call(desk, "u", "[2]") == Status.SCHEDULED
    assert desk.app.inspector.task("t").args == [1]
    assert holder(desk, "debounce") == "u"
    desk.lawful()


def test_after_its_quiet_time_a_debounced_task_is_run(desk: Desk) -> None:
    desk.hire("w")
    calls = [("t", "[1]"), ("u", "[2]")]
    more = once("debounce", hold=0.01)
    desk.broker.enqueue([Message(task_id, "add", args, "{}", "default", 3, more=more) for task_id, args in calls])

    wait_until(lambda: desk.broker.promote()[0], what="the end of the quiet time")

    assert desk.take().args == "[2]"
    wait_until(lambda: holder(desk, "debounce") is None, what="the end of the key")


# ---- servers that take no writes ----------------------------------------------------------------


@pytest.fixture
def own_desk() -> Iterator[Desk]:
    """On a server that a test may spoil. There is a task under each kind of key; that of the throttle is forgotten."""
    with EmbeddedServer(ServerOptions()) as server:
        app = MiniCelery("own", config=Config(redis_url=server.url, patience=0.2))
        desk = Desk(app)
        for task_id, kind in (("a", "finish"), ("b", "throttle"), ("c", "debounce")):
            desk.submit(task_id, more=once(kind))
        call(desk, "d", "[2]")
        app.clients.commands.delete(app.keys.task("b"))
        yield desk
        app.clients.close()


def test_a_full_redis_tells_duplicates_and_refuses_to_change_a_debounced_task(own_desk: Desk) -> None:
    own_desk.app.clients.commands.config_set("maxmemory", "1mb")

    assert own_desk.submit("u", more=once()) == [same("a", Status.PENDING)]
    assert own_desk.submit("u", more=once("throttle")) == [same("b", None)]
    assert call(own_desk, "d", "[2]") == same("c", Status.SCHEDULED), "a repeat"
    with pytest.raises(RedisFull):
        call(own_desk, "e", "[3]")
    assert own_desk.app.inspector.task("c").args == [2]


@pytest.mark.parametrize("kind", ["finish", "throttle", "debounce"])
def test_only_a_server_that_takes_writes_tells_of_a_duplicate(own_desk: Desk, kind: str) -> None:
    own_desk.app.clients.commands.execute_command("REPLICAOF", "127.0.0.1", "1")

    with pytest.raises(RedisUnavailable):
        own_desk.submit("d", more=once(kind))
