"""Real worker processes on a real server."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from minicelery import MiniCelery, Task, launch
from minicelery.embedded import EmbeddedServer
from tests.real import tasks as module
from tests.stack import ROOT, wait_until

LEASE = "2"


@dataclass
class Crew:
    """Starts workers of ``tests.real.tasks`` in one namespace, and ends them all."""

    redis_url: str
    namespace: str
    folder: Path
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self, *arguments: str, app: str = "tests.real.tasks:app", **environ: str) -> "Worker":
        return self.run("worker.py", "--app", app, *arguments, **environ)

    def run(self, *arguments: str, **environ: str) -> "Worker":
        """Start Python with such arguments, as if it were a worker."""
        log = self.folder / f"worker{len(self.workers)}.log"
        command = [sys.executable, *arguments]
        with log.open("wb") as output:
            process = launch.start(command, cwd=ROOT, env=self._environ(environ), stdout=output, stderr=output)
        self.workers.append(process)
        return Worker(process, log)

    def _environ(self, more: Mapping[str, str]) -> dict[str, str]:
        ours = {
            "MINICELERY_REDIS_URL": self.redis_url,
            "MINICELERY_NAMESPACE": self.namespace,
            "MINICELERY_LEASE": LEASE,
            "MINICELERY_LOG_FORMAT": "console",
        }
        return {**os.environ, "PYTHONUNBUFFERED": "1", **ours, **more}


@dataclass
class Worker:
    """One worker's process tree, and what it has written."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ready(self) -> "Worker":
        wait_until(lambda: "  tasks " in self.text or self.process.poll() is not None, 20, "the banner")
        assert self.process.poll() is None, self.text
        return self

    def child(self) -> psutil.Process:
        found = wait_until(lambda: psutil.Process(self.process.pid).children(), what="the child")
        assert isinstance(found[0], psutil.Process)
        return found[0]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill_all(self) -> None:
        """Kill -9 of the parent alone; the child must not outlive it."""
        child = self.child()
        self.process.kill()
        self.process.wait(5)
        child.wait(5)

    def end(self) -> tuple[int, str]:
        """Wait for the end: the exit code and the last line."""
        code = self.process.wait(20)
        return code, self.text.strip().splitlines()[-1]


@pytest.fixture
def crew(server: EmbeddedServer, namespace: str) -> Iterator[Crew]:
    with tempfile.TemporaryDirectory(prefix="minicelery-crew-") as folder:
        crew = Crew(server.url, namespace, Path(folder))
        try:
            yield crew
        finally:
            for process in crew.workers:
                launch.kill(process)


def declare(app: MiniCelery, source: MiniCelery = module.app) -> MiniCelery:
    """Declare the tasks of a module of ours (``tests.real.tasks``) on another app, to send them from there."""
    for task in source.tasks:
        app.tasks.add(Task(task.function, task.settings, app.submit, app.world.new_id, task.bind))
    return app


@pytest.fixture
def tasks(real_app: MiniCelery) -> MiniCelery:
    """The tasks of ``tests.real.tasks``, sent into the crew's namespace."""
    return declare(real_app)
