"""The parent process: no user code. It keeps a child at work, renews its lease and recovers what it leaves behind."""

import contextlib
import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, replace

from .. import launch, logs
from ..broker import Broker
from ..config import Config
from ..connection import Clients, connect, server_info
from ..doorbell import Alarm
from ..errors import RedisUnavailable
from ..inspector import Inspector
from ..keys import Keys
from ..scripts import Scripts
from ..upkeep import Upkeep
from ..version import __version__
from ..world import World
from .banner import banner
from .board import Board, Count
from .order import NOW, STOP, UNUSABLE, Hello, Order, WorkerOptions

_log = logging.getLogger("minicelery.worker")
_KILL_MARGIN = 3.0  #: seconds that a child has, beyond its grace, to hand back and end
#: How what a thread has taken ends. The rest is in its hand, or lost.
_ENDS = (Count.SUCCEEDED, Count.RETRIED, Count.FAILED, Count.LEASE_LOST)
_SHORT_LIFE = 1.0  #: a child that lived less is followed by the next one only after as long


@dataclass
class Running:
    """A child at work, as its parent sees it."""

    worker: str
    process: "subprocess.Popen[bytes]"
    board: Board
    control: int
    born: float
    is_welcome: bool = False  #: it has loaded the application
    is_killed: bool = False  #: by us


@dataclass(frozen=True)
class Event:
    """Something happened: a ``signal``, a ``hello`` of a child, or its ``end``."""

    kind: str
    child: Running | None = None
    hello: Hello | None = None


@dataclass(frozen=True)
class Service:
    """What the parent needs of Redis, once a child has said which Redis that is."""

    clients: Clients
    broker: Broker
    upkeep: Upkeep


