"""Waiting for a result over a link that fails now and then."""

from dataclasses import replace

import pytest

from minicelery import MiniCelery
from minicelery.errors import RedisUnavailable
from minicelery.record import TaskRecord
from minicelery.watch import Watch
from minicelery.world import World


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
