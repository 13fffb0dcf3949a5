"""Waiting for a result over a link that fails now and then."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import redis

from minicelery import MiniCelery
from minicelery.embedded import EmbeddedServer
from minicelery.errors import RedisUnavailable, ResultTimeout, TaskFailed, TaskNotFound
from minicelery.events import Event, EventName, ended
from minicelery.record import TaskRecord
from minicelery.states import Status
from minicelery.testing import drain
from minicelery.watch import Watch, _Ear
from minicelery.world import World
from tests.stack import wait_until


class Flaky:
    """An inspector that answers or fails as told, one word a call, at a second each."""

    def __init__(self, inspector: object, script: str) -> None:
        self._inspector = inspector
        self._script = iter(script)
        self.now = 0.0

    def task(self, task_id: str) -> TaskRecord:
        self.now += 1
        if next(self._script) == "-":
            raise RedisUnavailable("away")
        return self._inspector.task(task_id)  # type: ignore[attr-defined]


def _wait(app: MiniCelery, script: str) -> TaskRecord:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    flaky = Flaky(app.inspector, script)

    def sleep(seconds: float) -> None:
        flaky.now += seconds

    world = replace(World(), monotonic=lambda: flaky.now, sleep=sleep, random=lambda: 0.0)
    watch = Watch(app.clients.blocking, app.keys, flaky, world)
    return watch.wait(add.delay(1, 2).id, timeout=20, patience=2.5)


def test_blips_far_apart_are_each_forgiven(fake_app: MiniCelery) -> None:
    assert _wait(fake_app, "-+-+-+-+-+-+-+-+-+-+-+").status == "PENDING"


def test_a_long_outage_is_told(fake_app: MiniCelery) -> None:
    with pytest.raises(RedisUnavailable, match="can't be reached to wait"):
        _wait(fake_app, "+-----------")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """One that nobody else connects to, as connections are counted, and cut."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def results(real_app: MiniCelery) -> Callable[[], int]:
    """Submits a task, waits for its result while it is run, and tells what that was."""

    @real_app.task
    def add(x: int, y: int) -> int:
        return x + y

    def one_more() -> int:
        result = add.delay(1, 2)
        got: list[int] = []
        waiter = threading.Thread(target=lambda: got.append(result.get(timeout=10)))
        waiter.start()
        channel = real_app.keys.events(result.id)
        wait_until(lambda: dict(real_app.clients.commands.pubsub_numsub(channel))[channel], what="the subscription")
        drain(real_app)
        waiter.join()
        return got[0]

    return one_more


def _connections(app: MiniCelery) -> int:
    return int(app.clients.commands.info("stats")["total_connections_received"])


def _channels(app: MiniCelery) -> list[str]:
    found: list[str] = app.clients.commands.pubsub_channels(f"{app.keys.prefix}*")
    return found


def test_who_waits_next_takes_the_connection_of_who_has_waited_before(
    results: Callable[[], int], real_app: MiniCelery
) -> None:
    assert results() == 3
    before = _connections(real_app)

    assert [results() for _ in range(3)] == [3, 3, 3]

    assert _connections(real_app) == before
    assert len(_channels(real_app)) == 1, "of the last one; nothing more is told of it"


def test_what_was_told_before_one_listens_again_is_passed_over(real_app: MiniCelery) -> None:
    channel, key = f"{real_app.keys.prefix}channel", real_app.keys.task("none")
    publish = real_app.clients.commands.publish
    ear = _Ear(real_app.clients.listening)

    ear.turn_to(channel, key)
    publish(channel, "of the run before")
    ear.turn_to(channel, key)
    publish(channel, "of this run")

    assert ear.hear(10) == "of this run"
    ear.close()


def test_who_leaves_before_the_end_listens_no_longer(real_app: MiniCelery) -> None:
    @real_app.task
    def add(x: int, y: int) -> int:
        return x + y

    with pytest.raises(ResultTimeout):
        add.delay(1, 2).get(timeout=0.01)

    wait_until(lambda: not _channels(real_app), what="the end of the subscription")


