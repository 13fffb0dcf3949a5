"""How the benchmark reads off Redis when a delayed task was started."""

import fakeredis
import pytest

from bench.scenarios import eta


def test_how_late_a_delayed_task_was_started_is_counted_from_when_it_was_due() -> None:
    client = fakeredis.FakeRedis()
    client.hset("task:a", mapping={"name": "stamp", "created_at": "10.000", "started_at": "11.004"})
    client.hset("task:b", mapping={"name": "noop", "created_at": "10.000", "started_at": "10.001"})
    client.lpush("task:c", "of another program")

    assert eta.late_by_redis(client) == [pytest.approx(0.004)]
