"""What goes wrong in a simulation when it is told to: dead workers, second deliveries, lost connections, no Redis."""

import gc
import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from minicelery import MiniCelery, RedisUnavailable, Task
from minicelery.config import Config
from minicelery.errors import InvalidInput, SimulationError, UnknownTask
from minicelery.states import Status
from minicelery.testing import Run, Simulation, simulated
from minicelery.web import create_app


@pytest.fixture
def called() -> list[int]:
    return []


@pytest.fixture
def shop(called: list[int]) -> MiniCelery:
    app = MiniCelery("shop", config=Config(redis_url="redis://127.0.0.1:1", patience=1.0))

    @app.task
    def note(number: int) -> int:
        called.append(number)
        return number

    @app.task
    def other() -> None: ...

    return app


@pytest.fixture
def sim(shop: MiniCelery) -> Iterator[Simulation]:
    with simulated(shop) as simulation:
        yield simulation


def test_a_task_of_a_lost_machine_comes_back_when_its_lease_is_over(
    shop: MiniCelery, sim: Simulation, called: list[int]
) -> None:
    result = shop.tasks.find("note").delay(1)
    sim.kill_worker(after="claim")

    assert sim.run() == []
    assert (result.status, called) == (Status.RUNNING, [])
    assert sim.advance("14s") == []
    [run] = sim.advance("1s")
    assert (run.status, run.attempt, called) == (Status.SUCCESS, 2, [1])
    assert (result.record.crashes, sim.now.second) == (1, 15)


def test_a_run_that_was_not_recorded_is_repeated(shop: MiniCelery, sim: Simulation, called: list[int]) -> None:
    result = shop.tasks.find("note").delay(1)
    sim.kill_worker(after="run")

    assert [run.status for run in sim.advance("1m")] == [None, Status.SUCCESS]
    assert (result.get(), called, result.record.crashes) == (1, [1, 1], 1)


def test_what_a_lost_process_had_is_back_at_once(shop: MiniCelery, sim: Simulation, called: list[int]) -> None:
    result = shop.tasks.find("note").delay(1)
    sim.kill_worker(after="claim", lost="process")

    assert [run.status for run in sim.run()] == [Status.SUCCESS]
    assert (called, result.record.crashes) == ([1], 0)


def test_a_task_that_kills_its_process_runs_alone_and_is_given_up(
    shop: MiniCelery, sim: Simulation, called: list[int]
) -> None:
    result = shop.tasks.find("note").delay(1)
    for _ in range(5):
        sim.kill_worker(after="run", lost="process")

    assert [run.status for run in sim.run()] == [None] * 5
    assert (result.status, len(called), result.record.crashes) == (Status.FAILED, 5, 5)
    assert result.record.error == {
        "type": "WorkerCrashed",
        "message": "its process crashed 5 times, 3 of them with no other task beside it; the last time it was ended by "
        "SIGKILL",
        "traceback": "",
    }


def test_a_slot_of_a_lost_worker_comes_back_with_its_lease(shop: MiniCelery, sim: Simulation) -> None:
    shop.limits.set_task("note", concurrency=1)
    for number in range(2):
        shop.tasks.find("note").delay(number)
    sim.kill_worker(after="claim")

    assert sim.run() == []
    assert {record.status for record in sim.waiting} == {Status.RUNNING, Status.WAITING}
    assert len(sim.advance("15s")) == 2


def test_a_slot_of_a_queue_of_the_code_comes_back_with_its_lease(shop: MiniCelery) -> None:
    shop.queue("narrow", concurrency=1)
    with simulated(shop) as sim:
        for number in range(2):
            shop.tasks.find("note").apply_async((number,), queue="narrow")
        sim.kill_worker(after="claim")

        assert sim.run() == []
        assert {record.status for record in sim.waiting} == {Status.RUNNING, Status.PENDING}
        assert len(sim.advance("15s")) == 2


def test_an_accident_befalls_the_task_that_is_named(shop: MiniCelery, sim: Simulation, called: list[int]) -> None:
    sim.kill_worker(after="claim", task="note")
    shop.tasks.find("other").delay()
    shop.tasks.find("note").delay(1)

    assert [(run.name, run.status) for run in sim.run()] == [("other", Status.SUCCESS)]
    assert called == []
    assert len(sim.advance("15s")) == 1
    with pytest.raises(UnknownTask, match="did you mean 'note'"):
        sim.kill_worker(task="nota")


