"""The commands for locks: who holds them, breaking them, and running a program under one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from . import codec, launch
from .app import MiniCelery
from .lock_store import describe
from .locks import Lock
from .terminal import Span, with_app

_LOOK = 0.2  #: seconds between two looks whether the lock is still held
_NO_PROGRAM, _BY_SIGNAL = 127, 128  #: exit codes, as shells have them


@click.group()
def locks() -> None:
    """Locks and semaphores that programs hold by their names."""


@locks.command("list")
@with_app
def list_locks(app: MiniCelery) -> None:
    """Print the locks that somebody holds, by their names, a JSON object a line."""
    for lock in app.locks.held():
        click.echo(codec.write(describe(lock)))


@locks.command("break")
@with_app
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def break_locks(app: MiniCelery, names: tuple[str, ...]) -> None:
    """Take locks from all who hold them, and give them to those who wait. Prints from how many.

    Whoever held one learns it when it would be renewed or released; what it does meanwhile only a fencing token can
    stop. Exit code 4 if nobody holds a lock of such a name.
    """
    click.echo(sum(app.locks.break_open(name) for name in names))


@locks.command("run")
@with_app
@click.argument("name")
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND [ARG]...")
@click.option("--ttl", type=Span(), default=30.0, show_default=True, metavar="SPAN", help="Lock ends so long after us.")
@click.option("--limit", type=int, default=1, show_default=True, metavar="N", help="How many may hold it at a time.")
@click.option("--timeout", type=Span(), metavar="SPAN", help="The longest wait for it; 0: none. Default: no limit.")
@click.option("--grace", type=Span(0), default=10.0, show_default=True, metavar="SPAN")
def run(app: MiniCelery, name: str, command: tuple[str, ...], grace: float, **options: Any) -> None:
    """Run a program while holding a lock, such as: minicelery locks run backup -- pg_dump shop

    The program finds the fencing token in LOCK_TOKEN, and gets the signals that we get. If the lock is lost, it is sent
    SIGTERM, and SIGKILL after the grace period. If we are killed, it is sent SIGTERM.

    The exit code is the program's, 128 and the number of the signal that has ended it, 127 if there is no such program,
    124 if the lock was not to be had in time, 1 if it was lost.
    """
    limit: int = options.pop("limit")
    with app.semaphore(name, limit, **options) as lock:
        code = _run(lock, command, grace)
    sys.exit(code)


def _run(lock: Lock, command: Sequence[str], grace: float) -> int:
    """The exit code of a command. If the lock is lost before it has ended it is ended, and ``LockLost`` raised."""
    try:
        process = launch.start(command, env={**os.environ, "LOCK_TOKEN": str(lock.token)})
    except FileNotFoundError as error:
        click.echo(f"minicelery: {error}", err=True)
        return _NO_PROGRAM
    with _signals_for(process):
        while True:
            try:
                code = process.wait(_LOOK)
                return code if code >= 0 else _BY_SIGNAL - code
            except subprocess.TimeoutExpired:
                pass
            if lock.lost:
                launch.end(process, grace)
                lock.check()


@contextmanager
def _signals_for(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Hand on what is to end us: it ends the command, and we end with it."""

    def hand_on(number: int, _: object) -> None:
        if process.poll() is None:
            os.killpg(process.pid, number)  # it leads a session, and so a group, of its own

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, hand_on) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
