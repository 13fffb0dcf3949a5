"""Wrong clocks: that of a machine changes nothing, and jumps of Redis's own lose nothing."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from minicelery import MiniCelery, Task, scripts
from minicelery.connection import Clients
from minicelery.doorbell import Alarm
from minicelery.firing import Clockwork
from minicelery.handover import Recovery as Recovered
from minicelery.recovery import Recovery
from minicelery.schedule import task_id_of
from minicelery.states import Status
from minicelery.upkeep import Office, Upkeep
from tests.conftest import make_app
from tests.faults import clock_tasks
from tests.real.conftest import Crew
from tests.stack import wait_until
from tests.store.conftest import Desk

HOUR = 3600.0
NONE, ONE = Recovered(), Recovered(ready=1)
AHEAD_AND_BEHIND = pytest.mark.parametrize("shift", [HOUR, -HOUR], ids=["ahead", "behind"])
_true_time = time.time


# ---- the clock of a machine ------------------------------------------------------------------------


@pytest.fixture
def desk(real_app: MiniCelery) -> Desk:
    return Desk(real_app)


@pytest.fixture
def wrong_clock(shift: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time of day of this process is wrong, whoever asks for it, and so it was when the scripts were loaded."""
    monkeypatch.setattr(time, "time", lambda: _true_time() + shift)
    monkeypatch.setattr(time, "time_ns", lambda: int((_true_time() + shift) * 1e9))
    scripts.load.cache_clear()
    yield
    scripts.load.cache_clear()


@pytest.mark.usefixtures("wrong_clock")
@AHEAD_AND_BEHIND
def test_leases_end_by_redis_clock_alone(desk: Desk) -> None:
    desk.hire("alive", lease=60)
    desk.hire("lost", lease=-1)

    leases = {worker.id: worker.lease for worker in desk.app.inspector.workers()}

    assert desk.app.inspector.expired_workers()[1] == ["lost"]
    assert 0 < leases["alive"] <= 60
    assert -60 < leases["lost"] < 0
    assert desk.claim("alive").leased
    assert not desk.claim("lost").leased


@pytest.mark.usefixtures("wrong_clock")
@AHEAD_AND_BEHIND
def test_all_times_of_a_task_are_those_of_redis(desk: Desk) -> None:
    desk.hire("w")
    before = _true_time() - 1
    desk.submit("t")
    desk.submit("later", delay=60)
    delivery = desk.take()
    desk.settle(delivery, Status.RETRYING, "{}", delay=60)

    retrying, later = desk.app.inspector.task("t"), desk.app.inspector.task("later")

    times = [retrying.created_at, retrying.started_at, retrying.updated_at, later.created_at]
    assert all(before < (moment or 0) < before + 60 for moment in times)
    assert [60 < (due or 0) - before < 120 for due in (retrying.due, later.due)] == [True, True]
    assert 0 <= delivery.waited < 60
    assert desk.broker.promote()[0] == 0


@pytest.mark.usefixtures("wrong_clock")
@AHEAD_AND_BEHIND
def test_the_upkeep_of_a_machine_with_a_wrong_clock_does_what_is_due_and_no_more(desk: Desk) -> None:
    app, broker = desk.app, desk.broker
    desk.hire("alive", lease=60)
    desk.submit("running", "left-behind")
    desk.take("alive")
    desk.hire("lost")
    desk.take("lost")
    desk.hire("lost", lease=-1)
    desk.submit("in-half-an-hour", delay=HOUR / 2)
    desk.submit("at-once", delay=0.05)
    lease = 1.5  # a third of it is how long a new worker waits before it takes others for lost
    recovery, alarm = Recovery(broker, app.inspector, app.world, lease), Alarm(app.clients.blocking, app.keys)
    clockwork = Clockwork(app.timetable, app.agenda, app.world)
    upkeep = Upkeep(broker, recovery, clockwork, alarm, app.world, Office("here", lease))
    upkeep.enrol("mine", "{}")

    upkeep.start()
    try:
        wait_until(lambda: desk.where("at-once") == ["PENDING", "ready"], what="the promotion")
        wait_until(lambda: desk.where("left-behind") == ["PENDING", "ready"], what="the recovery")
    finally:
        upkeep.stop()

    assert desk.where("running") == ["RUNNING", "claimed"]
    assert desk.where("in-half-an-hour") == ["SCHEDULED", "delayed"]
    assert {worker.id for worker in app.inspector.workers() if worker.lease > 0} == {"alive", "mine"}
    desk.lawful()