def test_schedules_of_the_code_fire_after_a_worker_has_died(shop: MiniCelery, sim: Simulation) -> None:
    shop.periodic(every=60)(shop.tasks.find("other"))
    sim.kill_worker(after="run")

    assert [run.status for run in sim.advance("2m")] == [None, Status.SUCCESS, Status.SUCCESS]


def test_of_a_task_that_is_delivered_twice_one_outcome_is_recorded(
    shop: MiniCelery, sim: Simulation, called: list[int]
) -> None:
    result = shop.tasks.find("note").delay(1)
    sim.deliver_twice()

    runs = sim.run()

    assert [(run.attempt, run.status) for run in runs] == [(1, None), (2, Status.SUCCESS)]
    assert (result.get(), called, runs[0].at) == (1, [1, 1], runs[1].at)


# ---- the connection -----------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["request", "reply"])
def test_a_submission_whose_connection_is_lost_is_repeated_and_not_doubled(
    shop: MiniCelery, sim: Simulation, called: list[int], when: str
) -> None:
    sim.lose_connection(times=2, when=when)
    shop.tasks.find("note").delay(1)

    assert len(sim.run()) == 1
    assert called == [1]


@pytest.mark.parametrize("when", ["request", "reply"])
@pytest.mark.parametrize("script", ["claim", "settle"])
def test_claims_and_outcomes_whose_connection_is_lost_are_repeated(
    shop: MiniCelery, sim: Simulation, called: list[int], script: str, when: str
) -> None:
    result = shop.tasks.find("note").delay(1)
    sim.lose_connection(when=when, script=script)

    [run] = sim.run()
    assert (run.status, run.attempt, result.record.deliveries, called) == (Status.SUCCESS, 1, 1, [1])


@pytest.mark.parametrize("script", ["settle", "claim", "promote", "recover"])
def test_a_worker_bears_a_longer_outage_than_its_patience(
    shop: MiniCelery, sim: Simulation, called: list[int], script: str
) -> None:
    result = shop.tasks.find("note").apply_async((1,), countdown=5)
    sim.kill_worker(after="claim", lost="process")
    sim.lose_connection(times=40, script=script)

    assert [run.status for run in sim.advance("5m")] == [Status.SUCCESS]
    assert (result.status, called) == (Status.SUCCESS, [1])


def test_an_outcome_from_before_an_outage_is_recorded_after_it(
    shop: MiniCelery, sim: Simulation, called: list[int]
) -> None:
    with ExitStack() as outage:

        @shop.task
        def unplug() -> None:
            called.append(0)
            outage.enter_context(sim.redis_down())

        result = unplug.delay()
        assert [run.status for run in sim.run()] == [None]

    assert (sim.run(), result.status, called) == ([], Status.SUCCESS, [0])


def test_an_outage_within_an_outage_ends_with_the_outer_one(shop: MiniCelery, sim: Simulation) -> None:
    with sim.redis_down():
        with sim.redis_down():
            pass
        with pytest.raises(RedisUnavailable):
            shop.tasks.find("note").delay(1)
    shop.tasks.find("note").delay(2)


def test_many_calls_at_once_bear_a_lost_reply(shop: MiniCelery, sim: Simulation, called: list[int]) -> None:
    sim.lose_connection(when="reply")
    shop.submit_many(shop.tasks.find("note").s(number) for number in range(210))

    assert len(sim.run()) == 210
    assert called == list(range(210))


def test_whoever_loses_too_many_connections_is_told(shop: MiniCelery, sim: Simulation) -> None:
    sim.lose_connection(times=1000, when="reply", script="enqueue")
    with pytest.raises(RedisUnavailable) as caught:
        shop.tasks.find("note").delay(1)

    sim._memory.losses.clear()  # how many are left is chance, and would be told
    [run] = sim.run()
    assert run.task_id == caught.value.task_id


def test_while_redis_is_down_submissions_are_refused_and_nothing_runs(
    shop: MiniCelery, sim: Simulation, called: list[int]
) -> None:
    note = shop.tasks.find("note")
    note.delay(1)
    note.apply_async((2,), countdown=60)
    with sim.redis_down():
        with pytest.raises(RedisUnavailable):
            note.delay(3)
        assert (sim.run(), sim.advance("1h")) == ([], [])

    assert len(sim.run()) == 2
    assert called == [1, 2]


