"""Ten thousand WebSockets on one web process: memory a socket, how soon an event is there, and HTTP meanwhile."""

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection

import psutil

from minicelery import MiniCelery, launch
from minicelery.embedded import HOST, free_port
from minicelery.message import Message

from ..crowd import allow_files, be_crowd, be_visitor
from ..environments import ROOT
from ..figures import share
from ..helper import PATIENCE, Helper
from ..scenario import Column, Figures, Scenario
from ..trial import Failed, Trial

SOCKETS, EVENTS = 10_000, 15
QUICK_SOCKETS, QUICK_EVENTS = 200, 10
FILES_FOR_OTHERS = 256
REST = 0.5
ENQUEUED_AT_ONCE = 100
#: As large as a usual progress event.
EVENT = (
    '{"event":"progress","data":{"task_id":"%s","status":"RUNNING","retry_count":0,"current":%d,"total":100,'
    '"percent":50,"message":"half of it is done","at":"2026-01-01T00:00:00.000Z"}}'
)


@dataclass
class Record:
    """What was seen, in seconds by the time of day: of each round of events when it began, and its last arrival."""

    delays: list[float] = field(default_factory=list)
    windows: list[tuple[float, float]] = field(default_factory=list)
    requests: list[tuple[float, float]] = field(default_factory=list)

    def times(self, *, during: bool) -> list[float]:
        """How long requests took that met a round of events, or else those that met none."""
        return [end - begun for begun, end in self.requests if self._meets(begun, end) == during]

    def _meets(self, begun: float, end: float) -> bool:
        return any(begun < last and end > first for first, last in self.windows)


def sockets(trial: Trial, *, each_its_own: bool) -> Figures:
    """Open them, publish an event to all several times, and look at HTTP between and during these rounds."""
    if sys.platform != "linux":
        raise Failed("only Linux tells when bytes came in")
    count = min(QUICK_SOCKETS if trial.quick else SOCKETS, allow_files() - FILES_FOR_OTHERS)
    ids = [f"task-{number:05}" for number in range(count if each_its_own else 1)]
    paths = [f"/ws/tasks/{ids[number % len(ids)]}" for number in range(count)]
    celery, port = MiniCelery("bench", redis_url=trial.stage.url), free_port()
    with contextlib.closing(celery.clients):
        for start in range(0, len(ids), ENQUEUED_AT_ONCE):
            celery.broker.enqueue([_message(task_id) for task_id in ids[start : start + ENQUEUED_AT_ONCE]])
        with web_process(trial.stage.url, port) as web, Helper(be_crowd, port) as crowd:
            first = min(100, count // 2)  # what the process needs for any socket at all is there before it is weighed
            crowd.ask(("open", paths[:first]))
            before = web.memory_info().rss
            crowd.ask(("open", paths[first:]))
            grown = web.memory_info().rss - before
            record = Record()
            with Helper(be_visitor, port, f"/tasks/{ids[0]}") as visitor:
                for number in range(QUICK_EVENTS if trial.quick else EVENTS):
                    time.sleep(REST)
                    publish(celery, crowd, record, [(task_id, EVENT % (task_id, number)) for task_id in ids])
                record.requests = visitor.ask("stop")
            subscribed = len(celery.clients.commands.pubsub_channels("task:*:events"))
            connections = sum(int(one["sub"]) > 0 for one in celery.clients.commands.client_list())
    return {
        "sockets": count,
        "bytes": grown / (count - first),
        "subscriptions": subscribed,
        "connections": connections,
        **figures_of(record),
    }


def publish(celery: MiniCelery, crowd: Helper, record: Record, events: Sequence[tuple[str, str]]) -> None:
    """Send an event to all tasks as fast as that goes, and wait until all sockets have theirs."""
    pool = celery.clients.blocking.connection_pool
    connection = pool.get_connection()
    try:
        packed = connection.pack_commands([("PUBLISH", celery.keys.events(task_id), text) for task_id, text in events])
        begun = time.time()
        connection.send_packed_command(packed)
        moments = crowd.ask(("arrivals", None))
        heard = sum(connection.read_response() for _ in events)
    finally:
        pool.release(connection)
    if heard != len(events):
        raise Failed(f"{len(events)} events had {heard} subscribers, not one each")
    record.delays += [moment - begun for moment in moments]
    record.windows.append((begun, max(moments)))


def figures_of(record: Record) -> Figures:
    """In milliseconds."""
    idle, during = record.times(during=False), record.times(during=True)
    return {
        "arrival_p50": 1000 * share(record.delays, 0.5),
        "arrival_p99": 1000 * share(record.delays, 0.99),
        "arrival_last": 1000 * share([last - begun for begun, last in record.windows], 0.5),
        "idle_p99": 1000 * share(idle, 0.99),
        "during_p99": 1000 * share(during, 0.99),
        "ratio": share(during, 0.99) / share(idle, 0.99),
        "requests_during": len(during),
    }


@contextlib.contextmanager
def web_process(redis_url: str, port: int) -> Iterator[psutil.Process]:
    """Our gunicorn as it comes, with one worker process, which is given."""
    command = [sys.executable, "-m", "gunicorn", "-c", "python:minicelery.web.gunicorn_config"]
    environ = {**os.environ, "MINICELERY_REDIS_URL": redis_url, "API_HOST": HOST, "API_PORT": str(port)}
    environ["MINICELERY_LOG_LEVEL"] = "ERROR"
    process = launch.start([*command, "minicelery.web.wsgi:app"], cwd=ROOT, env=environ, stdin=subprocess.DEVNULL)
    try:
        _wait_for_answer(port)
        yield psutil.Process(process.pid).children()[0]
    finally:
        launch.end(process, 10.0)


def _wait_for_answer(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        connection = HTTPConnection(HOST, port, timeout=1)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            return
        time.sleep(0.05)
    raise Failed("the web process does not answer")


def _message(task_id: str) -> Message:
    return Message(task_id, "add", "[2,3]", "{}", "nobody", 3)


COLUMNS = (
    Column("arrival_p50", "event at a socket, p50 ms"),
    Column("arrival_p99", "p99 ms"),
    Column("arrival_last", "at the last, ms"),
    Column("idle_p99", "HTTP p99 ms"),
    Column("during_p99", "HTTP p99 ms, while events go out"),
    Column("ratio", "the latter divided by the former"),
    Column("bytes", "bytes a socket"),
    Column("subscriptions", "subscriptions"),
    Column("connections", "over connections"),
)


def _scenario(name: str, title: str, *, each_its_own: bool) -> Scenario:
    return Scenario(
        name,
        title,
        COLUMNS,
        functools.partial(sockets, each_its_own=each_its_own),
        one_setting=True,  # the workers have no part in it
        names=("minicelery",),
    )


SCENARIOS = (
    _scenario("sockets-one", "10,000 WebSockets on one web process, all on one task", each_its_own=False),
    _scenario("sockets-many", "10,000 WebSockets on one web process, each on a task of its own", each_its_own=True),
)
