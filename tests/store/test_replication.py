"""The replicated level of promise, on a real master and its replica."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.embedded import HOST, EmbeddedServer
from minicelery.errors import NotReplicated, RedisFull
from minicelery.server import check
from minicelery.states import Status
from minicelery.web import create_app
from tests.api.conftest import declare
from tests.stack import stand_still, wait_until
from tests.store.conftest import Desk


@dataclass
class Pair:
    """A master with a replica that can be stopped, and an app on either."""

    master: EmbeddedServer
    replica: EmbeddedServer

    def app(self, server: EmbeddedServer, **settings: Any) -> MiniCelery:
        settings = {"durability": "replicated", "replica_timeout": 0.3, "patience": 2.0} | settings
        app = MiniCelery("replicated", config=Config(redis_url=server.url, **settings))
        declare(app)
        return app

    def ask(self, server: EmbeddedServer, *words: str) -> Any:
        with redis.Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
            return client.execute_command(*words)

    def stop(self) -> None:
        assert self.replica.pid
        stand_still(self.replica.pid)

    def go_on(self) -> None:
        if self.replica.pid:
            os.kill(self.replica.pid, signal.SIGCONT)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        pair = Pair(stack.enter_context(EmbeddedServer()), stack.enter_context(EmbeddedServer()))
        stack.callback(pair.go_on)
        pair.ask(pair.master, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
        pair.ask(pair.replica, "REPLICAOF", HOST, str(pair.master.port))
        up_to_date = "the replica's coming up to date"
        wait_until(lambda: pair.ask(pair.replica, "INFO", "replication")["master_link_status"] == "up", 20, up_to_date)
        yield pair


@pytest.fixture
def app(pair: Pair) -> Iterator[MiniCelery]:
    app = pair.app(pair.master)
    yield app
    app.clients.close()


def test_a_submission_that_a_replica_has_outlives_the_master(pair: Pair, app: MiniCelery) -> None:
    results = app.submit_many(app.tasks.find("add").s(number, 1) for number in range(300))
    pair.master.kill()
    pair.ask(pair.replica, "REPLICAOF", "NO", "ONE")

    after = pair.app(pair.replica)
    assert {after.inspector.task(result.id).status for result in results} == {Status.PENDING}
    assert after.inspector.queue_length("default") == 300
    Desk(after).lawful()
    after.clients.close()


def test_a_submission_that_no_replica_confirms_says_so_and_may_be_repeated(pair: Pair, app: MiniCelery) -> None:
    http = create_app(app).test_client()
    task = {"name": "add", "args": [1, 2], "task_id": "mine"}
    pair.stop()

    first, second = http.post("/tasks", json=task), http.post("/tasks", json=task)
    pair.go_on()
    third = http.post("/tasks", json=task)

    for refused in (first, second):
        assert (refused.status_code, refused.headers["Retry-After"], refused.json["task_id"]) == (503, "2", "mine")
        assert "no replica has confirmed it" in refused.json["detail"]
    assert third.status_code == 202
    assert app.inspector.queue_length("default") == 1
    Desk(app).lawful()


def test_a_repeat_that_finds_its_task_is_not_answered_before_a_replica_has_it(pair: Pair, app: MiniCelery) -> None:
    """On a connection of its own, which has written nothing: there WAIT alone would wait for nothing."""
    other = pair.app(pair.master)
    message = app.message("add", [1, 2])
    other.clients.commands.ping()
    pair.stop()

    for one in (app, other, other):
        with pytest.raises(NotReplicated) as caught:
            one.submit(message)
        assert caught.value.task_id == message.id
    pair.go_on()

    assert other.submit(message).id == message.id
    other.clients.close()


def test_of_many_submissions_the_error_has_those_that_were_confirmed_before(
    pair: Pair, app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = app.broker.enqueue
    batches: list[int] = []

    def stop_after_the_first(batch: list[Any]) -> Any:
        if batches:
            pair.stop()
        batches.append(len(batch))
        return enqueue(batch)

    monkeypatch.setattr(app.broker, "enqueue", stop_after_the_first)
    with pytest.raises(NotReplicated) as caught:
        app.submit_many(app.tasks.find("add").s(number, 1) for number in range(250))

    assert (len(caught.value.submitted), caught.value.task_id, batches) == (200, None, [200, 50])


def test_a_flushed_script_is_sent_again_and_confirmed(pair: Pair, app: MiniCelery) -> None:
    for number in range(3):
        pair.ask(pair.master, "SCRIPT", "FLUSH")
        app.submit(app.message("add", [number, 2]))

    assert app.inspector.queue_length("default") == 3


def test_a_full_redis_refuses_what_is_new_and_confirms_what_it_has(pair: Pair, app: MiniCelery) -> None:
    message = app.message("add", [1, 2])
    app.submit(message)
    pair.ask(pair.master, "CONFIG", "SET", "maxmemory", "1mb")

    with pytest.raises(RedisFull):
        app.submit(app.message("add", [1, 2]))

    assert app.submit(message).id == message.id
    assert app.inspector.queue_length("default") == 1


def test_a_submission_to_a_master_without_its_replicas_is_an_outage(pair: Pair, app: MiniCelery) -> None:
    message = app.message("add", [1, 2])
    app.submit(message)
    pair.ask(pair.master, "CONFIG", "SET", "min-replicas-to-write", "2")
    hasty = pair.app(pair.master, durability="fast", patience=0.0)

    for one in (message, app.message("add", [1, 2])):
        response = (
            create_app(hasty).test_client().post("/tasks", json={"name": "add", "args": [1, 2], "task_id": one.id})
        )
        assert response.status_code == 503
    hasty.clients.close()


def test_a_server_that_has_become_a_replica_does_not_say_that_a_task_is_there(pair: Pair, app: MiniCelery) -> None:
    """What it has may be gone at the new master."""
    message = app.message("add", [1, 2])
    app.submit(message)
    pair.ask(pair.master, "REPLICAOF", HOST, "1")
    hasty = pair.app(pair.master, durability="fast", patience=0.0)

    assert (
        create_app(hasty)
        .test_client()
        .post("/tasks", json={"name": "add", "args": [1, 2], "task_id": message.id})
        .status_code
        == 503
    )
    hasty.clients.close()


def test_a_missing_replica_is_a_warning_where_one_is_to_confirm(pair: Pair, app: MiniCelery) -> None:
    client = app.clients.commands
    before = check(client, replicated=True).warnings
    pair.replica.kill()
    wait_until(lambda: client.info("replication")["connected_slaves"] == 0, what="the replica's end")

    assert not any("replica" in warning for warning in before)
    assert any("No replica of Redis is connected" in warning for warning in check(client, replicated=True).warnings)
    assert not any("replica" in warning for warning in check(client).warnings)
