"""The doctor's repairs: whatever a foreign hand breaks is put right, and what is right is left alone."""

import threading
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from minicelery import MiniCelery
from minicelery.connection import Clients
from minicelery.doctor import Doctor, Repair
from minicelery.embedded import EmbeddedServer
from minicelery.errors import TaskNotFound
from minicelery.handover import Claim
from minicelery.keys import Keys
from minicelery.states import Status
from minicelery.testing import drain
from tests.conftest import make_app
from tests.store.conftest import SHORT, Desk

Break = Callable[[Desk, Keys], object]


def repaired(desk: Desk) -> list[str]:
    return [str(repair) for repair in desk.app.doctor.repair(pause=0)]


def _redis(call: str, *args: object, **options: object) -> Break:
    """A foreign hand: a command of redis-py, with keys of the schema spelled as in ``"task:t"``."""

    def do(desk: Desk, keys: Keys) -> object:
        spelled = [f"{keys.prefix}{arg[1:]}" if isinstance(arg, str) and arg.startswith("@") else arg for arg in args]
        return getattr(desk.app.clients.commands, call)(*spelled, **options)

    return do


def _pending(desk: Desk) -> None:
    desk.submit("other", "t")


def _scheduled(desk: Desk) -> None:
    desk.submit("t", due=4e9)


def _retrying(desk: Desk) -> None:
    desk.submit("t")
    desk.settle(desk.take(), Status.RETRYING, '{"type":"E","message":"m","traceback":"t"}', 60)


def _running(desk: Desk) -> None:
    desk.submit("t")
    desk.take()


def _succeeded(desk: Desk) -> None:
    desk.submit("t")
    desk.settle(desk.take())


def _failed(desk: Desk) -> None:
    desk.submit("t")
    desk.fail(desk.take())


def _quarantined(desk: Desk) -> None:
    desk.submit("t")
    desk.app.clients.commands.hset(desk.app.keys.task("t"), "lane", "quarantine")
    desk.app.clients.commands.rename(desk.app.keys.queue("default"), desk.app.keys.quarantine("default"))


