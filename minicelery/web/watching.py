"""Who watches which task: the values that pass between request threads, the loop and its viewers."""

import socket
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from .. import codec
from ..errors import MiniCeleryError
from ..events import Event, EventName, connected, describe
from ..inspector import Inspector
from .socket import WebSocket

_KEPT = 1_000


@dataclass(eq=False, slots=True)
class Subscription:
    """A request's claim on the events of a task, until its socket comes. ``heard`` is what has come in before it."""

    task_id: str
    channel: str
    heard: deque[Event] = field(default_factory=lambda: deque(maxlen=_KEPT))
    epoch: int = 0
    outcome: "Future[None]" = field(default_factory=Future)

    @property
    def is_confirmed(self) -> bool:
        return self.outcome.done()

    def confirm(self, epoch: int) -> None:
        """Redis has it: nothing is missed on the link of this number."""
        if not self.outcome.done():
            self.epoch = epoch
            self.outcome.set_result(None)

    def fail(self, error: MiniCeleryError) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(type(error)(*error.args))  # a raised exception belongs to one thread

    def since(self, moment: float) -> list[Event]:
        """What was heard, without what is older than a state of that moment, in Redis's time."""
        return [event for event in self.heard if _moment(event, moment) >= moment]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A detached socket. ``first`` is what it is sent before all else, read from Redis as of ``since``.

    ``received`` are bytes that came behind the handshake and that the web server had already read.
    """

    sock: socket.socket
    received: bytes = b""
    first: Sequence[Event] = ()
    since: float = 0.0
    all_events: bool = False


@dataclass(eq=False, slots=True)
class Viewer:
    """A socket that is served. ``mask`` and ``timer`` are what the selector and the timers have been told."""

    socket: WebSocket
    all_events: bool
    topic: "Topic | None" = None
    mask: int = 1  # selectors.EVENT_READ
    timer: float = float("inf")


@dataclass(eq=False, slots=True)
class Topic:
    """A task that is watched. It ``is_quiet`` when no event of it has come since a gap."""

    task_id: str
    channel: str
    waiting: set[Subscription] = field(default_factory=set)
    viewers: set[Viewer] = field(default_factory=set)
    is_quiet: bool = False


def first_events(inspector: Inspector, channels: Mapping[str, str]) -> dict[str, list[Event]]:
    """For each channel of a task id what a watcher is to be told first, read in one round trip."""
    records = inspector.tasks(list(channels.values()))
    return {
        channel: connected(record, describe(record)) if record else [_deleted(task_id)]
        for (channel, task_id), record in zip(channels.items(), records, strict=True)
    }


def _moment(event: Event, default: float) -> float:
    """When it happened. Anybody can publish on the channel, so it may have any form."""
    try:
        return datetime.fromisoformat(codec.decode(event.text)["data"]["at"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return default


def _deleted(task_id: str) -> Event:
    text = codec.write({"event": EventName.DELETED.value, "data": {"task_id": task_id}})
    return Event(EventName.DELETED, text)
