"""A whole Mini-Celery for tests: server, web process and worker, each a process of its own on 127.0.0.1."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import psutil

from minicelery import launch
from minicelery.embedded import HOST, EmbeddedServer, free_port

ROOT = Path(__file__).parents[1]
OURS = ("MINICELERY_", "REDIS_", "API_", "WORKER_")
START_PATIENCE = 30.0
STOP_PATIENCE = 10.0

__all__ = ["Answer", "Stack", "free_port", "stand_still", "wait_until"]


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = build_opener(ProxyHandler({}), _NoRedirects())


def wait_until(predicate: Callable[[], Any], timeout: float = 10.0, what: str = "it") -> Any:
    """The first true answer of the predicate, asked every 10 ms; an AssertionError if none comes in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = predicate()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {timeout:g} s")


def stand_still(pid: int) -> None:
    """Stop a process, and wait until all of it is stopped: on a busy machine its threads run on for up to 20 ms."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(map(_is_stopped, _threads(pid))), what=f"the standstill of {pid}")


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*/stat")) if sys.platform == "linux" else [Path(str(pid))]


def _is_stopped(thread: Path) -> bool:
    if sys.platform != "linux":
        return psutil.Process(int(thread.name)).status() == psutil.STATUS_STOPPED
    with suppress(OSError):
        return thread.read_text().rpartition(") ")[2][0] == "T"
    return True  # it has ended


@dataclass(frozen=True)
class Answer:
    """What an HTTP request gave; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


@dataclass
class Stack:
    """Start it with ``with``. The web process runs ``wsgi``, the worker ``app`` (neither: the demonstration).

    ``environ`` is for both. With ``worker=False`` none is started before ``start_worker``.
    """

    wsgi: str = "minicelery.web.wsgi:app"
    app: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    threads: int = 2
    worker: bool = True
    web_process: "subprocess.Popen[bytes] | None" = None
    worker_process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.server = EmbeddedServer()
        self.port = free_port()
        self._resources = ExitStack()

    @property
    def url(self) -> str:
        """Of the web process, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def redis_url(self) -> str:
        return self.server.url

    def start(self) -> Self:
        """Start all, and return when the web process answers and the worker has said what it serves."""
        try:
            self._resources.enter_context(self.server)
            self.logs = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="minicelery-logs-")))
            if self.worker:
                self.start_worker()
            self.start_web()
        except BaseException:
            self.stop()
            raise
        return self

    def start_web(self) -> None:
        """Start the web process, and wait until it answers whatever it is asked."""
        command = ["-m", "gunicorn", "-c", "python:minicelery.web.gunicorn_config", self.wsgi]
        process = self.web_process = self._launch("web", command)
        self._wait_for_start("web", process, self._is_answering)

    def start_worker(self, *arguments: str) -> None:
        """Start the worker, with further arguments of its command line, and wait for its banner."""
        app = ["--app", self.app] if self.app else []
        command = ["-m", "minicelery", "worker", "--threads", str(self.threads), *app, *arguments]
        before = self.log("worker")
        process = self.worker_process = self._launch("worker", command)
        self._wait_for_start("worker", process, lambda: self.log("worker") != before)

    def stop_web(self) -> int:
        """SIGTERM to the web process; its exit code."""
        process, self.web_process = self.web_process, None
        return _end(process)

    def stop_worker(self) -> int:
        """SIGTERM to the worker; its exit code."""
        process, self.worker_process = self.worker_process, None
        return _end(process)

    def stop(self) -> None:
        """End what runs: the worker, the web process, the server. May be called twice."""
        self.stop_worker()
        self.stop_web()
        self._resources.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- talking to it --------------------------------------------------------------------------

    def get(self, path: str) -> Answer:
        """GET a path. Every status is an answer; redirects are not followed."""
        return self.request("GET", path)

    def post(self, path: str, data: Any = None) -> Answer:
        """POST a value as JSON, or nothing."""
        body = None if data is None else json.dumps(data).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json"})

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request with a body of bytes."""
        request = Request(f"{self.url}{path}", data=body, headers=dict(headers or {}), method=method)
        try:
            with _opener.open(request, timeout=30) as response:
                return _answer(response)
        except HTTPError as error:
            with error:
                return _answer(error)

    def log(self, name: str) -> str:
        """What the "web" or the "worker" has written, since it was first started."""
        path = self.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # ---- starting and ending --------------------------------------------------------------------

    def _launch(self, name: str, arguments: list[str]) -> "subprocess.Popen[bytes]":
        with (self.logs / f"{name}.log").open("ab") as log:
            return launch.start(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environ(self) -> dict[str, str]:
        foreign = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        ours = {"MINICELERY_REDIS_URL": self.redis_url, "API_HOST": HOST, "API_PORT": str(self.port)}
        return {**foreign, "PYTHONUNBUFFERED": "1", **ours, "MINICELERY_APP": self.app, **self.environ}

    def _is_answering(self) -> bool:
        try:
            return self.get("/").status > 0
        except OSError:
            return False

    def _wait_for_start(self, name: str, process: "subprocess.Popen[bytes]", has_started: Callable[[], object]) -> None:
        wait_until(lambda: has_started() or process.poll() is not None, START_PATIENCE, f"the start of the {name}")
        assert process.poll() is None, f"the {name} ended at once:\n{self.log(name)}"


def _end(process: "subprocess.Popen[bytes] | None") -> int:
    if process is None:
        return 0
    launch.end(process, STOP_PATIENCE)
    return process.returncode


def _answer(response: Any) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, response.read())
