"""Everything on one machine: server, web and worker, with a demonstration."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from simple_websocket import Client, ConnectionClosed
from simple_websocket.errors import SimpleWebsocketError

from .errors import MiniCeleryError, ServerFailed
from .machine import LOOK_EVERY, PATIENCE, Machine, Options

__all__ = ["Options", "run"]

NORMAL_CLOSURE = 1000
DEMONSTRATION = {"name": "countdown", "args": [20]}


def run(options: Options) -> int:
    """Start everything, show the demonstration, and stay until Ctrl-C, SIGTERM or SIGHUP; the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    machine = Machine(options, console)
    handlers = _handle_signals(_interrupt)
    try:
        machine.start()
        if options.demo and machine.runs_demo_tasks:
            _demonstrate(machine, console)
        machine.introduce()
        machine.stay()
    except KeyboardInterrupt:
        return 0
    except (MiniCeleryError, OSError) as error:
        console.print(f"[red]{type(error).__name__}[/]:", end=" ")
        console.print(str(error), markup=False)
        return 1
    finally:
        _handle_signals(signal.SIG_IGN)  # what follows is short, and must not be cut shorter
        machine.end()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _handle_signals(handler: Any) -> dict[signal.Signals, Any]:
    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _demonstrate(machine: Machine, console: Console) -> None:
    """Submit a task over HTTP, and show its progress as the public WebSocket tells it."""
    status, answer = machine.call("POST", "/tasks", DEMONSTRATION)
    if status != 202:
        raise ServerFailed(f"The demonstration was refused (HTTP {status}): {answer.get('detail', answer)}")
    console.print(f"Submitted countdown(20) as task {answer['task_id']}, and watching it:")
    frames = _frames(machine, f"ws://{machine.address}/ws/tasks/{answer['task_id']}")
    show = _show_bar if console.is_terminal else _show_lines
    try:
        event, data = show(frames, console)
    except (OSError, SimpleWebsocketError) as error:
        raise ServerFailed(f"The WebSocket of the demonstration broke: {error}") from error
    if event == "failed":
        raise ServerFailed(f"The demonstration failed: {data.get('error', data)}")
    if event != "completed":  # a backlog from an earlier run comes first, say
        console.print(f"It has not ended yet: go on watching it at http://{machine.address}/watch.")
        return
    console.print(f"Completed: {data.get('result')!r}", markup=False)


Frame = tuple[str, dict[str, Any]]


def _frames(machine: Machine, url: str) -> Iterator[Frame]:
    """The frames of the task, until the server closes the socket or nothing is heard for long."""
    client = Client.connect(url, thread_class=partial(threading.Thread, daemon=True))
    heard = time.monotonic()
    try:
        while time.monotonic() < heard + PATIENCE:
            text = client.receive(LOOK_EVERY)
            if text is None:
                machine.check()
                continue
            heard = time.monotonic()
            frame = json.loads(text)
            yield frame["event"], frame["data"]
    except ConnectionClosed as closed:
        if closed.reason != NORMAL_CLOSURE:
            raise
    finally:
        if client.connected:
            client.close()


def _show_bar(frames: Iterator[Frame], console: Console) -> Frame:
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    last: Frame = ("nothing", {})
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("waiting", total=None)
        for event, data in frames:
            last = event, data
            if event == "progress":
                progress.update(bar, completed=data["done"], total=data["total"], description=_words(data))
            else:
                progress.update(bar, description=event)
    return last


def _show_lines(frames: Iterator[Frame], console: Console) -> Frame:
    last: Frame = ("nothing", {})
    for event, data in frames:
        last = event, data
        words = f" {data['done']}/{data['total']} {_words(data)}" if event == "progress" else ""
        console.print(f"  {event}{words}", markup=False)
    return last


def _words(data: dict[str, Any]) -> str:
    return str(data.get("message") or "running")
