"""What is found out about a server before tasks are entrusted to it."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import redis

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer
from minicelery.server import Verdict, Watchman, check
from minicelery.web import create_app


@pytest.fixture
def own_server() -> Iterator[redis.Redis]:
    with EmbeddedServer() as server, redis.Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
        yield client


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_may_drop_keys_is_refused_with_the_cure(own_server: redis.Redis, policy: str) -> None:
    own_server.config_set("maxmemory-policy", policy)

    [refusal] = check(own_server).refusals
    own_server.config_set("maxmemory-policy", "noeviction")

    assert f"its maxmemory-policy is {policy}; set it to noeviction: CONFIG SET" in refusal
    assert check(own_server).refusals == ()


@pytest.mark.parametrize(
    ("append_only", "save", "warning"),
    [("no", "", "keeps nothing on disk"), ("no", "3600 1", "writes snapshots only"), ("yes", "", None)],
)
def test_what_a_crash_of_the_server_would_cost_is_said(
    own_server: redis.Redis, append_only: str, save: str, warning: str | None
) -> None:
    own_server.config_set("appendonly", append_only)
    own_server.config_set("save", save)

    warnings = check(own_server).warnings

    assert len(warnings) == (warning is not None)
    assert warning is None or warning in warnings[0]


def test_a_server_that_is_reading_its_file_is_not_taken_for_one_without() -> None:
    loading = SimpleNamespace(info=lambda *_: {"loading": 1, "aof_enabled": 0}, config_get=lambda *_: {"save": ""})

    assert check(loading).warnings == ()


def test_what_a_server_does_not_tell_is_no_fault(own_server: redis.Redis, fake_app: MiniCelery) -> None:
    own_server.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~*", "&*", "+@all", "-info", "-config")
    port = own_server.connection_pool.connection_kwargs["port"]
    clients = connect(Config(redis_url=f"redis://few:secret@127.0.0.1:{port}"))

    assert check(clients.commands) == Verdict()
    assert check(fake_app.clients.commands) == Verdict()
    own_server.execute_command("ACL", "SETUSER", "few", "+info")
    assert "snapshots only" in check(clients.commands).warnings[0]  # which of the two it can't tell
    clients.close()


def test_a_server_is_asked_only_every_few_seconds(own_server: redis.Redis) -> None:
    clock = [0.0]
    watchman = Watchman(own_server, lambda: clock[0])
    assert watchman.refusals() == ()
    own_server.config_set("maxmemory-policy", "allkeys-lru")

    at_once = watchman.refusals()
    clock[0] = 5.0

    assert at_once == ()
    assert len(watchman.refusals()) == 1


def test_the_web_process_is_not_ready_on_a_server_that_may_drop_tasks(own_server: redis.Redis) -> None:
    own_server.config_set("maxmemory-policy", "allkeys-lru")
    port = own_server.connection_pool.connection_kwargs["port"]
    app = MiniCelery("dropping", config=Config(redis_url=f"redis://127.0.0.1:{port}"))

    response = create_app(app).test_client().get("/readyz")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert "maxmemory-policy is allkeys-lru" in response.json["detail"]
    app.clients.close()