READY, DELAYED, DEAD = ["PENDING", "ready"], ["SCHEDULED", "delayed"], ["FAILED", "dead"]
RUNNING, DONE = ["RUNNING", "claimed"], ["SUCCESS"]
BROKEN: dict[str, tuple[Callable[[Desk], None], Break, list[str]]] = {
    "ready, in no list": (_pending, _redis("lrem", "@queue:default", 0, "t"), READY),
    "ready, twice": (_pending, _redis("lpush", "@queue:default", "t", "t"), READY),
    "ready, in another queue": (_pending, _redis("lpush", "@queue:other", "t"), READY),
    "ready, in a queue of its own choice": (_pending, _redis("hset", "@task:t", "queue", "mail"), READY),
    "ready, delayed too": (_pending, _redis("zadd", "@delayed", {"t": 1}), READY),
    "ready, dead too": (_pending, _redis("lpush", "@queue:dead_letter", "t", "t"), READY),
    "ready, claimed too": (_pending, _redis("hset", "@worker:w:claimed", "t", "1.x"), READY),
    "ready, and expiring": (_pending, _redis("expire", "@task:t", 1000), READY),
    "in quarantine, in no list": (_quarantined, _redis("delete", "@quarantine:default"), READY),
    "in quarantine, ready too": (_quarantined, _redis("lpush", "@queue:default", "t"), READY),
    "in quarantine, where it has no cause": (_quarantined, _redis("hdel", "@task:t", "lane"), READY),
    "ready, in quarantine too": (_pending, _redis("lpush", "@quarantine:default", "t"), READY),
    "scheduled, in no set": (_scheduled, _redis("zrem", "@delayed", "t"), DELAYED),
    "scheduled, ready too": (_scheduled, _redis("lpush", "@queue:default", "t"), DELAYED),
    "retrying, in no set": (_retrying, _redis("delete", "@delayed"), ["RETRYING", "delayed"]),
    "running, claimed by nobody": (_running, _redis("hdel", "@worker:w:claimed", "t"), READY),
    "running, under another token": (_running, _redis("hset", "@worker:w:claimed", "t", "0.x"), READY),
    "running, ready too": (_running, _redis("lpush", "@queue:default", "t"), RUNNING),
    "running, claimed by another too": (_running, _redis("hset", "@worker:w2:claimed", "t", "0.x"), RUNNING),
    "running, by nobody": (_running, _redis("hdel", "@task:t", "worker", "token"), READY),
    "running, by a worker that is unknown": (_running, _redis("zrem", "@workers", "w"), READY),
    "set to running by hand": (_pending, _redis("hset", "@task:t", "status", "RUNNING"), READY),
    "succeeded, ready too": (_succeeded, _redis("lpush", "@queue:default", "t"), DONE),
    "succeeded, kept for ever": (_succeeded, _redis("persist", "@task:t"), DONE),
    "failed, in no list": (_failed, _redis("delete", "@queue:dead_letter"), DEAD),
    "failed, twice": (_failed, _redis("lpush", "@queue:dead_letter", "t"), DEAD),
    "failed, and expiring": (_failed, _redis("expire", "@task:t", 1000), DEAD),
    "without a task, ready": (_succeeded, _redis("lpush", "@queue:default", "ghost", "ghost"), DONE),
    "without a task, delayed": (_succeeded, _redis("zadd", "@delayed", {"ghost": 1}), DONE),
    "without a task, dead": (_succeeded, _redis("lpush", "@queue:dead_letter", "ghost"), DONE),
    "without a task, claimed": (_succeeded, _redis("hset", "@worker:w:claimed", "ghost", "1.x"), DONE),
    "without a task, by a text of ten thousand": (_succeeded, _redis("lpush", "@queue:a", "x" * 10_000), DONE),
    "deleted by hand": (_pending, _redis("delete", "@task:t"), [""]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_foreign_hand_broke_is_put_right(desk: Desk, case: str) -> None:
    desk.hire("w", "w2")
    make, spoil, after = BROKEN[case]
    make(desk)
    spoil(desk, desk.app.keys)

    lines = repaired(desk)

    assert lines
    assert not [line for line in lines if line.endswith("left alone")]
    assert desk.where("t") == after
    desk.lawful()
    assert repaired(desk) == []


def test_what_is_made_ready_again_is_the_next_one_and_rings_the_bell(
    desk: Desk, heard: Callable[[], list[str]]
) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.take()
    desk.submit("other")
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.hdel(keys.claimed("w"), "t")
    commands.delete(keys.bell("default"))

    assert repaired(desk) == [
        "t: is RUNNING and in no place, but belongs in claimed: made ready at the head of its queue"
    ]

    assert commands.lrange(keys.bell("default"), 0, -1) == ["1"]
    assert '"event":"queued"' in heard()[-1]
    assert desk.app.inspector.task("t").crashes == 0
    assert [desk.take().id, desk.take().id] == ["t", "other"]


def test_the_worker_from_which_a_task_was_taken_can_record_nothing(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    delivery = desk.take()
    desk.app.clients.commands.hdel(desk.app.keys.claimed("w"), "t")
    repaired(desk)

    assert not desk.settle(delivery)

    assert desk.where("t") == READY


def test_a_delayed_task_gets_its_own_time_back_and_one_without_is_due_now(desk: Desk) -> None:
    desk.submit("t", "u", due=4e9)
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.delete(keys.delayed)
    commands.hset(keys.task("u"), "due", "soon")

    repaired(desk)

    assert commands.zscore(keys.delayed, "t") == 4e9
    assert desk.broker.promote()[0] == 1
    assert desk.where("u") == READY


def test_a_result_that_would_be_kept_for_ever_gets_its_time_to_live(desk: Desk) -> None:
    desk.hire("w")
    _succeeded(desk)
    commands, task = desk.app.clients.commands, desk.app.keys.task("t")
    commands.persist(task)

    repaired(desk)

    assert 86_000 < commands.ttl(task) <= 86_400


def test_a_task_that_was_to_expire_before_its_end_is_kept(desk: Desk) -> None:
    desk.submit("t")
    commands, task = desk.app.clients.commands, desk.app.keys.task("t")
    commands.expire(task, 1000)

    assert repaired(desk) == ["t: is to expire, though it is not over: to be kept"]

    assert commands.ttl(task) == -1


def test_a_repair_sent_twice_finds_nothing_more_to_do(desk: Desk) -> None:
    desk.submit("t")
    keys = desk.app.keys
    desk.app.clients.commands.rename(keys.queue("default"), keys.queue("other"))
    others = {keys.queue("other"): "queue other"}

    first, second = (desk.broker.repair("t", others) for _ in range(2))

    assert first == ["taken out of queue other", "made ready at the head of its queue"]
    assert second == []
    assert desk.where("t") == READY


@pytest.mark.parametrize("make", [_pending, _scheduled, _retrying, _running, _succeeded, _failed])
def test_a_repair_of_what_is_right_changes_nothing(desk: Desk, make: Callable[[Desk], None]) -> None:
    desk.hire("w")
    make(desk)
    before = _content(desk)

    assert desk.broker.repair("t", {desk.app.keys.queue("default"): "queue default"}) == []

    assert _content(desk) == before


def _content(desk: Desk) -> dict[str, object]:
    commands = desk.app.clients.commands
    read = {
        "hash": commands.hgetall,
        "list": lambda key: commands.lrange(key, 0, -1),
        "zset": lambda key: commands.zrange(key, 0, -1, withscores=True),
        "string": commands.get,
    }
    keys = list(commands.scan_iter(f"{desk.app.keys.prefix}*"))
    return {key: read[commands.type(key)](key) for key in keys}


# ---- two looks ----------------------------------------------------------------------------------


def _between(desk: Desk, happens: Callable[[], object]) -> Doctor:
    """A doctor during whose pause something happens."""
    app = desk.app
    world = replace(app.world, sleep=lambda _: happens())
    return Doctor(app.clients.commands, app.scripts, app.keys, app.inspector, app.broker, world)


def test_what_changed_between_the_two_looks_is_left_alone(desk: Desk) -> None:
    desk.submit("t")
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.delete(keys.queue("default"))
    doctor = _between(desk, lambda: commands.lpush(keys.queue("other"), "t"))

    assert list(doctor.repair()) == []

    assert desk.where("t") == ["PENDING"]
    assert commands.lrange(keys.queue("other"), 0, -1) == ["t"]


def test_what_came_right_between_the_two_looks_was_never_broken(desk: Desk) -> None:
    desk.submit("t")
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.delete(keys.queue("default"))
    doctor = _between(desk, lambda: commands.lpush(keys.queue("default"), "t"))

    assert list(doctor.repair()) == []
    desk.lawful()


def test_there_is_no_second_look_where_the_first_finds_nothing(desk: Desk) -> None:
    desk.submit("t")
    doctor = _between(desk, lambda: pytest.fail("a pause"))

    assert list(doctor.repair()) == []


# ---- what can't be mended -----------------------------------------------------------------------

SPOILT = [
    *((name, None) for name in ("id", "name", "queue", "args", "kwargs", "status")),
    *((name, None) for name in ("retry_count", "max_retries", "created_at", "updated_at")),
    *(("id", "another"), ("queue", 'a"b'), ("queue", "dead_letter"), ("queue", "x" * 129), ("name", "")),
    *(("status", "DONE"), ("status", "pending"), ("retry_count", "1.5"), ("max_retries", "many")),
    *(("created_at", "nan"), ("updated_at", "0x10"), ("token", "x.y"), ("crashes", "-1"), ("released", "")),
]


@pytest.mark.parametrize(("field", "value"), SPOILT)
def test_a_hash_that_is_no_whole_task_is_kept_out_of_the_way_and_reported(
    desk: Desk, field: str, value: str | None
) -> None:
    desk.submit("t")
    commands, keys = desk.app.clients.commands, desk.app.keys
    task = keys.task("t")
    commands.hdel(task, field) if value is None else commands.hset(task, field, value)
    before = commands.hgetall(task)
    what = f"t: is no whole task, its {field} is missing or wrong: give it one by HSET, or delete it by DEL {task}"

    assert repaired(desk) == [f"{what}: taken out of queue default"]
    assert repaired(desk) == [f"{what}: left alone"]

    assert commands.hgetall(task) == before
    assert commands.lrange(keys.queue("default"), 0, -1) == []


def test_readers_take_what_is_no_whole_task_for_none(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("half", "other_type", "t")
    for _ in range(3):
        desk.fail(desk.take())
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.hdel(keys.task("half"), "created_at")
    commands.delete(keys.task("other_type"))
    commands.set(keys.task("other_type"), "no hash")

    assert [letter.id for letter in desk.app.dead_letters()] == ["t"]
    for task_id in ("half", "other_type"):
        with pytest.raises(TaskNotFound):
            desk.app.inspector.task(task_id)


def test_a_hash_that_is_made_whole_again_is_a_task_again(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    commands, task = desk.app.clients.commands, desk.app.keys.task("t")
    commands.hdel(task, "args")
    repaired(desk)

    commands.hset(task, "args", "[1,2]")
    repaired(desk)

    assert desk.take().args == "[1,2]"


def test_a_key_of_another_type_in_a_tasks_place_is_reported(desk: Desk) -> None:
    key = desk.app.keys.task("t")
    desk.app.clients.commands.set(key, "no hash")

    [line] = repaired(desk)

    assert line == f"t: is no task, its key holds no hash: see whose it is, then DEL {key}: left alone"


KEYS_OF_OTHERS = ["delayed", "workers", "queue:dead_letter", "queue:default", "quarantine:default"]
KEYS_OF_OTHERS += ["bell:default", "quarantine_bell:default", "worker:w:wake", "worker:w:claimed"]


@pytest.mark.parametrize("name", KEYS_OF_OTHERS)
def test_a_key_of_a_wrong_type_is_reported_with_the_cure_and_nothing_is_lost(desk: Desk, name: str) -> None:
    desk.hire("w")
    desk.submit("t", "u")
    desk.submit("later", due=4e9)
    desk.fail(desk.take())
    commands, key = desk.app.clients.commands, f"{desk.app.keys.prefix}{name}"
    commands.set(key, "another program's")

    lines = repaired(desk)

    assert any(line.startswith(f"{key}: is a string, not a ") and f"DEL {key}" in line for line in lines)
    assert commands.get(key) == "another program's"
    commands.delete(key)
    desk.hire("w")
    repaired(desk)
    desk.lawful()
    assert [desk.where(task)[0] for task in ("t", "u", "later")] == ["FAILED", "PENDING", "SCHEDULED"]


# ---- workers ------------------------------------------------------------------------------------


def test_what_is_left_of_an_unknown_worker_is_cleared_and_its_tasks_given_back(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.take()
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.zrem(keys.workers, "w")
    assert not commands.exists(keys.wake("w"))
    commands.lpush(keys.wake("w"), 1)

    assert sorted(repaired(desk)) == sorted(
        [
            f"{keys.worker('w')}: is left of a worker that is not registered: deleted",
            f"{keys.wake('w')}: is left of a worker that is not registered: deleted",
            f"{keys.claims('w')}: is left of a worker that is not registered: to expire in an hour",
            "t: is RUNNING and in claimed by the unknown worker w, but belongs in claimed: "
            "taken out of claimed by the unknown worker w and made ready at the head of its queue",
        ]
    )

    assert desk.where("t") == READY
    assert desk.app.inspector.task("t").crashes == 0
    assert not commands.exists(keys.worker("w"), keys.claimed("w"), keys.wake("w"))
    assert 3500 < commands.ttl(keys.claims("w")) <= 3600
    desk.lawful()


def test_workers_come_go_and_are_woken_without_breaking_a_law(desk: Desk) -> None:
    desk.hire("w", "w2")
    desk.submit("t", "u")
    desk.take("w")
    desk.broker.wake("w", 3)
    desk.broker.recover("w", ["t"])
    desk.app.clients.commands.delete(desk.app.keys.worker("w2"))
    assert not desk.claim("never registered").leased

    assert repaired(desk) == []


def test_a_full_redis_can_be_repaired() -> None:
    with EmbeddedServer() as server:
        app = MiniCelery("test", redis_url=server.url)
        desk = Desk(app)
        desk.hire("w")
        desk.submit("t", "u")
        desk.take()
        desk.submit("later", due=4e9)
        commands = app.clients.commands
        commands.delete(app.keys.claimed("w"), app.keys.delayed, app.keys.queue("default"))
        commands.config_set("maxmemory", "1mb")

        assert len(repaired(desk)) == 3

        desk.lawful()
        app.clients.close()


# ---- at work ------------------------------------------------------------------------------------


def test_nothing_is_repaired_while_a_worker_works(real_app: MiniCelery) -> None:
    app = real_app

    @app.task
    def echo(value: int) -> int:
        return value

    results = app.submit_many(echo.s(number) for number in range(500))
    done = threading.Event()
    repairs: list[Repair] = []

    def repair() -> None:
        while not done.is_set():
            repairs.extend(app.doctor.repair(pause=0))

    beside = threading.Thread(target=repair)
    beside.start()
    try:
        assert drain(app) == 500
    finally:
        done.set()
        beside.join()

    assert repairs == []
    assert [result.get(0) for result in results] == list(range(500))
    assert list(app.doctor.repair(pause=0)) == []


TASKS = ("a", "b", "c", "d", "e", "f")
QUEUES = ("default", "other", "dead_letter")
EVERYWHERE = st.sampled_from((*TASKS, "ghost"))
MOVES = st.one_of(
    st.tuples(st.sampled_from(["lpush", "lrem"]), EVERYWHERE, st.sampled_from(QUEUES)),
    st.tuples(st.sampled_from(["zadd", "zrem", "hdel"]), EVERYWHERE, st.just("")),
    st.tuples(st.just("hset"), EVERYWHERE, st.sampled_from(["w", "nobody"])),
    st.tuples(st.just("status"), st.sampled_from(TASKS), st.sampled_from(Status)),
    st.tuples(st.just("queue"), st.sampled_from(TASKS), st.sampled_from(QUEUES[:2])),
    st.tuples(st.sampled_from(["expire", "persist"]), st.sampled_from(TASKS), st.just("")),
    st.just(("fire", "", "")),
)


def _spoil(desk: Desk, move: str, task: str, where: str) -> None:
    commands, keys = desk.app.clients.commands, desk.app.keys
    match move:
        case "lpush":
            commands.lpush(keys.queue(where), task)
        case "lrem":
            commands.lrem(keys.queue(where), 0, task)
        case "zadd":
            commands.zadd(keys.delayed, {task: 5})
        case "zrem":
            commands.zrem(keys.delayed, task)
        case "hset":
            commands.hset(keys.claimed(where), task, "1.x")
        case "hdel":
            commands.hdel(keys.claimed("w"), task)
        case "status" | "queue":
            commands.hset(keys.task(task), move, where)
        case "expire":
            commands.expire(keys.task(task), 1000)
        case "persist":
            commands.persist(keys.task(task))
        case "fire":
            commands.zrem(keys.workers, "w")


@given(moves=st.lists(MOVES, min_size=1, max_size=12))
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_is_broken_the_law_holds_after_a_repair_and_no_task_is_lost(
    real_clients: Clients, moves: list[tuple[str, str, str]]
) -> None:
    desk = Desk(make_app(real_clients, f"repair-{real_clients.commands.incr('repairs')}"))
    desk.hire("w")
    desk.submit("a", "b", "c")
    desk.settle(desk.take())
    desk.fail(desk.take())
    desk.take()
    desk.submit("d")
    desk.submit("e", queue="other")
    desk.submit("f", due=4e9)
    for move in moves:
        _spoil(desk, *move)
    states = {task: desk.where(task)[0] for task in TASKS}

    repaired(desk)

    desk.lawful()
    assert repaired(desk) == []
    for task, before in states.items():
        expected = {before, "PENDING"} if before in ("RUNNING", "WAITING") else {before}
        assert desk.where(task)[0] in expected
    desk.hire("w")
    ready = [task for task in states if desk.where(task)[0] == "PENDING"]
    claim = desk.broker.claim(Claim("w", 0, 1000, "n" * 12, ("default", "other"), 10, budget=10, costs=SHORT))
    assert sorted(delivery.id for delivery in claim.deliveries) == ready
    assert claim.dropped == ()
