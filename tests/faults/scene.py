"""A stage for real workers that are stopped and started around tasks whose results are known."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer
from minicelery.record import TaskRecord
from minicelery.states import Status
from tests.conftest import make_app
from tests.real.conftest import Crew, Worker
from tests.stack import wait_until

from .conftest import declare
from .crowd import APP
from .history import keep_history
from .tasks import answer

PATIENCE = 30.0


@dataclass
class Scene:
    """An app that sends the tasks of ``tests.faults.tasks``, and workers that run them, on one server."""

    app: MiniCelery
    crew: Crew
    results: list[Any] = field(default_factory=list)

    def start(self, *arguments: str, **environ: str) -> Worker:
        """A worker with two threads, if nothing else is said, and a lease for whose end nobody could wait."""
        settings = {"MINICELERY_LEASE": "600", **environ}
        return self.crew.start("--threads", "2", *arguments, app=APP, **settings)

    def work(self, seconds: float = 0.0, **options: Any) -> Any:
        return self._send("work", seconds, options)

    def linger(self) -> Any:
        """A task that takes a minute in its first run, and no time in the next."""
        return self._send("linger", self._marker(), {})

    def announced(self, seconds: float) -> Any:
        """A task that takes so long, for ``lingering`` to wait for."""
        return self._send("announced", self._marker(), {}, seconds)

    def running(self, *results: Any) -> None:
        wait_until(lambda: all(one.status is Status.RUNNING for one in results), PATIENCE, "the start")

    def lingering(self, *results: Any) -> None:
        """Wait until the first run of each is on its way. A task that is RUNNING may still be given back."""
        self.running(*results)
        markers = [Path(one.record.args[1]) for one in results]
        wait_until(lambda: all(marker.exists() for marker in markers), PATIENCE, "the first run")

    def all_finish(self) -> None:
        """Every task that was sent finishes with its own result, and the law holds."""
        for number, result in enumerate(self.results):
            assert result.get(PATIENCE) == answer(number)
        assert [str(violation) for violation in self.app.doctor.violations()] == []

    def _marker(self) -> str:
        return str(self.crew.folder / f"marker{len(self.results)}")

    def _send(self, name: str, detail: object, options: dict[str, Any], *more: object) -> Any:
        result = self.app.tasks.find(name).apply_async([len(self.results), detail, *more], **options)
        self.results.append(result)
        return result


@contextmanager
def scene_on(url: str, namespace: str, folder: Path) -> Iterator[Scene]:
    """On the server at an address; its workers end with it."""
    crew = Crew(url, namespace, folder)
    app = declare(make_app(connect(Config(redis_url=url)), namespace))
    try:
        yield Scene(app, crew)
    finally:
        for process in crew.workers:
            launch.kill(process)
        app.clients.close()


def start_again(server: EmbeddedServer) -> None:
    server.start()
    keep_history_of(server)


def keep_history_of(server: EmbeddedServer) -> None:
    with redis.Redis.from_url(server.url, protocol=2) as client:
        keep_history(client)


def end(worker: Worker, way: str) -> None:
    """End a worker: finish what runs, stop now, or kill -9."""
    if way == "hard":
        kill(worker)
        return
    worker.signal(signal.SIGTERM)
    if way == "cold":
        wait_until(lambda: "stopping" in worker.text, what="the first signal")
        worker.signal(signal.SIGTERM)
    assert worker.end()[0] == 0


def kill(worker: Worker) -> None:
    """Kill -9 of the parent, and the end of all its children that follows from it."""
    children = psutil.Process(worker.process.pid).children()
    worker.process.kill()
    worker.process.wait(10)
    wait_until(lambda: not any(map(_is_running, children)), what="the end of the children")


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def counts(record: TaskRecord) -> tuple[int, int, int]:
    return record.deliveries, record.crashes, record.released
