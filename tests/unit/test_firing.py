"""How the upkeep of a worker's parent fires schedules."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from minicelery import MiniCelery
from minicelery.doorbell import Alarm
from minicelery.firing import Clockwork
from minicelery.recovery import Recovery
from minicelery.schedule import task_id_of
from minicelery.upkeep import Office, Upkeep
from tests.stack import wait_until
from tests.store.conftest import Desk


@pytest.fixture
def app(fake_app: MiniCelery) -> MiniCelery:
    @fake_app.periodic(name="s", every=3600)
    @fake_app.task
    def work() -> None: ...

    return fake_app


@contextmanager
def upkeep_of(app: MiniCelery, *workers: str) -> Iterator[Upkeep]:
    """An upkeep at work, for workers that have the code of the app."""
    clockwork = Clockwork(app.timetable, app.agenda, app.world)
    clockwork.declared = list(app.periodics)
    recovery, alarm = Recovery(app.broker, app.inspector, app.world, 60.0), Alarm(app.clients.blocking, app.keys)
    upkeep = Upkeep(app.broker, recovery, clockwork, alarm, app.world, Office("here", 60.0))
    for worker in workers:
        enrol(upkeep, app, worker)
    upkeep.start()
    try:
        yield upkeep
    finally:
        upkeep.stop()


def enrol(upkeep: Upkeep, app: MiniCelery, worker: str) -> None:
    upkeep.enrol(worker, json.dumps({"schedules": [f"{one.name} {one.version}" for one in app.periodics]}))


def a_turn_passes(app: MiniCelery, *names: str) -> None:
    """Wait until the upkeep has promoted one task after the other; between the two it has looked at everything."""
    desk = Desk(app)
    for name in names:
        desk.submit(name, delay=0.01)
        wait_until(partial(_is_ready, desk, name), what="the promotion")


def _is_ready(desk: Desk, task_id: str) -> bool:
    return desk.where(task_id) == ["PENDING", "ready"]


def stand_at(app: MiniCelery, ago: int) -> int:
    slot = int(time.time()) - ago
    app.clients.commands.zadd(app.keys.schedules, {"s": slot})
    app.clients.commands.publish(app.keys.alarm, "now")
    return slot


def test_a_worker_declares_what_its_code_has_and_fires_it_in_time(app: MiniCelery) -> None:
    with upkeep_of(app, "w"):
        wait_until(lambda: app.schedules.list(), what="the declaration")
        slot = stand_at(app, 1)
        wait_until(lambda: list(app.inspector.task_ids()), what="the firing")

    assert list(app.inspector.task_ids()) == [task_id_of("s", slot)]


def test_a_schedule_that_is_added_is_fired_at_its_time_although_nobody_was_waiting_for_one(app: MiniCelery) -> None:
    with upkeep_of(app, "w"):
        a_turn_passes(app, "t1", "t2")
        app.schedules.add("soon", {"name": "work"}, every=1)
        first = wait_until(lambda: app.schedules.get("soon").last, what="the first run")

    assert first.slot is not None
    assert first.at - first.slot < 0.5


def test_who_has_no_worker_left_takes_no_schedule_for_one_that_nobody_declares(app: MiniCelery) -> None:
    with upkeep_of(app, "w") as upkeep:
        wait_until(lambda: app.schedules.list(), what="the declaration")
        upkeep.dismiss("w")
        a_turn_passes(app, "t0")  # one under way may still count the worker in
        app.broker.recover("w")
        slot = stand_at(app, 1)
        a_turn_passes(app, "t1", "t2")
        assert app.clients.commands.zscore(app.keys.schedules, "s") == slot

        enrol(upkeep, app, "w2")
        wait_until(lambda: app.schedules.get("s").last, what="the firing")


def test_what_the_code_says_of_queues_is_told_with_the_registration(app: MiniCelery) -> None:
    app.queue("mail", concurrency=3)
    with upkeep_of(app) as upkeep:
        upkeep.queue_settings = app.queues.texts()
        enrol(upkeep, app, "w")
        wait_until(lambda: app.inspector.workers(), what="the registration")

        assert app.limits.of("queue", "mail").concurrency == 3


def test_how_runs_have_ended_is_noted(app: MiniCelery) -> None:
    desk = Desk(app)
    desk.hire("v")
    app.schedules.add("x", {"name": "work"}, every=3600)
    app.schedules.run_now("x")
    desk.settle(desk.take("v"), worker="v")

    with upkeep_of(app, "w"):
        wait_until(lambda: app.clients.commands.hget(app.keys.schedule("x"), "last_status"), what="the note")

    assert app.clients.commands.hget(app.keys.schedule("x"), "last_status") == "SUCCESS"
