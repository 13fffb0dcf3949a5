"""The parent process: no user code. It keeps children at work, renews their leases, recovers what they leave behind."""

import json
import logging
import os
import queue
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import identity, logs, queue_settings, schedule
from ..agenda import Agenda
from ..broker import Broker
from ..config import Config
from ..connection import Clients, connect, server_info
from ..doorbell import Alarm
from ..errors import RedisUnavailable
from ..firing import Clockwork
from ..inspector import Inspector
from ..keys import Keys
from ..recovery import Recovery
from ..scripts import Scripts
from ..server import Reception
from ..timetable import Timetable
from ..trouble import Trouble
from ..upkeep import Office, Upkeep
from ..version import __version__
from ..world import World
from .banner import banner
from .burial import Burial
from .guard import Guard
from .order import NOW, STOP, UNUSABLE, Hello, Retiring, WorkerOptions
from .running import Birth, Running, bear

_log = logging.getLogger("minicelery.worker")
_KILL_MARGIN = 4.0  #: seconds that a child has, beyond its grace, to hand back and end
_PAUSE_UNREADY = 1.0  #: seconds until another try after a child has died before it was ready
_PAUSE_UNUSABLE = 5.0  #: seconds until another try to load an application that could be loaded before
_LONG_LOADING = 60.0  #: seconds of loading the application that deserve a word
_PATIENCE = 1.0  #: seconds of the parent's own calls: whatever fails is tried again at the next look
_TICK = 0.5


@dataclass(frozen=True)
class Event:
    """Something happened: a ``signal``; a child has ``said`` something, or is at its ``end``; tasks wait in
    ``quarantine``; the server is ``refused``."""

    kind: str
    child: Running | None = None
    words: Hello | Retiring | None = None
    fault: str = ""


@dataclass(frozen=True)
class Service:
    """What the parent needs of Redis, once a child has said which Redis that is."""

    clients: Clients
    broker: Broker
    clockwork: Clockwork
    upkeep: Upkeep
    guard: Guard


class Parent:
    """One worker. ``run`` returns its exit code when all is recorded or handed back."""

    def __init__(self, options: WorkerOptions, world: World) -> None:
        self._options = options
        self._world = world
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._children: list[Running] = []
        self._births = [self._birth()]
        self._trouble = Trouble(_log, world)
        self._burial = Burial(self._trouble)
        self._service: Service | None = None
        self._hello: Hello | None = None  # the last that has brought a configuration
        self._config = Config(grace=0.0)
        self._signals = 0
        self._kill_at = float("inf")
        self._code: int | None = None  # once it is known how this ends

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._events.put(Event("signal")))
        while self._code is None or self._children:
            self._bear_who_is_due()
            event = self._next_event()
            if event:
                self._meet(event)
            self._look_after_children()
        return self._finish(self._code)

    def _next_event(self) -> Event | None:
        next_birth = min((birth.at for birth in self._births), default=float("inf"))
        left = min(next_birth, self._kill_at) - self._world.monotonic()
        try:
            return self._events.get(timeout=max(0.0, min(_TICK, left)))
        except queue.Empty:
            return None

    def _meet(self, event: Event) -> None:
        child, words = event.child, event.words
        if event.kind == "signal":
            self._stop()
        elif event.kind == "refused":
            print(f"The worker can't start: {event.fault}", file=sys.stderr)
            self._end(UNUSABLE)
        elif event.kind == "quarantine":
            self._serve_quarantine()
        elif child and isinstance(words, Hello):
            self._welcome(child, words)
        elif child and isinstance(words, Retiring):
            self._let_retire(child, words)
        elif child:
            self._bury(child)

    # ---- children -----------------------------------------------------------------------------

    def _birth(self, *, after: float = 0.0, quarantine: bool = False) -> Birth:
        worker = f"{_host()}-{os.getpid()}-{self._world.nonce()}"
        return Birth(worker, self._world.monotonic() + after, quarantine)

    def _bear_who_is_due(self) -> None:
        now = self._world.monotonic()
        due = [birth for birth in self._births if birth.at <= now and self._code is None]
        self._births = [birth for birth in self._births if birth not in due and self._code is None]
        for birth in due:
            try:
                child = bear(birth, self._options, self._tell)
            except (OSError, RuntimeError) as error:  # no descriptor, process, thread or memory left
                _log.error("no process can be started, trying again: %s", error)
                self._births.append(self._birth(after=_PAUSE_UNUSABLE, quarantine=birth.quarantine))
                continue
            self._children.append(child)
            if self._hello:
                self._enrol(child, self._hello)  # so that it need not wait for its lease once it is ready

    def _tell(self, kind: str, child: Running, words: Hello | Retiring | None) -> None:
        self._events.put(Event(kind, child, words))

    def _welcome(self, child: Running, hello: Hello) -> None:
        child.hello = hello
        if hello.config is None:
            if self._code is None:
                print(f"The worker can't start: {hello.fault}", file=sys.stderr)
            return
        self._config = hello.config
        if self._service is None:
            logs.configure(hello.config)
            self._service = _serve(hello.config, self._world, self._trouble, self._events.put)
            self._say(banner(__version__, hello, _server(self._service.clients)))
            self._births += [self._birth() for _ in range(1, hello.config.worker_processes)]
        self._hello = hello
        self._enrol(child, hello)

    def _enrol(self, child: Running, hello: Hello) -> None:
        """Renew the lease of a child from now on, and show others what it says, or what the one before it has said."""
        assert self._service
        child.is_enrolled = True
        self._service.clockwork.declared = [schedule.parse(fields) for fields in hello.schedules]
        self._service.upkeep.queue_settings = hello.queue_settings
        self._service.upkeep.enrol(child.worker, json.dumps(_facts(child, hello)))

    def _let_retire(self, child: Running, words: Retiring) -> None:
        """The child claims nothing more and ends with its last task; another one takes over at once."""
        _log.info("a child retires: %s", words.reason)
        child.is_retiring = True
        if not child.quarantine:
            self._births.append(self._birth())

    def _serve_quarantine(self) -> None:
        """One child at a time is for tasks that have crashed their process; each of them runs alone there."""
        is_served = any(one.quarantine and not one.is_retiring for one in self._children)
        if not is_served and not any(birth.quarantine for birth in self._births):
            self._births.append(self._birth(quarantine=True))

    def _bury(self, child: Running) -> None:
        self._children.remove(child)
        if self._service:
            self._service.upkeep.dismiss(child.worker)
        self._burial.bury(child)
        is_unusable = child.process.returncode == UNUSABLE and not child.is_welcome
        if is_unusable and self._service is None:
            self._end(UNUSABLE)
        elif is_unusable and child.quarantine:
            self._births.append(self._birth(after=_PAUSE_UNUSABLE, quarantine=True))
        elif not child.quarantine and not child.is_retiring:
            # An application that could be loaded before and now can't: perhaps it is just being replaced.
            pause = _PAUSE_UNUSABLE if is_unusable else 0.0 if child.is_welcome else _PAUSE_UNREADY
            self._births.append(self._birth(after=pause))

    def _look_after_children(self) -> None:
        now = self._world.monotonic()
        if self._service:
            self._burial.recover(self._service.broker, stopping=bool(self._signals))
        for child in self._children:
            if child.process.poll() is not None:
                continue
            if now >= self._kill_at:
                _log.error("a child has not ended in time; it is killed")
                child.kill("was ended since it did not stop")
            elif self._service and child.is_welcome:
                self._service.guard.look(child)
            elif not child.is_slow and now - child.born > _LONG_LOADING:
                child.is_slow = True
                _log.warning("process %d is still loading the application", child.process.pid)
        if now >= self._kill_at:
            self._kill_at = float("inf")

    def _say(self, text: str) -> None:
        """Plain lines to people, a line of the log to machines."""
        if logs.for_people(self._config):
            print(text, file=sys.stderr, flush=True)
        else:
            _log.info(" · ".join(re.sub(r" {2,}", " ", line.strip()) for line in text.splitlines()))

    # ---- stopping -----------------------------------------------------------------------------

    def _stop(self) -> None:
        """The first signal asks to finish what runs, within the grace period; a second one to stop now."""
        self._signals += 1
        first = self._signals == 1
        if first:
            _log.info("stopping: no new tasks; what runs has %g s", self._config.grace)
        self._end(0, at_once=not first, within=self._config.grace if first else 0.0)

    def _end(self, code: int, *, at_once: bool = True, within: float = 0.0) -> None:
        """Stop all children; when the last has ended, this worker does, with the code that was given first."""
        self._code = code if self._code is None else self._code
        for child in self._children:
            child.tell(NOW if at_once else STOP)
        self._kill_at = min(self._kill_at, self._world.monotonic() + _KILL_MARGIN + within)

    def _finish(self, code: int) -> int:
        if self._service:
            self._service.upkeep.stop()
            self._service.clients.close()
        if code == 0:
            self._say(self._burial.account())
        return code


