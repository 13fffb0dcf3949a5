"""``minicelery up``: everything with one command, and nothing left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil

from minicelery import launch
from minicelery.embedded import EmbeddedServer, free_port
from tests.stack import wait_until


@contextmanager
def _up(folder: Path, *arguments: str, **environ: str) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], str]]]:
    log = folder / "up.log"
    command = [sys.executable, "-m", "minicelery", "up", *arguments]
    with log.open("wb") as output:
        process = launch.start(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
            stdout=output,
            stderr=output,
        )
    try:
        yield process, lambda: log.read_text(encoding="utf-8", errors="replace")
    finally:
        launch.end(process, 10)


def test_up_shows_the_progress_of_a_task_to_its_end_and_ctrl_c_ends_every_child(tmp_path: Path) -> None:
    with _up(tmp_path, "--port", str(free_port())) as (process, text):
        wait_until(lambda: "Mini-Celery is up" in text(), 40, "the start")
        steps = [int(step) for step in re.findall(r"progress (\d+)/20", text())]
        address = re.search(r"Docs +(http\S+)/docs", text())
        assert address
        with urlopen(f"{address[1]}/readyz") as response:
            assert response.status == 200
        children = psutil.Process(process.pid).children(recursive=True)

        process.send_signal(signal.SIGINT)

        assert process.wait(10) == 0
        assert steps == sorted(steps)
        assert steps[-1] == 20
        assert "Completed: 'lift-off'" in text()
        assert len(children) >= 4
        assert psutil.wait_procs(children, timeout=5)[1] == []


def test_a_port_that_is_taken_is_said_and_the_next_one_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _up(tmp_path, "--port", str(port), "--no-demo") as (_, text):
            wait_until(lambda: "Mini-Celery is up" in text(), 40, "the start")

            assert re.search(rf"{port}.* (taken|in use)", text()), text()
            assert f"http://127.0.0.1:{port}/tasks" not in text()


def test_a_redis_that_is_named_is_used_instead_of_the_embedded_one(tmp_path: Path, server: EmbeddedServer) -> None:
    port = str(free_port())
    with _up(tmp_path, "--port", port, REDIS_HOST="127.0.0.1", REDIS_PORT=str(server.port)) as (process, text):
        wait_until(lambda: "Mini-Celery is up" in text(), 40, "the start")

        names = [child.name() for child in psutil.Process(process.pid).children(recursive=True)]
        assert not [name for name in names if "valkey" in name or "redis" in name]
        assert "Completed: 'lift-off'" in text()