def test_who_listens_reads_the_state_over_the_same_connection(
    results: Callable[[], int], real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results() == 3
    watch = real_app.sender._watch  # type: ignore[attr-defined]
    monkeypatch.setattr(watch, "_inspector", SimpleNamespace(task=lambda _: pytest.fail("it asked twice")))

    assert results() == 3


def test_where_who_listens_may_not_ask_the_state_is_read_over_another_connection(
    results: Callable[[], int], real_app: MiniCelery
) -> None:
    del real_app.clients.__dict__["listening"]  # what is left are the connections of RESP2

    assert [results() for _ in range(2)] == [3, 3]


def test_a_task_that_is_gone_when_somebody_begins_to_listen_is_not_found(
    results: Callable[[], int], real_app: MiniCelery
) -> None:
    assert results() == 3

    with pytest.raises(TaskNotFound):
        real_app.result("gone").get(timeout=5)


def test_a_user_who_may_not_listen_is_told_so_at_once(real_app: MiniCelery) -> None:
    admin, url = real_app.clients.commands, real_app.config.redis_url
    admin.execute_command("ACL", "SETUSER", "deaf", "on", ">secret", "+@all", "allkeys", "resetchannels")
    app = MiniCelery("deaf", redis_url=url.replace("://", "://deaf:secret@"), patience=0.1)

    with pytest.raises(redis.exceptions.NoPermissionError):
        _Ear(app.clients.listening).turn_to("channel", "key")

    app.clients.close()
    admin.execute_command("ACL", "DELUSER", "deaf")


def test_a_kept_connection_that_the_server_has_closed_is_replaced_at_once(
    results: Callable[[], int], real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results() == 3
    real_app.clients.commands.client_kill_filter(_type="normal", skipme=True)
    watch = real_app.sender._watch  # type: ignore[attr-defined]
    monkeypatch.setattr(watch, "_world", replace(World(), sleep=lambda _: pytest.fail("it paused")))

    assert results() == 3


def test_a_forked_process_makes_connections_of_its_own(
    results: Callable[[], int], real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results() == 3
    before = _connections(real_app)
    watch = real_app.sender._watch  # type: ignore[attr-defined]
    monkeypatch.setattr(watch._kept[-1], "_pid", 0)

    assert results() == 3

    assert _connections(real_app) == before + 1


def test_what_has_finished_is_answered_over_a_kept_connection_too(
    results: Callable[[], int], real_app: MiniCelery
) -> None:
    assert results() == 3
    ended = real_app.tasks.find("add").delay(2, 2)
    drain(real_app)

    assert [ended.get(timeout=5), ended.get(timeout=0), ended.get()] == [4, 4, 4]
    with pytest.raises(TaskNotFound):
        real_app.result("nobody").get(timeout=5)


@pytest.mark.parametrize("is_to_fail", [False, True])
def test_the_event_of_the_end_is_enough_to_know_the_result(
    real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch, is_to_fail: bool
) -> None:
    @real_app.task(max_retries=0)
    def work(value: list[int]) -> list[int]:
        if is_to_fail:
            raise ValueError("broken")
        return value

    result = work.delay([12345678901234567])
    read = real_app.inspector.task
    reads: list[TaskRecord] = []

    def read_and_run(task_id: str) -> TaskRecord:
        reads.append(read(task_id))
        channel = real_app.keys.events(task_id)
        if dict(real_app.clients.commands.pubsub_numsub(channel))[channel]:
            drain(real_app)
        return reads[-1]

    monkeypatch.setattr(real_app.inspector, "task", read_and_run)
    if is_to_fail:
        with pytest.raises(TaskFailed, match="ValueError: broken"):
            result.get(timeout=10)
    else:
        assert result.get(timeout=10) == [12345678901234567]

    assert {record.status for record in reads} == {"PENDING"}, "what was read did not say it"


@pytest.fixture
def record(fake_app: MiniCelery) -> TaskRecord:
    @fake_app.task
    def add(x: int, y: int) -> int:
        return x + y

    return add.apply_async((1, 2), task_id="t").record


def _told(name: str, data: str) -> Event:
    return Event(EventName(name), f'{{"event":"{name}","data":{data}}}')


_AT = '"at":"2026-01-02T03:04:05.006Z"'


def test_a_completed_task_has_result_time_and_retries_of_its_event(record: TaskRecord) -> None:
    event = _told("completed", '{"task_id":"t","status":"SUCCESS","retry_count":2,"result":[3],' + _AT + "}")

    found = ended(record, event)

    assert found == replace(record, status=Status.SUCCESS, result=[3], retry_count=2, updated_at=1767323045.006)


def test_a_failed_task_has_the_error_of_its_event(record: TaskRecord) -> None:
    event = _told("failed", '{"task_id":"t","status":"FAILED","retry_count":0,"error":{"type":"E"},' + _AT + "}")

    found = ended(record, event)

    assert found
    assert (found.status, found.error) == (Status.FAILED, {"type": "E"})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deleted", '{"task_id":"t","at":"2026-01-02T03:04:05.006Z"}'),
        ("completed", '{"task_id":"u","retry_count":0,"result":3,' + _AT + "}"),
        ("completed", '{"task_id":"t","retry_count":0,' + _AT + "}"),
        ("completed", '{"task_id":"t","retry_count":0,"result":3,"at":"soon"}'),
        ("failed", '{"task_id":"t","retry_count":0,"error":7,' + _AT + "}"),
        ("completed", "[]"),
        ("completed", "{"),
    ],
)
def test_an_event_that_tells_no_end_of_this_task_is_none(record: TaskRecord, name: str, data: str) -> None:
    assert ended(record, _told(name, data)) is None
