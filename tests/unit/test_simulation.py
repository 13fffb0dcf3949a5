"""The simulation for users' tests: time, the worker, and what an app is before and after."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import fakeredis
import pytest
from flask import Flask, current_app

from minicelery import MiniCelery, TaskContext, memory, simulation
from minicelery.config import Config
from minicelery.errors import (
    InvalidInput,
    ResultTimeout,
    SimulationError,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
)
from minicelery.spans import seconds_of
from minicelery.states import Status
from minicelery.testing import Run, Simulation, drain, eager, simulated

pytest_plugins = ["minicelery.pytest_plugin", "pytester"]


@pytest.fixture
def shop() -> MiniCelery:
    """An app whose Redis is nowhere."""
    app = MiniCelery("shop", config=Config(redis_url="redis://127.0.0.1:1", patience=1.0))

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(bind=True, max_retries=3, retry_backoff=60)
    def flaky(self: TaskContext, failures: int) -> int:
        self.progress(self.retry_count, failures)
        if self.retry_count < failures:
            raise ValueError("not yet")
        return self.retry_count

    return app


@pytest.fixture
def sim(shop: MiniCelery) -> Iterator[Simulation]:
    with simulated(shop) as simulation:
        yield simulation


def told(runs: list[Run]) -> list[tuple[str, str, Status | None]]:
    """Runs by name, time of day and outcome."""
    return [(run.name, f"{run.at:%H:%M:%S}", run.status) for run in runs]


# ---- what runs, and when ------------------------------------------------------------------------


def test_a_task_runs_when_the_simulation_is_told_to(shop: MiniCelery, sim: Simulation) -> None:
    result = shop.tasks.find("add").delay(2, 3)

    assert (result.status, sim.queues(), [record.id for record in sim.waiting]) == (
        Status.PENDING,
        {"default": 1},
        [result.id],
    )
    assert told(sim.run()) == [("add", "00:00:00", Status.SUCCESS)]
    assert (result.get(timeout=0), result.get(), sim.queues(), sim.waiting) == (5, 5, {}, [])


def test_time_goes_from_one_due_moment_to_the_next(shop: MiniCelery, sim: Simulation) -> None:
    add = shop.tasks.find("add")
    for seconds in (3600, 90, 30):
        add.apply_async((seconds, 0), countdown=seconds)
    add.apply_async((1, 0), eta=datetime(2030, 1, 1, 0, 0, 45, tzinfo=UTC))

    assert sim.run() == []
    assert [run.at for run in sim.advance("10m")] == [sim_time(0, 0, 30), sim_time(0, 0, 45), sim_time(0, 1, 30)]
    assert sim.now == sim_time(0, 10, 0)
    assert [run.at for run in sim.advance(timedelta(minutes=50))] == [sim_time(1, 0, 0)]


def sim_time(hour: int, minute: int, second: int) -> datetime:
    return datetime(2030, 1, 1, hour, minute, second, tzinfo=UTC)


def test_what_is_due_when_time_has_passed_in_parts_runs_in_the_last_of_them(shop: MiniCelery, sim: Simulation) -> None:
    shop.tasks.find("add").apply_async((1, 2), countdown=0.2)

    assert sim.advance(0.1) == []
    assert len(sim.advance(0.1)) == 1


def test_what_runs_sees_the_moment_and_what_it_submits_runs_in_order(shop: MiniCelery, sim: Simulation) -> None:
    seen: list[tuple[int, float]] = []

    @shop.task
    def chain(count: int) -> None:
        seen.append((count, sim.now.timestamp() - simulation.START.timestamp()))
        if count:
            chain.apply_async((count - 1,), countdown=10)

    chain.delay(3)

    assert len(sim.advance("20s")) == 3
    assert seen == [(3, 0), (2, 10), (1, 20)]


def test_retries_follow_on_the_clock_with_jitter_from_the_seed(shop: MiniCelery) -> None:
    def story(seed: int) -> list[Run]:
        with simulated(shop, seed=seed) as sim:
            shop.tasks.find("flaky").delay(3)
            return sim.advance("1h")

    first = story(1)

    assert [run.status for run in first] == [Status.RETRYING] * 3 + [Status.SUCCESS]
    assert [run.attempt for run in first] == [1, 2, 3, 4]
    assert first[0].at < first[1].at < first[2].at < first[3].at
    assert first == story(1)
    assert first != story(2)


def test_what_fails_for_good_is_a_dead_letter(shop: MiniCelery, sim: Simulation) -> None:
    result = shop.tasks.find("flaky").apply_async((9,), max_retries=1)

    assert [run.status for run in sim.advance("1h")] == [Status.RETRYING, Status.FAILED]
    with pytest.raises(TaskFailed, match="not yet"):
        result.get()
    shop.revive(result.id)
    assert [run.status for run in sim.advance("1h")] == [Status.RETRYING, Status.FAILED]


def test_what_is_too_late_expires_in_its_moment(shop: MiniCelery, sim: Simulation) -> None:
    shop.limits.pause_queue("default")
    result = shop.tasks.find("add").apply_async((1, 2), expires=30)

    sim.advance(29.999)
    assert result.status is Status.PENDING
    sim.advance("1h")
    assert result.record.updated_at == sim_time(0, 0, 30).timestamp()
    with pytest.raises(TaskExpired):
        result.get()


def test_a_delayed_task_tells_why_it_waits_by_the_clock(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task(queue="post")
    def letter() -> None: ...

    result = letter.apply_async(countdown=600)
    sim.advance("9m")
    assert result.why().reasons == ("it is due in 60.0 s",)

    at_once = letter.delay()
    sim.advance(0)
    assert "no live worker serves" not in str(letter.delay().why())
    assert at_once.successful()


def test_what_is_paused_waits_until_it_goes_on(shop: MiniCelery, sim: Simulation) -> None:
    shop.limits.pause_queue("default", by="ann")
    shop.limits.pause_task("flaky")
    results = [shop.tasks.find("add").delay(1, 2), shop.tasks.find("flaky").apply_async((0,), queue="other")]

    assert sim.advance("1d") == []
    assert "paused by ann" in str(results[0].why())
    shop.limits.resume_queue("default")
    shop.limits.resume_task("flaky")
    assert [run.name for run in sim.advance("10s")] == ["add", "flaky"]


def test_as_many_runs_as_are_asked_for(shop: MiniCelery, sim: Simulation) -> None:
    for number in range(3):
        shop.tasks.find("add").delay(number, 0)

    assert (len(sim.run(1)), len(sim.run(1)), len(sim.run())) == (1, 1, 1)


def test_priorities_and_queues_come_in_the_order_of_a_worker(shop: MiniCelery) -> None:
    shop.configure(queues=("high", "default"))
    add = shop.tasks.find("add")
    with simulated(shop) as sim:
        for place, options in enumerate(({}, {"queue": "other"}, {"priority": 9}, {"queue": "high"})):
            add.apply_async((place, 0), **options)

        assert [shop.result(run.task_id).get() for run in sim.run()] == [3, 2, 0, 1]


def test_isolated_tasks_run_here(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task(isolation="process", time_limit=60)
    def pid() -> int:
        return os.getpid()

    result = pid.delay()
    sim.run()
    assert result.get() == os.getpid()


def test_tasks_run_in_the_application_context_of_flask(shop: MiniCelery) -> None:
    flask_app = Flask("shop")
    shop.init_app(flask_app)

    @shop.task
    def whose() -> str:
        return current_app.name

    with simulated(shop) as sim:
        result = whose.delay()
        sim.run()
        assert result.get() == "shop"


def test_a_task_that_takes_time_lets_it_pass(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task
    def slow() -> str:
        sim.sleep(90)
        return f"{sim.now:%H:%M:%S}"

    result = slow.delay()
    shop.tasks.find("add").apply_async((1, 2), countdown=30)

    assert told(sim.run()) == [("slow", "00:00:00", Status.SUCCESS), ("add", "00:01:30", Status.SUCCESS)]
    assert result.get() == "00:01:30"


def test_a_running_task_sees_that_it_is_cancelled(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task(bind=True)
    def stubborn(self: TaskContext) -> None:
        seen.append(self.cancelled)
        shop.cancel([self.id])
        seen.append(self.cancelled)

    seen: list[bool] = []
    stubborn.delay()

    assert [run.status for run in sim.run()] == [Status.CANCELLED]
    assert seen == [False, True]


# ---- schedules ----------------------------------------------------------------------------------


def test_a_schedule_of_the_code_fires_at_each_due_time(shop: MiniCelery, sim: Simulation) -> None:
    @shop.periodic(every=60)
    @shop.task
    def tick() -> None: ...

    runs = sim.advance("4h")

    assert [run.at for run in runs] == [simulation.START + timedelta(minutes=minute) for minute in range(1, 241)]
    last = shop.schedules.get("tick").last
    assert last is not None
    assert last.status is Status.SUCCESS


def test_a_schedule_keeps_its_local_hour_through_both_changes_of_the_clocks(shop: MiniCelery) -> None:
    vienna = ZoneInfo("Europe/Vienna")

    @shop.periodic(cron="30 9 * * mon-fri", timezone="Europe/Vienna")
    @shop.task
    def report() -> None: ...

    with simulated(shop, start=datetime(2026, 1, 1, tzinfo=vienna)) as sim:
        runs = sim.advance(datetime(2027, 1, 1, tzinfo=vienna))

    assert len(runs) == 261
    assert {run.at.astimezone(vienna).strftime("%H:%M") for run in runs} == {"09:30"}
    assert {run.at.hour for run in runs} == {7, 8}


def test_how_the_last_run_of_a_schedule_ended_is_known_when_its_task_is_gone(shop: MiniCelery, sim: Simulation) -> None:
    shop.schedules.add("sums", shop.tasks.find("add").s(1, 2), cron="0 0 2 1 *")
    [run] = sim.advance("1w")

    with pytest.raises(TaskNotFound):
        _ = shop.result(run.task_id).status
    last = shop.schedules.get("sums").last
    assert last is not None
    assert last.status is Status.SUCCESS


@pytest.mark.timeout(10)
def test_time_passes_by_a_run_that_stays_open_although_half_of_its_keeping_is_not_exact(shop: MiniCelery) -> None:
    shop.config = shop.config.overridden(result_ttl=1.3)
    with simulated(shop) as sim:
        shop.limits.pause_queue("default")
        shop.schedules.add("sums", shop.tasks.find("add").s(1, 2), every=10)

        sim.advance(15)

        assert sim.now == sim_time(0, 0, 15)


def test_a_schedule_that_is_made_at_run_time_fires_until_it_is_paused(shop: MiniCelery, sim: Simulation) -> None:
    shop.schedules.add("sums", shop.tasks.find("add").s(1, 2), every=10)
    assert len(sim.advance("1m")) == 6

    shop.schedules.pause("sums")
    assert sim.advance("1m") == []


# ---- limits, keys and locks ---------------------------------------------------------------------


def test_what_has_waited_long_goes_ahead_in_a_queue_that_ages(shop: MiniCelery, sim: Simulation) -> None:
    shop.queue("ageing", ageing=60)
    add = shop.tasks.find("add")
    old = add.apply_async((1, 2), queue="ageing", priority=0)
    sim.sleep("2m")
    new = add.apply_async((1, 2), queue="ageing", priority=9)

    assert [run.task_id for run in sim.run()] == [old.id, new.id]


def test_what_the_code_says_of_queues_is_said_for_as_long_as_its_worker_lives(
    shop: MiniCelery, sim: Simulation
) -> None:
    shop.queue("narrow", concurrency=3)
    sim.kill_worker(after="claim", lost="process")
    shop.tasks.find("add").delay(1, 2)
    sim.advance("1h")

    assert shop.inspector.queue_settings() == {"narrow": "3:"}
    assert "queue/narrow 3:" in str(shop.inspector.workers())


def test_a_rate_spreads_the_starts(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task(rate_limit="6/m")
    def mail() -> None: ...

    for _ in range(4):
        mail.delay()

    assert [f"{run.at:%S}" for run in sim.advance("1m")] == ["00", "10", "20", "30"]


def test_what_redis_keeps_for_a_while_ends_by_the_clock(shop: MiniCelery, sim: Simulation) -> None:
    add = shop.tasks.find("add")
    first = add.apply_async((1, 2), throttle=60)
    sim.advance("59s")
    assert add.apply_async((1, 2), throttle=60).duplicate
    sim.advance("1s")
    assert not add.apply_async((1, 2), throttle=60).duplicate

    sim.advance(shop.config.result_ttl - 61)
    assert first.get() == 3
    sim.advance("1s")
    with pytest.raises(TaskNotFound):
        first.get()


def test_a_debounced_call_waits_for_the_quiet(shop: MiniCelery, sim: Simulation) -> None:
    add = shop.tasks.find("add")
    for number in range(3):
        add.apply_async((number, 0), debounce=10, unique_key="sum")
        sim.advance("9s")

    [run] = sim.advance("1m")
    assert (shop.result(run.task_id).get(), f"{run.at:%S}") == (2, "28")


def test_a_lock_that_is_held_is_renewed_while_time_passes(shop: MiniCelery, sim: Simulation) -> None:
    with shop.lock("door", ttl=30) as lock:
        sim.advance("10m")

        assert lock.held
        assert not shop.lock("door").acquire(blocking=False)
    assert shop.lock("door").acquire(blocking=False)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("ttl", [0.6, 1.2])
def test_a_lock_is_renewed_whether_or_not_a_third_of_its_time_is_exact(
    shop: MiniCelery, sim: Simulation, ttl: float
) -> None:
    with shop.lock("door", ttl=ttl) as lock:
        sim.sleep(5)

        assert lock.held
    assert sim.now == sim_time(0, 0, 5)


def test_who_waits_for_a_lock_gets_it_when_it_has_run_out(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task
    def forgetful() -> None:
        shop.lock("door", ttl=20, renew=False).acquire()

    @shop.task
    def patient() -> None:
        with shop.lock("door"):
            entered.append(sim.now)

    entered: list[datetime] = []
    forgetful.delay()
    patient.delay()
    sim.run()

    assert entered == [sim_time(0, 0, 20)]


def test_a_wait_that_nobody_ends_is_refused(shop: MiniCelery, sim: Simulation) -> None:
    with shop.lock("door"), pytest.raises(SimulationError, match="waits for the lock 'door', which nobody gives back"):
        shop.lock("door").acquire()


@pytest.mark.parametrize("timeout", [0.5, 1800, 7200])
def test_a_wait_for_a_lock_ends_with_its_timeout(shop: MiniCelery, sim: Simulation, timeout: float) -> None:
    with shop.lock("door"):
        assert not shop.lock("door", timeout=timeout).acquire()

    assert sim.now == simulation.START + timedelta(seconds=timeout)


def test_a_wait_for_a_lock_that_lasts_long_ends_with_it(shop: MiniCelery, sim: Simulation) -> None:
    shop.lock("door", ttl=86_400, renew=False).acquire()
    with shop.lock("door"):
        assert sim.now == simulation.START + timedelta(days=1)


# ---- what is refused ----------------------------------------------------------------------------


def test_waiting_for_a_result_that_will_not_come_is_refused(shop: MiniCelery, sim: Simulation) -> None:
    result = shop.tasks.find("add").delay(1, 2)

    for timeout in (None, 5):
        with pytest.raises(SimulationError, match=r"is PENDING, and nothing runs .* sim.advance"):
            result.get(timeout=timeout)
    with pytest.raises(ResultTimeout):
        result.get(timeout=0)


def test_a_task_can_not_let_the_simulation_go_on(shop: MiniCelery, sim: Simulation) -> None:
    @shop.task(max_retries=0)
    def eager_one() -> None:
        sim.advance("1h")

    result = eager_one.delay()
    sim.run()

    with pytest.raises(TaskFailed, match=r"SimulationError: a task can't .* sim.sleep\(\)"):
        result.get()


def test_a_task_that_submits_itself_for_ever_is_noticed(
    shop: MiniCelery, sim: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    @shop.task
    def again() -> None:
        again.delay()

    monkeypatch.setattr(simulation, "_MOST_AT_ONCE", 20)
    again.delay()
    with pytest.raises(SimulationError, match=r"[23]\d runs at one moment"):
        sim.run()


def test_many_tasks_that_wait_are_no_endless_loop(
    shop: MiniCelery, sim: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    @shop.task
    def twice(again: bool) -> None:
        if again:
            twice.delay(False)

    monkeypatch.setattr(simulation, "_MOST_AT_ONCE", 20)
    for _ in range(30):
        twice.delay(True)

    assert len(sim.run()) == 60


@pytest.mark.parametrize("span", ["", "1", "h", "1h-2m", "1 month", -1, True, None, float("nan"), timedelta(days=-1)])
def test_a_span_that_is_none_is_refused(sim: Simulation, span: object) -> None:
    with pytest.raises(InvalidInput, match="no span of time; give '1h30m'"):
        sim.advance(span)


def test_spans_are_read_as_people_write_them() -> None:
    spans = ["1h30m", "1h 30m", "90s", "250ms", "1.5h", "2d", "1w", 90, 0.25, timedelta(hours=1)]

    assert [seconds_of(span) for span in spans] == [5400, 5400, 90, 0.25, 5400, 172_800, 604_800, 90, 0.25, 3600]


def test_time_does_not_go_back(sim: Simulation) -> None:
    with pytest.raises(InvalidInput, match="is past"):
        sim.advance(datetime(2029, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidInput, match="time zone"):
        sim.advance(datetime(2031, 1, 1))


@pytest.mark.parametrize("most", [0, -1, True, 1.5])
def test_a_number_of_runs_that_is_none_is_refused(sim: Simulation, most: object) -> None:
    with pytest.raises(InvalidInput, match="/most"):
        sim.run(most)


def test_without_fakeredis_the_cure_is_told(shop: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("minicelery.memory")
    monkeypatch.setitem(sys.modules, "minicelery.memory", None)

    with pytest.raises(SimulationError, match=r"pip install 'fakeredis\[lua\]"), simulated(shop):
        pass


@pytest.mark.parametrize("moved", [AttributeError("it has moved"), TypeError("it has moved")])
def test_with_another_fakeredis_than_was_tested_the_cure_is_told(
    shop: MiniCelery, monkeypatch: pytest.MonkeyPatch, moved: Exception
) -> None:
    def fail(*_: object) -> None:
        raise moved

    monkeypatch.setattr(memory, "prove", memory.prove.__wrapped__)
    monkeypatch.setattr(memory.Memory, "_client", fail)

    with pytest.raises(SimulationError, match=r"it has moved.*pip install '.*<2\.42'"), simulated(shop):
        pass


# ---- before and after ---------------------------------------------------------------------------


def test_afterwards_the_app_is_as_before(fake_app: MiniCelery) -> None:
    add = fake_app.task(name="add")(lambda x, y: x + y)
    before = add.delay(1, 2)
    parts, world, config = dict(vars(fake_app)), fake_app.world, fake_app.config

    with simulated(fake_app) as sim:
        inside = add.delay(3, 4)
        sim.run()
        assert list(fake_app.inspector.task_ids()) == [inside.id]

    assert {name: vars(fake_app)[name] for name in parts} == parts
    assert (fake_app.world, fake_app.config) == (world, config)
    assert list(fake_app.inspector.task_ids()) == [before.id]
    assert drain(fake_app) == 1


def test_the_app_is_as_before_if_something_was_raised(fake_app: MiniCelery) -> None:
    clients = fake_app.clients

    with pytest.raises(ZeroDivisionError), simulated(fake_app):
        _ = 1 / 0

    assert fake_app.clients is clients


def test_within_eager_the_simulation_counts_and_then_eager_again(shop: MiniCelery) -> None:
    with eager(shop):
        with simulated(shop):
            assert shop.tasks.find("add").delay(1, 2).status is Status.PENDING
        assert shop.tasks.find("add").delay(1, 2).status is Status.SUCCESS


def test_an_app_is_simulated_once_at_a_time(shop: MiniCelery, sim: Simulation) -> None:
    with pytest.raises(SimulationError, match="simulated already"), simulated(shop):
        pass
    assert shop.tasks.find("add").delay(1, 2).status is Status.PENDING


def test_an_app_is_not_configured_while_it_is_simulated(shop: MiniCelery, sim: Simulation) -> None:
    with pytest.raises(SimulationError, match="before simulated"):
        shop.configure(lease=5)


def test_two_simulations_know_nothing_of_each_other(shop: MiniCelery) -> None:
    ids = []
    for _ in range(2):
        with simulated(shop) as sim:
            ids.append(shop.tasks.find("add").delay(1, 2).id)
            assert len(sim.run()) == 1
    assert ids[0] == ids[1]


def test_other_servers_in_memory_keep_the_time_of_this_machine(sim: Simulation) -> None:
    other = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    other.set("key", "value", px=60_000)

    sim.advance("30d")

    assert abs(other.time()[0] - time.time()) < 60
    assert 0 < other.pttl("key") <= 60_000


def test_nothing_waits_for_real(shop: MiniCelery, sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it sleeps"))
    shop.tasks.find("flaky").delay(2)

    assert len(sim.advance("1d")) == 3


def test_the_law_is_checked_at_the_end(shop: MiniCelery) -> None:
    ending = simulated(shop)
    ending.__enter__()
    shop.tasks.find("add").delay(1, 2)
    shop.clients.commands.delete(shop.keys.queue("default"))

    with pytest.raises(SimulationError, match="the law of conservation is broken"):
        ending.__exit__(None, None, None)
    assert "clients" not in vars(shop)


def test_the_fixture_simulates_until_the_test_ends(
    shop: MiniCelery, minicelery_simulated: Callable[..., Simulation]
) -> None:
    sim = minicelery_simulated(shop, start=datetime(2026, 6, 1, tzinfo=UTC))
    shop.tasks.find("add").apply_async((1, 2), countdown=3600)

    assert [run.at for run in sim.advance("1h")] == [datetime(2026, 6, 1, 1, tzinfo=UTC)]


def test_a_failed_test_has_no_second_error_of_its_fixture(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        from minicelery import MiniCelery

        def test_a(minicelery_simulated):
            minicelery_simulated(MiniCelery("a")).deliver_twice()
            raise ValueError("of the test itself")

        def test_b(minicelery_simulated):
            minicelery_simulated(MiniCelery("b")).deliver_twice()
        """
    )

    done = pytester.runpytest_inprocess("-p", "minicelery.pytest_plugin")

    done.assert_outcomes(failed=1, passed=1, errors=1)
    done.stdout.fnmatch_lines(["*ERROR at teardown of test_b*"])
