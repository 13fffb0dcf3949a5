"""Workers and servers that are stopped, killed and started again around tasks: each finishes, with its right result.

The scenarios are those of Celery's smoke tests for restarts and failovers.
"""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from minicelery import MiniCelery
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.scripts import load
from minicelery.states import Status
from tests.faults.conftest import declare
from tests.faults.proxy import FaultProxy
from tests.faults.scene import PATIENCE, Scene, counts, end, keep_history_of, kill, scene_on, start_again
from tests.real.conftest import Crew, Worker
from tests.stack import wait_until

#: A worker that soon says that Redis is away.
IMPATIENT = {"MINICELERY_PATIENCE": "0.2"}
WAYS = ("warm", "cold", "hard")


@pytest.fixture
def scene(crew: Crew, real_app: MiniCelery) -> Scene:
    """On the shared server."""
    return Scene(declare(real_app), crew)


@pytest.fixture
def server_of_ours(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that may be killed, and goes on from its data."""
    with EmbeddedServer(ServerOptions(data=tmp_path / "data")) as running:
        keep_history_of(running)
        yield running


@pytest.fixture
def fragile(server_of_ours: EmbeddedServer, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    """On a server that may be killed."""
    with scene_on(server_of_ours.url, namespace, tmp_path) as scene:
        yield scene


# ---- restarts of the worker --------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_is_restarted_during_tasks_while_others_wait(scene: Scene, way: str) -> None:
    worker = scene.start("--grace", "60")
    if way == "warm":
        running = [scene.work(0.5), scene.work(0.5)]
        scene.running(*running)
    else:
        running = [scene.linger(), scene.linger()]
        scene.lingering(*running)
    waiting = [scene.work() for _ in range(5)]

    end(worker, way)
    assert {result.status for result in waiting} == {Status.PENDING}
    scene.start()

    scene.all_finish()
    expected = {"warm": (1, 0, 0), "cold": (2, 0, 1), "hard": (2, 1, 0)}[way]
    assert {counts(result.record) for result in running} == {expected}
    assert {counts(result.record) for result in waiting} == {(1, 0, 0)}


def _wait_until_nobody_waits(scene: Scene) -> None:
    """Until Redis knows that all threads at the doorbells are gone; before, one of them may be given the next task."""
    ask = scene.app.clients.commands.client_list
    wait_until(lambda: all(one["cmd"] != "brpop" for one in ask()), what="the end of the connections")


@pytest.mark.parametrize("way", ["warm", "hard"])
def test_a_worker_is_restarted_between_tasks_and_after_them(scene: Scene, way: str) -> None:
    worker = scene.start()
    scene.work().get(PATIENCE)

    end(worker, way)
    _wait_until_nobody_waits(scene)
    between = scene.work()
    worker = scene.start()
    between.get(PATIENCE)
    end(worker, way)
    _wait_until_nobody_waits(scene)
    scene.start()
    scene.work()

    scene.all_finish()
    assert {counts(result.record) for result in scene.results} == {(1, 0, 0)}


def test_a_signal_to_all_processes_at_once_is_a_warm_shutdown(scene: Scene) -> None:
    worker = scene.start("--grace", "60")
    running = scene.work(1.0)
    scene.running(running)

    worker.child().send_signal(signal.SIGTERM)
    worker.child().send_signal(signal.SIGINT)
    end(worker, "warm")

    assert running.record.status is Status.SUCCESS
    assert counts(running.record) == (1, 0, 0)
    scene.all_finish()


def test_a_shutdown_that_becomes_a_hard_one_loses_nothing(scene: Scene) -> None:
    worker = scene.start("--grace", "60")
    running = scene.linger()
    scene.lingering(running)

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in worker.text, what="the first signal")
    kill(worker)
    scene.start()

    scene.all_finish()


def test_what_finished_during_a_warm_shutdown_is_not_run_again_after_a_kill(scene: Scene) -> None:
    worker = scene.start("--grace", "60")
    long, short = scene.linger(), scene.announced(1.0)
    scene.lingering(long, short)

    worker.signal(signal.SIGTERM)
    wait_until(lambda: short.status is Status.SUCCESS, PATIENCE, "the end of the short one")
    kill(worker)
    scene.start()

    scene.all_finish()
    assert counts(short.record) == (1, 0, 0)
    assert counts(long.record) == (2, 1, 0)


# ---- failover between workers ------------------------------------------------------------------


def test_another_worker_goes_on_when_one_is_killed(scene: Scene) -> None:
    first = scene.start(MINICELERY_LEASE="2").ready()
    running = scene.linger()
    scene.lingering(running)
    scene.start(MINICELERY_LEASE="2").ready()

    kill(first)
    for _ in range(4):
        scene.work()

    scene.all_finish()
    assert counts(running.record) == (2, 1, 0)


def test_one_of_two_killed_workers_comes_back(scene: Scene) -> None:
    workers = [scene.start().ready(), scene.start().ready()]
    running = [scene.linger(), scene.linger()]
    scene.lingering(*running)

    for worker in workers:
        kill(worker)
    scene.work()
    scene.start()

    scene.all_finish()


# ---- restarts of Redis -------------------------------------------------------------------------


def test_redis_is_killed_and_comes_back_and_again(fragile: Scene, server_of_ours: EmbeddedServer) -> None:
    worker = fragile.start(**IMPATIENT).ready()
    for outage in ("long", "short"):
        running = fragile.work(0.3)
        fragile.running(running)
        fragile.work(countdown=0.5)
        for _ in range(3):
            fragile.work(0.1)

        server_of_ours.kill()
        if outage == "long":
            _noticed(worker)
        start_again(server_of_ours)
        fragile.work()

        fragile.all_finish()
        assert counts(running.record) == (1, 0, 0)


def test_an_idle_worker_outlives_a_kill_of_redis(fragile: Scene, server_of_ours: EmbeddedServer) -> None:
    worker = fragile.start(**IMPATIENT).ready()
    fragile.work().get(PATIENCE)

    server_of_ours.kill()
    _noticed(worker)
    start_again(server_of_ours)
    for _ in range(5):
        fragile.work()

    fragile.all_finish()
    assert {result.record.deliveries for result in fragile.results} == {1}


def _noticed(worker: Worker) -> None:
    """Wait until the worker has said that Redis is away, which it does once."""
    wait_until(lambda: "trying until it is back" in worker.text, PATIENCE, "the worker's word")


def test_redis_and_the_worker_are_killed_with_work_in_every_state(
    fragile: Scene, server_of_ours: EmbeddedServer
) -> None:
    worker = fragile.start()
    fragile.work().get(PATIENCE)
    running = [fragile.linger(), fragile.linger()]
    fragile.lingering(*running)
    waiting = [*(fragile.work() for _ in range(5)), fragile.work(countdown=0.5)]

    server_of_ours.kill()
    kill(worker)
    start_again(server_of_ours)
    fragile.start()

    fragile.all_finish()
    assert {counts(result.record) for result in running} == {(2, 1, 0)}
    assert {counts(result.record) for result in waiting} == {(1, 0, 0)}


def test_a_worker_is_told_to_stop_while_redis_is_away(fragile: Scene, server_of_ours: EmbeddedServer) -> None:
    worker = fragile.start("--grace", "60").ready()
    running = fragile.work(0.5)
    fragile.running(running)

    server_of_ours.kill()
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in worker.text, what="the signal")
    start_again(server_of_ours)
    assert worker.end()[0] == 0
    fragile.start()

    fragile.all_finish()


def test_connections_are_ended_by_client_kill(fragile: Scene) -> None:
    fragile.start().ready()
    for kind in itertools.islice(itertools.cycle(["normal", "pubsub"]), 6):
        running = fragile.work(0.2)
        fragile.running(running)
        fragile.app.clients.commands.execute_command("CLIENT", "KILL", "TYPE", kind)
        fragile.work()

    fragile.all_finish()
    assert {result.record.crashes for result in fragile.results} == {0}


def test_claimed_work_whose_worker_never_heard_of_it_is_done_by_the_next(
    server: EmbeddedServer, namespace: str, tmp_path: Path
) -> None:
    with FaultProxy(server.port) as proxy, scene_on(server.url, namespace, tmp_path) as scene:
        scene.app.scripts.load_all()
        worker = scene.start(MINICELERY_REDIS_URL=proxy.url).ready()
        scene.work().get(PATIENCE)
        proxy.set(silent=True)
        proxy.lose_next(50, only=load("claim").sha.encode())
        wait_until(lambda: proxy.losses_ahead < 50)  # until then an earlier claim may wait at the bell

        claimed = scene.work()
        scene.running(claimed)
        kill(worker)
        scene.start()

        scene.all_finish()
        assert claimed.record.deliveries == 2


def test_a_replica_is_promoted_and_the_old_master_comes_back(namespace: str, tmp_path: Path) -> None:
    with (
        EmbeddedServer(ServerOptions(data=tmp_path / "first")) as first,
        EmbeddedServer(ServerOptions(data=tmp_path / "second")) as second,
        FaultProxy(first.port) as proxy,
        scene_on(proxy.url, namespace, tmp_path) as scene,
    ):
        keep_history_of(first)
        keep_history_of(second)
        scene.start().ready()
        for master, replica in ((first, second), (second, first)):
            _follow(replica, master)
            running = scene.work(0.5)
            scene.running(running)
            waiting = [scene.work() for _ in range(3)]
            _wait_for_copies(master)

            master.kill()
            with redis.Redis.from_url(replica.url, protocol=2) as client:
                client.replicaof("NO", "ONE")
            proxy.retarget(replica.port)
            scene.work()

            scene.all_finish()
            assert counts(running.record) == (1, 0, 0)
            assert {result.record.crashes for result in waiting} == {0}
            start_again(master)


def _follow(replica: EmbeddedServer, master: EmbeddedServer) -> None:
    with (
        redis.Redis.from_url(master.url, protocol=2) as leader,
        redis.Redis.from_url(replica.url, protocol=2) as client,
    ):
        leader.config_set("repl-diskless-sync-delay", 0)
        client.replicaof("127.0.0.1", str(master.port))
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", PATIENCE, "the copy")


def _wait_for_copies(master: EmbeddedServer) -> None:
    """Wait until the replica has all that the master wrote before."""
    with redis.Redis.from_url(master.url, protocol=2) as client:
        client.set("mark", "1", ex=60)
        assert client.wait(1, int(PATIENCE * 1000)) == 1