def _serve(config: Config, world: World, trouble: Trouble, put: Callable[[Event], None]) -> Service:
    clients, keys = connect(replace(config, pool_size=4)), Keys(config.namespace)
    scripts = Scripts(clients.commands, keys, world, _PATIENCE)
    broker = Broker(scripts, keys, config.result_ttl)
    inspector = Inspector(clients.commands, keys)
    reception = Reception(clients.commands, replicated=config.durability == "replicated", log=_log.warning)

    def will_do() -> bool:
        refusal = reception.refusal()
        if refusal:
            put(Event("refused", fault=refusal))
        return not refusal

    queues = config.turns.queues

    def look_into_quarantine() -> None:
        if inspector.is_anything_in_quarantine(queues):
            put(Event("quarantine"))

    recovery = Recovery(broker, inspector, world, config.lease)
    office = Office(_host(), config.lease, will_do, look_into_quarantine)
    clockwork = Clockwork(Timetable(scripts, keys), Agenda(clients.commands, keys, inspector), world)
    upkeep = Upkeep(broker, recovery, clockwork, Alarm(clients.blocking, keys), world, office)
    upkeep.start()
    return Service(clients, broker, clockwork, upkeep, Guard(broker, world, trouble, config.stall_limit))


def _facts(child: Running, hello: Hello) -> dict[str, object]:
    """What others are shown of a child, and what they need to take over from it."""
    config = hello.config
    assert config is not None
    return {
        "host": socket.gethostname(),
        "pid": child.process.pid,
        "queues": config.turns.queues,
        "threads": 1 if child.quarantine else config.worker_concurrency,
        "quarantine": child.quarantine,
        "tasks": hello.tasks,
        "schedules": [f"{one['name']} {one['version']}" for one in hello.schedules],
        "settings": queue_settings.facts_of(hello.queue_settings),
        "machine": identity.machine(),
        "processes": [identity.mark(os.getpid()), child.mark],
    }


def _server(clients: Clients) -> dict[str, object] | None:
    try:
        return server_info(clients.commands)
    except RedisUnavailable:
        return None


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60] or "host"