def start_with_a_wrong_clock(crew: Crew, shift: float) -> Any:
    """A worker all of whose processes take the time of day for another. Python imports ``sitecustomize`` first."""
    folder = crew.folder / f"clock{shift:+.0f}"
    folder.mkdir()
    wrong = f"import time\n_true = time.time\ntime.time = lambda: _true() + {shift}\n"
    (folder / "sitecustomize.py").write_text(wrong)
    return crew.start("--threads", "1", app="tests.faults.clock_tasks:app", PYTHONPATH=str(folder)).ready()


def test_workers_two_hours_apart_share_the_work_and_leave_each_other_alone(crew: Crew, real_app: MiniCelery) -> None:
    for task in clock_tasks.app.tasks:
        real_app.tasks.add(Task(task.function, task.settings, real_app.submit, real_app.world.new_id, task.bind))
    workers = [start_with_a_wrong_clock(crew, shift) for shift in (HOUR, -HOUR)]
    nap, time_of_day = real_app.tasks.find("nap"), real_app.tasks.find("time_of_day")

    # Longer than the lease, and longer than it takes the others to look for lost workers.
    naps = [nap.apply_async((3.5,)) for _ in workers]
    wait_until(lambda: all(one.status is Status.RUNNING for one in naps), 30, "the start of both")
    soon, far = time_of_day.apply_async(countdown=0.5), time_of_day.apply_async(countdown=HOUR / 2)
    told = sorted(one.get(60) - _true_time() for one in naps)
    soon.get(60)

    assert [round(one / HOUR) for one in told] == [-1, 1], "the clocks are wrong indeed, and each has had one"
    records = [one.record for one in (*naps, soon)]
    assert [(one.status, one.deliveries, one.crashes) for one in records] == [(Status.SUCCESS, 1, 0)] * 3
    assert all(one.created_at <= (one.started_at or 0) <= one.updated_at for one in records)
    assert (soon.record.started_at or 0) - soon.record.created_at >= 0.498
    assert far.status is Status.SCHEDULED
    assert not [worker.text for worker in workers if "lost" in worker.text]


# ---- Redis's own clock -----------------------------------------------------------------------------


