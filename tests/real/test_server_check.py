"""A worker looks at its server before it takes tasks from it."""

import signal
from collections.abc import Iterator

import pytest
import redis

from minicelery import MiniCelery, Task
from minicelery.embedded import EmbeddedServer
from minicelery.states import Status
from tests.real.conftest import Crew, declare
from tests.stack import wait_until


@pytest.fixture
def evicting() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        yield server


@pytest.fixture
def app(evicting: EmbeddedServer) -> Iterator[MiniCelery]:
    made = declare(MiniCelery("checked", redis_url=evicting.url))
    yield made
    made.clients.close()


def _add(app: MiniCelery) -> Task[..., int]:
    return app.tasks.find("add")


def test_a_worker_refuses_a_server_that_may_drop_keys_before_it_takes_a_task(
    crew: Crew, evicting: EmbeddedServer, app: MiniCelery
) -> None:
    result = _add(app).delay(1, 2)

    worker = crew.start(MINICELERY_REDIS_URL=evicting.url, MINICELERY_NAMESPACE="")

    code, line = worker.end()
    assert code == 2
    assert "maxmemory-policy is allkeys-lru; set it to noeviction" in worker.text
    assert result.status is Status.PENDING, line
    assert result.record.deliveries == 0


def test_a_worker_warns_of_a_server_that_keeps_nothing_and_works_with_it(
    crew: Crew, evicting: EmbeddedServer, app: MiniCelery
) -> None:
    app.clients.commands.config_set("maxmemory-policy", "noeviction")
    worker = crew.start(MINICELERY_REDIS_URL=evicting.url, MINICELERY_NAMESPACE="").ready()

    assert _add(app).delay(1, 2).get(20) == 3

    wait_until(lambda: "Redis keeps nothing on disk" in worker.text, what="the warning")
    worker.signal(signal.SIGTERM)
    assert worker.end()[0] == 0
