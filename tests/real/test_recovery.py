"""How soon the work of the dead goes on, and that the living are left in peace."""

import os
import signal
import threading
from pathlib import Path

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions
from tests.conftest import make_app
from tests.real.conftest import Crew, declare
from tests.real.test_processes import all_at_work
from tests.real.test_worker import PATIENCE, call, lawful
from tests.stack import stand_still, wait_until

#: So long that nothing in these tests can come about by its end.
LONG = "600"


def test_a_restarted_worker_does_not_wait_for_the_lease_of_the_killed_one(crew: Crew, tasks: MiniCelery) -> None:
    first = crew.start("--threads", "2", "--processes", "2", MINICELERY_LEASE=LONG).ready()
    all_at_work(tasks, 2)
    naps = [call(tasks, "nap", 1) for _ in range(4)]
    wait_until(lambda: all(nap.status.value == "RUNNING" for nap in naps), what="the start of all")

    first.process.kill()
    first.process.wait()
    second = crew.start("--threads", "4", MINICELERY_LEASE=LONG)

    assert [nap.get(PATIENCE) for nap in naps] == ["rested"] * 4
    assert {nap.record.crashes for nap in naps} == {1}
    assert second.text.count("of this machine is gone") == 2
    assert len(tasks.inspector.workers()) == 1
    lawful(tasks)


def test_a_worker_that_lives_on_takes_over_from_one_that_was_killed_beside_it(crew: Crew, tasks: MiniCelery) -> None:
    doomed = crew.start("--threads", "1", MINICELERY_LEASE=LONG).ready()
    nap = call(tasks, "nap", 4)
    wait_until(lambda: nap.status.value == "RUNNING", what="the start")
    heir = crew.start("--threads", "1", MINICELERY_LEASE=LONG).ready()

    doomed.process.kill()
    doomed.process.wait()

    assert nap.get(PATIENCE) == "rested"
    assert "of this machine is gone; ready again: 1" in heir.text


def test_when_redis_stands_still_for_longer_than_the_lease_nobody_is_taken_for_lost(
    crew: Crew, tasks: MiniCelery, server: EmbeddedServer
) -> None:
    workers = [crew.start("--threads", "3", MINICELERY_LEASE="2").ready() for _ in range(2)]
    wait_until(lambda: len(tasks.inspector.workers()) == 2, what="both workers")
    naps = [call(tasks, "nap", 8) for _ in range(6)]
    wait_until(lambda: all(nap.status.value == "RUNNING" for nap in naps), what="the start of all")

    assert server.pid is not None
    _stop(server.pid, seconds=4)

    assert [nap.get(PATIENCE) for nap in naps] == ["rested"] * 6
    assert {nap.record.deliveries for nap in naps} == {1}
    assert "stood still" in workers[0].text + workers[1].text
    lawful(tasks)


def test_a_worker_that_stood_still_does_not_recover_those_who_did_not(crew: Crew, tasks: MiniCelery) -> None:
    zombie = crew.start("--threads", "1", MINICELERY_LEASE="2").ready()
    wait_until(lambda: len(tasks.inspector.workers()) == 1, what="the first worker")
    [first] = [worker.id for worker in tasks.inspector.workers()]
    child = zombie.child()
    stand_still(child.pid)
    stand_still(zombie.process.pid)
    crew.start("--threads", "1", MINICELERY_LEASE="2").ready()
    others = lambda: [worker.id for worker in tasks.inspector.workers() if worker.id != first]  # noqa: E731
    wait_until(lambda: len(tasks.inspector.workers()) == len(others()) == 1, 20, "the recovery of the first")
    nap = call(tasks, "nap", 3)
    wait_until(lambda: nap.status.value == "RUNNING", what="the start")

    zombie.signal(signal.SIGCONT)
    child.send_signal(signal.SIGCONT)

    assert nap.get(PATIENCE) == "rested"
    assert nap.record.deliveries == 1
    assert "is lost" not in zombie.text
    wait_until(lambda: len(tasks.inspector.workers()) == 2, what="that both are back")
    assert call(tasks, "add", 1, 2).get(PATIENCE) == 3


def _stop(pid: int, seconds: float) -> None:
    stand_still(pid)
    threading.Event().wait(seconds)
    os.kill(pid, signal.SIGCONT)


def test_a_child_that_dies_while_redis_is_away_is_recovered_when_it_is_back(tmp_path: Path, namespace: str) -> None:
    with EmbeddedServer(ServerOptions(data=tmp_path / "data", fsync="always")) as server:
        app = declare(make_app(connect(Config(redis_url=server.url)), namespace))
        worker = Crew(server.url, namespace, tmp_path).start("--threads", "1", MINICELERY_LEASE=LONG).ready()
        try:
            nap = call(app, "announced_nap", 3)
            wait_until(lambda: nap.record.progress, what="the start")
            child = worker.child()
            server.kill()
            child.kill()
            wait_until(lambda: worker.child().pid != child.pid, what="the next child")

            server.start()

            assert nap.get(PATIENCE) == "rested"
            assert (nap.record.deliveries, nap.record.crashes) == (2, 1)
            assert f"was ended by SIGKILL while it ran announced_nap {nap.id}; ready again: 1" in worker.text
        finally:
            worker.signal(signal.SIGTERM)
            worker.end()
            app.clients.close()
