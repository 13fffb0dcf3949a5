"""Progress while Redis is away: the task goes on without, and hardly waits."""

import logging

import pytest

from minicelery.errors import RedisUnavailable
from minicelery.reporter import QUIET, Reporter
from minicelery.world import World


class Redis:
    """Stands in for the broker; counts how often it is asked, and its answer takes a while when it is away."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.is_away = False
        self.kept = True

    def progress(self, *_: str) -> bool:
        self.asked += 1
        if self.is_away:
            self.now += 2.0
            raise RedisUnavailable("Redis is away")
        return self.kept


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
def reporter(redis: Redis) -> Reporter:
    return Reporter(redis, World(monotonic=lambda: redis.now))


def test_after_a_failure_reports_are_left_out_without_asking(redis: Redis, reporter: Reporter) -> None:
    redis.is_away = True

    assert all(reporter.report("t", "1.x", "") for _ in range(100))

    assert redis.asked == 1
    redis.now += QUIET
    reporter.report("t", "1.x", "")
    reporter.report("t", "1.x", "")
    assert redis.asked == 2


def test_an_outage_is_told_once(redis: Redis, reporter: Reporter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        redis.is_away = True
        for _ in range(3):
            reporter.report("t", "1.x", "")
            redis.now += QUIET
        redis.is_away = False
        reporter.report("t", "1.x", "")

    assert caplog.text.count("progress is left out until Redis is back") == 2


def test_while_redis_is_there_every_report_is_handed_on(redis: Redis, reporter: Reporter) -> None:
    assert reporter.report("t", "1.x", "")
    redis.kept = False

    assert not reporter.report("t", "1.x", "")
    assert redis.asked == 2