class Parent:
    """One worker. ``run`` returns its exit code when all is recorded or handed back."""

    def __init__(self, options: WorkerOptions, world: World) -> None:
        self._options = options
        self._world = world
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._service: Service | None = None
        self._config = Config(grace=0.0)
        self._signals = 0
        self._kill_at: float | None = None
        self._totals: Counter[Count] = Counter()
        self._left = 0
        self._lost = 0

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._events.put(Event("signal")))
        child = self._spawn()
        while True:
            event = self._next_event()
            if event is None:
                _log.error("the child has not ended in time; it is killed")
                child.is_killed = True
                launch.kill(child.process)
            elif event.kind == "signal":
                self._stop(child)
            elif event.hello and event.child is child:
                self._welcome(child, event.hello)
            elif event.kind == "end" and event.child is child:
                code = child.process.wait()
                self._bury(child, code)
                if self._signals:
                    return self._finish(0)
                if code == UNUSABLE and not child.is_welcome:
                    return self._finish(UNUSABLE)
                child = self._replace(child)

    def _next_event(self) -> Event | None:
        """The next thing that happens. None: a stop has taken too long."""
        left = None if self._kill_at is None else max(0.0, self._kill_at - self._world.monotonic())
        try:
            return self._events.get(timeout=left)
        except queue.Empty:
            self._kill_at = None
            return None

    # ---- children -----------------------------------------------------------------------------

    def _spawn(self) -> Running:
        worker = f"{_host()}-{os.getpid()}-{self._world.nonce()}"
        board = Board.create()
        control_read, control_write = os.pipe()
        report_read, report_write = os.pipe()
        order = Order(
            worker=worker,
            app=self._options.app,
            settings=self._options.settings(),
            board=board.fd,
            control=control_read,
            report=report_write,
        )
        process = launch.start(
            [sys.executable, "-m", "minicelery.worker.child", order.dump()],
            death_signal=signal.SIGKILL,
            pass_fds=(board.fd, control_read, report_write),
            stdin=subprocess.DEVNULL,
        )
        os.close(control_read)
        os.close(report_write)
        child = Running(worker, process, board, control_write, self._world.monotonic())
        threading.Thread(target=self._listen, args=(child, report_read), name="listen", daemon=True).start()
        return child

    def _listen(self, child: Running, report: int) -> None:
        """The thread of one child: passes on its report, then waits for its end."""
        with os.fdopen(report, encoding="utf-8") as pipe:
            line = pipe.readline()
        with contextlib.suppress(ValueError):  # it died in the middle of the line, or before
            self._events.put(Event("hello", child, Hello.load(line)))
        child.process.wait()
        self._events.put(Event("end", child))

    def _welcome(self, child: Running, hello: Hello) -> None:
        if hello.config is None:
            print(f"The worker can't start: {hello.fault}", file=sys.stderr)
            return
        self._config = hello.config
        child.is_welcome = True
        if self._service is None:
            logs.configure(hello.config)
            self._service = _serve(hello.config, self._world)
            self._say(banner(__version__, hello, _server(self._service.clients)))
        info = {
            "host": socket.gethostname(),
            "pid": child.process.pid,
            "queues": hello.config.queues,
            "threads": hello.config.worker_concurrency,
        }
        self._service.upkeep.enrol(child.worker, json.dumps(info))

    def _bury(self, child: Running, code: int) -> None:
        """Make ready again what an ended child still had, and count what it did."""
        os.close(child.control)
        totals, held = child.board.totals(), child.board.held()
        child.board.close()
        self._totals.update(totals)
        self._lost += max(0, totals[Count.TAKEN] - sum(totals[what] for what in _ENDS) - len(held))
        if self._service is None:
            if code not in (0, UNUSABLE):
                _log.error("the child %s before it was ready", _describe(code))
            return
        self._service.upkeep.dismiss(child.worker)
        # A child that ends by itself was ended by what it was running; one that we kill was not.
        begun = [] if code == 0 or child.is_killed else [one.id for one in held if one.begun]
        try:
            recovered = self._service.broker.recover(child.worker, begun).ready
        except Exception as error:
            self._left += len(held)
            _log.error("%d tasks are left to the end of the lease: %s", len(held), error)
            return
        if code != 0 and not child.is_killed:
            _log.error("the child %s; %d tasks are ready again", _describe(code), recovered)
        if self._signals:
            self._totals[Count.HANDED_BACK] += recovered

    def _replace(self, child: Running) -> Running:
        if self._world.monotonic() - child.born < _SHORT_LIFE:
            self._world.sleep(_SHORT_LIFE)
        return self._spawn()

    def _say(self, text: str) -> None:
        """Plain lines to people, a line of the log to machines."""
        if logs.for_people(self._config):
            print(text, file=sys.stderr, flush=True)
        else:
            _log.info(" · ".join(re.sub(r" {2,}", " ", line.strip()) for line in text.splitlines()))

    # ---- stopping -----------------------------------------------------------------------------

    def _stop(self, child: Running) -> None:
        """The first signal asks to finish what runs, within the grace period; a second one to stop now."""
        self._signals += 1
        first = self._signals == 1
        if first:
            _log.info("stopping: no new tasks; what runs has %g s", self._config.grace)
        with contextlib.suppress(BrokenPipeError):
            os.write(child.control, STOP if first else NOW)
        if self._signals <= 2:
            self._kill_at = self._world.monotonic() + _KILL_MARGIN + (self._config.grace if first else 0)

    def _finish(self, code: int) -> int:
        if self._service:
            self._service.upkeep.stop()
            self._service.clients.close()
        if code == 0:
            done = self._totals[Count.SUCCEEDED] + self._totals[Count.FAILED]
            left = f", {self._left} left to the end of the lease" if self._left else ""
            again, handed = self._totals[Count.RETRIED], self._totals[Count.HANDED_BACK]
            line = f"Stopped: {done} finished, {again} to be retried, {handed} handed back, {self._lost} lost{left}."
            self._say(line)
        return code


def _serve(config: Config, world: World) -> Service:
    clients, keys = connect(replace(config, pool_size=4)), Keys(config.namespace)
    broker = Broker(Scripts(clients.commands, keys, world, config.patience), keys, config.result_ttl)
    inspector = Inspector(clients.commands, keys)
    upkeep = Upkeep(broker, inspector, Alarm(clients.blocking, keys), world, config.lease)
    upkeep.start()
    return Service(clients, broker, upkeep)


def _server(clients: Clients) -> dict[str, object] | None:
    try:
        return server_info(clients.commands)
    except RedisUnavailable:
        return None


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60] or "host"


def _describe(code: int) -> str:
    if code >= 0:
        return f"has ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