class Clocked:
    """A client of a server that tells the time of ours."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def time(self) -> tuple[int, int]:
        return int(float(self._client.get(self._key))), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@dataclass
class Jumping:
    """A desk at a server whose clock jumps."""

    desk: Desk
    key: str
    now: float = 1_000_000.0

    def jump(self, seconds: float) -> None:
        self.now += seconds
        self.desk.app.clients.commands.set(self.key, f"{self.now:.0f}")


@pytest.fixture
def jumping(real_clients: Clients, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Jumping:
    original = scripts.load

    def with_a_clock_of_ours(name: str) -> scripts.Script:
        text = original(name).text
        assert text.count("redis.call('TIME')") == text.count("local function now()"), "nobody else asks for the time"
        text = text.replace("redis.call('TIME')", "{redis.call('GET', prefix .. 'clock'), '0'}")
        return scripts.Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    monkeypatch.setattr(scripts, "load", with_a_clock_of_ours)
    key = f"{namespace}:clock"
    app = make_app(Clients(Clocked(real_clients.commands, key), real_clients.blocking), namespace)
    made = Jumping(Desk(app), key)
    made.jump(0)
    return made


def test_after_a_jump_back_a_running_task_stays_with_its_worker(jumping: Jumping) -> None:
    desk = jumping.desk
    desk.hire("w", lease=15)
    desk.submit("t", "next")
    delivery = desk.take()

    jumping.jump(-HOUR)

    assert desk.app.inspector.expired_workers()[1] == []
    assert desk.broker.recover("w", expired=True) == NONE
    desk.hire("w", lease=15)
    assert desk.broker.progress("t", delivery.token, '"done":1')
    assert desk.settle(delivery)
    following = desk.take()
    assert (following.id, following.waited) == ("next", 0.0), "a wait is never negative"
    desk.lawful()


def test_after_a_jump_back_a_worker_that_beats_once_more_and_dies_is_recovered_within_its_lease(
    jumping: Jumping,
) -> None:
    desk = jumping.desk
    desk.hire("w", lease=15)
    desk.submit("t")
    desk.take()
    jumping.jump(-HOUR)
    desk.hire("w", lease=15)

    jumping.jump(16)

    assert desk.app.inspector.expired_workers()[1] == ["w"]
    assert desk.broker.recover("w", expired=True) == ONE
    assert desk.where("t") == ["PENDING", "ready"]


def test_after_a_jump_ahead_a_task_that_was_taken_away_is_recorded_once(jumping: Jumping) -> None:
    desk = jumping.desk
    desk.hire("w", "v", lease=15)
    desk.submit("t")
    late = desk.take("w")

    jumping.jump(HOUR)
    desk.hire("v", lease=15)

    assert desk.broker.recover("w", expired=True) == ONE
    current = desk.take("v")
    assert not desk.settle(late, body='"late"', worker="w")
    assert desk.settle(current, body='"current"', worker="v")
    assert desk.app.inspector.task("t").result == "current"
    desk.lawful()


def test_after_a_jump_ahead_a_worker_that_beats_before_anybody_looks_keeps_its_tasks(jumping: Jumping) -> None:
    desk = jumping.desk
    desk.hire("w", lease=15)
    desk.submit("t")
    delivery = desk.take()

    jumping.jump(HOUR)
    desk.hire("w", lease=15)

    assert desk.broker.recover("w", expired=True) == NONE
    assert desk.settle(delivery)


def test_a_worker_whose_lease_is_over_by_a_jump_claims_nothing_before_it_has_beaten(jumping: Jumping) -> None:
    desk = jumping.desk
    desk.hire("w", lease=15)
    desk.submit("t")

    jumping.jump(HOUR)

    assert not desk.claim().leased
    desk.hire("w", lease=15)
    assert desk.take().id == "t"


def test_delayed_tasks_keep_their_due_times_through_jumps(jumping: Jumping) -> None:
    desk = jumping.desk
    desk.submit("soon", delay=60)
    desk.submit("later", delay=2 * HOUR)

    jumping.jump(-HOUR)
    assert desk.broker.promote() == (0, HOUR + 60)
    jumping.jump(HOUR + 61)
    assert desk.broker.promote()[0] == 1
    assert (desk.where("soon"), desk.where("later")) == (["PENDING", "ready"], ["SCHEDULED", "delayed"])
    jumping.jump(2 * HOUR)

    assert desk.broker.promote() == (1, None)
    desk.lawful()


# ---- schedules -------------------------------------------------------------------------------------


def hourly(jumping: Jumping, missed: str) -> Clockwork:
    app = jumping.desk.app
    app.task(_work)
    app.schedules.add("s", {"name": "_work"}, every=600, missed=missed)
    return Clockwork(app.timetable, app.agenda, app.world)


def _work() -> None: ...


def fire_all(clockwork: Clockwork) -> None:
    while clockwork.fire() == 0.0:
        pass


def test_after_a_jump_back_no_due_time_is_fired_twice_nor_left_out(jumping: Jumping) -> None:
    clockwork = hourly(jumping, "all")
    for _ in range(6):
        jumping.jump(600)
        fire_all(clockwork)
    jumping.jump(-HOUR)
    fire_all(clockwork)
    for _ in range(9):
        jumping.jump(600)
        fire_all(clockwork)

    ids = sorted(jumping.desk.app.inspector.task_ids())
    first = 1_000_000 // 600 * 600 + 600
    assert ids == sorted(task_id_of("s", first + 600 * number) for number in range(9))
    assert jumping.desk.app.inspector.queue_length("default") == 9


def test_after_a_jump_ahead_what_was_passed_over_counts_as_missed(jumping: Jumping) -> None:
    clockwork = hourly(jumping, "once")
    jumping.jump(6 * HOUR)
    fire_all(clockwork)
    jumping.jump(-6 * HOUR)
    fire_all(clockwork)

    assert jumping.desk.app.inspector.queue_length("default") == 1


@pytest.mark.usefixtures("wrong_clock")
@AHEAD_AND_BEHIND
def test_a_machine_with_a_wrong_clock_adds_and_fires_schedules_in_time(desk: Desk) -> None:
    app = desk.app
    app.task(_work)

    record = app.schedules.add("s", {"name": "_work"}, every=5)
    assert 0 < (record.next or 0) - _true_time() <= 5
    [shown] = app.schedules.preview(1, every=5).next
    assert 0 < datetime.fromisoformat(shown).timestamp() - _true_time() <= 5
    app.clients.commands.zadd(app.keys.schedules, {"s": int(_true_time()) // 5 * 5})
    Clockwork(app.timetable, app.agenda, app.world).fire()

    assert app.inspector.queue_length("default") == 1
