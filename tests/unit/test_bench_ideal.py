"""The calls that are packed beforehand do to Redis what a worker's do."""

import uuid
from collections.abc import Iterator

import pytest

from bench import ideal
from minicelery import MiniCelery
from minicelery.embedded import EmbeddedServer


@pytest.fixture
def bench_app(server: EmbeddedServer, namespace: str) -> Iterator[MiniCelery]:
    app = MiniCelery("bench", redis_url=server.url, namespace=namespace)

    @app.task
    def noop() -> int:
        return 1

    app.scripts.load_all()
    app.broker.beat({ideal.WORKER: "{}"}, ideal.LEASE)
    yield app
    app.clients.close()


def test_packed_calls_leave_every_task_a_success_and_nothing_behind(
    bench_app: MiniCelery, server: EmbeddedServer
) -> None:
    app = bench_app
    messages = [app.message("noop") for _ in range(2 * ideal.AT_ONCE + 1)]
    ids = [message.id for message in messages]

    ideal.pour(server.url, ideal.enqueued(app.keys, messages, 40))
    assert app.inspector.queue_length("default") == len(messages)
    done = ideal.pour(server.url, ideal.worked_off(app.keys, "default", "noop", ids, 60.0))

    assert {app.result(one).status for one in ids} == {"SUCCESS"}
    assert app.inspector.queue_length("default") == 0
    assert app.clients.commands.hlen(app.keys.claimed(ideal.WORKER)) == 0
    assert done.seconds > 0


def test_claims_and_settlements_of_fifty_go_together(bench_app: MiniCelery) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2 * ideal.AT_ONCE)]

    calls = ideal.worked_off(bench_app.keys, "default", "noop", ids, 60.0)

    assert [call.count(b"SUCCESS") for call in calls] == [0, 0, ideal.AT_ONCE, 0, ideal.AT_ONCE]
