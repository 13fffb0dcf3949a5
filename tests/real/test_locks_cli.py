"""Locks on the command line, and programs that run under them, against a real server."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from minicelery import MiniCelery, launch
from minicelery.cli import main
from tests.real.conftest import Crew
from tests.stack import ROOT, wait_until

Command = Callable[..., Result]


@pytest.fixture
def locks(real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The commands of locks, in this process. What the programs write goes to our own standard output."""
    monkeypatch.setattr("minicelery.terminal.load_app", lambda _: real_app)
    return lambda *arguments: CliRunner().invoke(main, ["locks", *arguments])


@pytest.fixture
def start(crew: Crew) -> Iterator[Callable[[Sequence[str]], "subprocess.Popen[bytes]"]]:
    """Starts a program under the lock "x" from a process of its own."""
    processes = []

    def start(program: Sequence[str]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "minicelery", "locks", "run", "x", "--ttl", "1", "--", *program]
        processes.append(launch.start(command, cwd=ROOT, env=crew._environ({})))
        return processes[-1]

    yield start
    for process in processes:
        launch.kill(process)


def test_a_program_runs_under_the_lock_with_its_token_and_its_exit_code_is_ours(
    locks: Command, real_app: MiniCelery, tmp_path: Path
) -> None:
    listed: list[str] = []

    def look() -> None:
        wait_until((tmp_path / "token").exists)
        listed.extend(CliRunner().invoke(main, ["locks", "list"]).stdout.splitlines())
        (tmp_path / "go").touch()

    watcher = threading.Thread(target=look)
    watcher.start()
    program = 'echo $LOCK_TOKEN > "$0/t" && mv "$0/t" "$0/token"; until test -e "$0/go"; do sleep 0.01; done; exit 7'
    done = locks("run", "backup:1", "--limit", "3", "--", "sh", "-c", program, str(tmp_path))
    watcher.join()

    assert done.exit_code == 7
    [held] = map(json.loads, listed)
    assert (held["name"], held["limit"], held["waiting"]) == ("backup:1", 3, 0)
    assert [holder["token"] for holder in held["holders"]] == [int((tmp_path / "token").read_text())]
    assert real_app.locks.held() == []


def test_a_program_does_not_run_without_the_lock(locks: Command, real_app: MiniCelery, tmp_path: Path) -> None:
    program = ("touch", str(tmp_path / "ran"))
    with real_app.lock("x"):
        refused = [locks("run", "x", "--timeout", timeout, "--", *program) for timeout in ("0", "0.1")]

    assert [one.exit_code for one in refused] == [124, 124]
    assert "minicelery: The lock 'x' is held by others" in refused[0].stderr
    assert not (tmp_path / "ran").exists()
    assert locks("run", "x", *program).exit_code == 0
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "x", "--", "no-such-program-of-ours"), 127, "is not a program"),
        (("run", "x", "--", "sh", "-c", "kill -KILL $$"), 137, ""),
        (("run", "x", "--ttl", "0", "--", "true"), 2, "/ttl: 0.0 is out of range"),
        (("run", "x y", "--", "true"), 2, "/name: "),
        (("run", "x"), 2, "Missing argument"),
        (("break", "x"), 4, "Nobody holds a lock 'x'"),
    ],
)
def test_what_goes_wrong_has_an_exit_code(locks: Command, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = locks(*arguments)

    assert (done.exit_code, words in done.stderr) == (code, True), done.stderr


def test_a_program_whose_lock_is_broken_is_ended(locks: Command, real_app: MiniCelery, tmp_path: Path) -> None:
    broken: list[Result] = []

    def break_it() -> None:
        wait_until((tmp_path / "pid").exists)
        broken.append(CliRunner().invoke(main, ["locks", "break", "x"]))

    breaker = threading.Thread(target=break_it)
    breaker.start()
    program = ("sh", "-c", 'echo $$ > "$0/p" && mv "$0/p" "$0/pid"; exec sleep 60', str(tmp_path))
    done = locks("run", "x", "--ttl", "0.5", "--", *program)
    breaker.join()

    assert (broken[0].exit_code, broken[0].stdout) == (0, "1\n")
    assert (done.exit_code, "The lock 'x' was not renewed in time, or was broken" in done.stderr) == (1, True)
    assert not launch.is_alive(int((tmp_path / "pid").read_text()))


def test_signals_are_handed_on_and_the_lock_is_free_afterwards(
    start: Callable[..., "subprocess.Popen[bytes]"], real_app: MiniCelery
) -> None:
    process = start(["sh", "-c", "trap 'exit 5' TERM; sleep 60 & wait"])
    wait_until(real_app.locks.held, 20)
    [program] = wait_until(lambda: psutil.Process(process.pid).children())
    wait_until(program.children)

    os.kill(process.pid, signal.SIGTERM)

    assert process.wait(10) == 5
    assert real_app.locks.held() == []


def test_when_we_are_killed_the_program_ends_and_the_lock_after_its_time(
    start: Callable[..., "subprocess.Popen[bytes]"], real_app: MiniCelery
) -> None:
    process = start(["sleep", "60"])
    wait_until(real_app.locks.held, 20)
    [program] = wait_until(lambda: psutil.Process(process.pid).children())
    wait_until(lambda: program.name() == "sleep")

    process.kill()

    program.wait(5)
    with real_app.lock("x", timeout=5):
        pass
