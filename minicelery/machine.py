"""The server, the worker and the web process of `minicelery up`, from their start to their end."""

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn

from dotenv import dotenv_values
from rich.console import Console

from . import launch
from .config import Config, without_password
from .embedded import EmbeddedServer, ServerOptions
from .errors import ServerFailed

PATIENCE = 30.0
LOOK_EVERY = 0.1
LOG_LINES_SHOWN = 20
REDIS_PORT = 6379
PORTS_TRIED = 100

# Ctrl-C ends everything in under 3 s: the worker gives up first, then we give up on it, then the server ends.
WORKER_GRACE = 1.5
CHILD_GRACE = 2.0
SERVER_GRACE = 0.7


@dataclass(frozen=True)
class Options:
    """What `minicelery up` can be told; without a Redis URL it runs a server of its own, data kept."""

    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 5
    redis_url: str | None = None
    data_dir: Path = Path(".minicelery")
    app: str | None = None
    demo: bool = True
    example: str = '{"name": "add", "args": [2, 3]}'  #: a call that the application knows, to try


class _Child:
    """One process of ours, which writes to a log of its own."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log
        self._shown = 0

    def skip_log(self) -> None:
        self._shown = self._log.stat().st_size

    def read_log(self) -> str:
        """The lines written since the last look."""
        with self._log.open("rb") as log:
            log.seek(self._shown)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._shown += len(whole)
        return whole.decode(errors="replace")

    def last_lines(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:]) or "(nothing)"


class Machine:
    """The server, the web process and the worker, from their start to their end."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.address = ""
        self._server: EmbeddedServer | None = None
        self._children: list[_Child] = []
        self._is_live = False
        self._environ = {**_dotenv(), **os.environ}
        self._config = Config()

    def start(self) -> None:
        """Start all three, and return when the web process says that it is ready."""
        self._config = Config.from_env(os.environ, Path(".env"))
        self._logs().mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.options.data_dir / ".gitignore").write_text("*\n")
        self._start_server()
        port = _next_free_port(self.options.host, self.options.port)
        if port != self.options.port:
            self.console.print(f"Port {self.options.port} is taken: using {port}.")
        self.address = f"{_reachable(self.options.host)}:{port}"
        environ = self._children_environ(port)
        web = ("-m", "gunicorn", "-c", "python:minicelery.web.gunicorn_config", "minicelery.web.wsgi:app")
        worker = (
            "-m",
            "minicelery",
            "worker",
            "--threads",
            str(self.options.threads),
            "--grace",
            str(WORKER_GRACE),
        )
        self.console.print("Starting the web process and the worker ...")
        self._start_child("worker", worker, environ)
        self._start_child("web", web, environ)
        self.wait_for(self._is_ready, "The web process did not become ready")

    @property
    def runs_demo_tasks(self) -> bool:
        return not (self.options.app or self._config.app)

    def _start_server(self) -> None:
        if self.options.redis_url or _names_redis(self._environ):
            return
        port = REDIS_PORT if _is_free("127.0.0.1", REDIS_PORT) else None  # then other commands find it unasked
        self._server = EmbeddedServer(ServerOptions(data=self.options.data_dir / "redis", port=port))
        self._server.start()
        self.console.print(f"Started {self._server.name} on port {self._server.port}.")

    def _children_environ(self, port: int) -> dict[str, str]:
        environ = dict(self._environ, API_HOST=self.options.host, API_PORT=str(port), PYTHONUNBUFFERED="1")
        environ["MINICELERY_REDIS_URL"] = self._redis_url()
        if self._config.log_format == "auto" and self.console.is_terminal:
            environ["MINICELERY_LOG_FORMAT"] = "console"  # they write to files, which we show here
        if self.options.app:
            environ["MINICELERY_APP"] = self.options.app
        return environ

    def _redis_url(self) -> str:
        return self._server.url if self._server else self.options.redis_url or self._config.redis_url

    def _start_child(self, name: str, arguments: tuple[str, ...], environ: Mapping[str, str]) -> None:
        path = self._logs() / f"{name}.log"
        path.unlink(missing_ok=True)
        with path.open("ab") as log:
            process = launch.start(
                [sys.executable, *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._children.append(_Child(name, process, path))

    def _logs(self) -> Path:
        return self.options.data_dir / "logs"

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except (OSError, HTTPException):
            return False

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """One HTTP request to our own API: the status and the JSON object that came back."""
        connection = HTTPConnection(self.address, timeout=5)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        return response.status, answer if isinstance(answer, dict) else {"detail": text.decode(errors="replace")}

    def wait_for(self, condition: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                shown = "\n".join(f"{child.name}:\n{child.last_lines()}" for child in self._children)
                raise ServerFailed(f"{failure} within {PATIENCE:g} s. What was written last:\n{shown}")
            time.sleep(LOOK_EVERY)

    def check(self) -> None:
        """Raise if one of ours has ended by itself."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                written = child.last_lines()
                raise ServerFailed(f"The {child.name} ended by itself (code {code}). It wrote last:\n{written}")
        if self._server is not None and self._server.pid is None:
            raise ServerFailed(f"{self._server.name} ended by itself; its log is {self._server.log}.")

    def introduce(self) -> None:
        """Say where everything is, and what to try."""
        site = f"http://{self.address}"
        redis = without_password(self._redis_url())
        kept = f"  ({self._server.name}, data kept in {self.options.data_dir})" if self._server else ""
        for line in (
            "\nMini-Celery is up.",
            f"  API      {site}/tasks",
            f"  Docs     {site}/docs",
            f"  Watch    {site}/watch",
            f"  Redis    {redis}{kept}",
            f"  Logs     {self._logs()}",
            f"  Try      curl -X POST {site}/tasks -H 'Content-Type: application/json' -d '{self.options.example}'",
            *self._hint_for_other_commands(),
            "  Ctrl-C ends everything.\n",
        ):
            self.console.print(line, markup=False)

    def _hint_for_other_commands(self) -> list[str]:
        """Where the server is not where every command looks unasked, what to tell them."""
        if self._redis_url() == self._config.redis_url or not self._server or self._server.port == REDIS_PORT:
            return []
        return [f"  Others   export MINICELERY_REDIS_URL={self._server.url}  (for other commands)"]

    def stay(self) -> NoReturn:
        """Show what the worker and the web process write, for as long as all of ours run."""
        for child in self._children:
            child.skip_log()
        self._is_live = True
        while True:
            self._show_logs()
            self.check()
            time.sleep(LOOK_EVERY)

    def _show_logs(self) -> None:
        for child in self._children if self._is_live else ():
            self.console.out(child.read_log(), end="")

    def end(self) -> None:
        """End the worker, the web process and the server, in this order, in under 3 s."""
        begun = time.monotonic()
        for child in self._children:
            launch.ask_to_end(child.process)
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, begun + CHILD_GRACE - time.monotonic()))
            launch.kill(child.process)
        with contextlib.suppress(OSError):  # the terminal may be gone
            self._show_logs()
        if self._server is not None:
            self._server.stop(SERVER_GRACE)
        with contextlib.suppress(OSError):
            self.console.print(f"Ended in {time.monotonic() - begun:.1f} s.")


def _dotenv() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}


def _names_redis(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("MINICELERY_REDIS_URL") or environ.get("REDIS_HOST"))


def _is_free(host: str, port: int) -> bool:
    """Whether a server could listen there right now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise ServerFailed(f"Can't listen on {host} port {port}: {error.strerror}. Give another.") from error
    return True


def _next_free_port(host: str, first: int) -> int:
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        if _is_free(host, port):
            return port
    raise ServerFailed(f"No free port on {host} from {first} on: give another with --port.")


def _reachable(host: str) -> str:
    """An address under which we ourselves reach what listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - no binding
    return f"[{host}]" if ":" in host else host