def test_over_http_an_outage_is_a_503_and_is_forgotten_afterwards(shop: MiniCelery) -> None:
    http = create_app(shop).test_client()
    with simulated(shop) as sim:
        sent = http.post("/tasks", json={"name": "note", "args": [7]})
        sim.run()
        assert http.get(f"/tasks/{sent.json['task_id']}").json["result"] == 7
        with sim.redis_down():
            assert http.post("/tasks", json={"name": "note", "args": [8]}).status_code == 503
        sim.advance("2s")
        assert http.get("/readyz").status_code == 200
    with simulated(shop):
        assert http.post("/tasks", json={"name": "note", "args": [9]}).status_code == 202
        assert http.get("/readyz").status_code == 200


def test_what_was_asked_over_http_keeps_no_simulation_that_is_over(shop: MiniCelery) -> None:
    http, memories = create_app(shop).test_client(), []
    for _ in range(3):
        with simulated(shop) as sim:
            memories.append(weakref.ref(sim._memory))
            assert http.get("/readyz").status_code == 200
            assert http.get("/queue/stats").status_code == 200
        del sim
    gc.collect()

    assert [memory() is None for memory in memories[:-1]] == [True, True]


def test_what_never_went_wrong_is_told_at_the_end(shop: MiniCelery) -> None:
    for order in (lambda sim: sim.deliver_twice(), lambda sim: sim.lose_connection(script="settle")):
        with pytest.raises(SimulationError, match="was to go wrong"), simulated(shop) as simulation:
            order(simulation)


def test_a_part_of_what_was_to_go_wrong_is_not_all_of_it(shop: MiniCelery) -> None:
    ending = simulated(shop)
    ending.__enter__().lose_connection(times=500, script="enqueue")
    with pytest.raises(RedisUnavailable):
        shop.tasks.find("note").delay(1)

    with pytest.raises(SimulationError, match=r"was to go wrong .* \(4\d\d more times\)"):
        ending.__exit__(None, None, None)


def test_bad_words_are_refused_with_those_that_there_are(sim: Simulation) -> None:
    with pytest.raises(InvalidInput, match="/after: 'lunch' is unknown; use claim, run"):
        sim.kill_worker(after="lunch")
    with pytest.raises(InvalidInput, match="/lost"):
        sim.kill_worker(lost="nerve")
    with pytest.raises(InvalidInput, match="/when"):
        sim.lose_connection(when="never")
    with pytest.raises(InvalidInput, match="/script: 'select' is unknown; use admit"):
        sim.lose_connection(script="select")
    with pytest.raises(InvalidInput, match="/times"):
        sim.lose_connection(times=0)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_goes_wrong_the_law_holds_and_the_same_is_told_every_time(seed: int) -> None:
    assert _story(seed) == _story(seed)


def _story(seed: int) -> list[Run]:
    """Forty steps by chance of an app with a bit of everything, then half an hour in which all comes to an end."""
    app, chance = MiniCelery("shop", config=Config(redis_url="redis://127.0.0.1:1", patience=1.0)), random.Random(seed)
    _declare_for_story(app, chance)
    tasks: list[Task[..., None]] = [app.tasks.find(name) for name in ("shaky", "limited", "locked")]
    with simulated(app, seed=seed) as sim:
        steps: list[Callable[[], object]] = [
            *[lambda: chance.choice(tasks).apply_async((), countdown=chance.choice((0, 20)))] * 4,
            lambda: chance.choice(tasks).apply_async((), queue="other", priority=9, expires=40),
            lambda: sim.kill_worker(chance.choice(("claim", "run")), lost=chance.choice(("machine", "process"))),
            sim.deliver_twice,
            lambda: sim.lose_connection(chance.randrange(1, 4), chance.choice(("request", "reply"))),
            lambda: app.cancel([record.id for record in sim.waiting[:1]]),
            app.revive_all,
            *[lambda: sim.advance(chance.randrange(30))] * 3,
        ]
        for _ in range(40):
            chance.choice(steps)()
            sim.check()
        runs = sim.advance("30m")
        assert sim.waiting == []
    return runs


def _declare_for_story(app: MiniCelery, chance: random.Random) -> None:
    @app.task(max_retries=2, retry_backoff=5)
    def shaky() -> None:
        if chance.random() < 0.3:
            raise ValueError("not now")

    @app.task(rate_limit="20/m", concurrency=2)
    def limited() -> None:
        if chance.random() < 0.2:
            shaky.delay()

    @app.periodic(cron="*/5 * * * *")
    @app.task(unique_for=30)
    def locked() -> None:
        with app.lock("door", ttl=5):
            app.world.sleep(2)
