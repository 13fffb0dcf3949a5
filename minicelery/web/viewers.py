"""All sockets that are served: their place in the selector, their timers, and that one's error ends it alone."""

import contextlib
import logging
import selectors
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import count

from ..events import USUAL, Event, EventName
from ..world import World
from .socket import Limits, WebSocket, framed
from .watching import Arrival, Viewer

_log = logging.getLogger("minicelery.hub")

#: The close code and reason after an event, for those that end the story.
ENDINGS = {
    EventName.COMPLETED: (1000, "the task has completed"),
    EventName.FAILED: (1000, "the task has failed"),
    EventName.CANCELLED: (1000, "the task was cancelled"),
    EventName.EXPIRED: (1000, "the task has expired"),
    EventName.DELETED: (4404, "the task was deleted"),
}


class Viewers:
    """The served sockets. For one thread, that of the selector.

    ``on_leave`` is told of each viewer that is gone, before its socket is closed.
    """

    def __init__(
        self, selector: selectors.BaseSelector, limits: Limits, world: World, on_leave: Callable[[Viewer], None]
    ) -> None:
        self._selector = selector
        self._limits = limits
        self._world = world
        self._on_leave = on_leave
        self._all: set[Viewer] = set()
        self._timers: list[tuple[float, int, Viewer]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def due(self) -> float | None:
        """When ``tick`` wants to be called."""
        return self._timers[0][0] if self._timers else None

    def admit(self, arrival: Arrival) -> Viewer:
        """Take a socket in. One that can't be served is closed, and the error raised."""
        try:
            viewer = Viewer(WebSocket(arrival.sock, self._limits, self._world.monotonic()), arrival.all_events)
            self._selector.register(viewer.socket.sock, viewer.mask, viewer)
        except BaseException:
            arrival.sock.close()
            raise
        self._all.add(viewer)
        return viewer

    def welcome(self, viewer: Viewer, arrival: Arrival) -> None:
        """Send the first events, as one piece that passes whatever its size, and heed what the peer has sent."""
        with self._settled(viewer):
            now = self._world.monotonic()
            if arrival.first:
                viewer.socket.send(b"".join(framed(event.text) for event in arrival.first), now)
                self._end_after(viewer, arrival.first[-1].name, now)
            viewer.socket.feed(arrival.received, now)

    def show(self, viewers: Iterable[Viewer], event: Event, frame: bytes) -> None:
        """Send an event, already framed, to those who want to know; close after one that ends the story."""
        now = self._world.monotonic()
        is_usual = event.name in USUAL
        for viewer in viewers:
            if is_usual or viewer.all_events:
                try:  # what _settled does, without its cost a socket
                    viewer.socket.send(frame, now)
                    self._end_after(viewer, event.name, now)
                    self._settle(viewer)
                except Exception:
                    self._drop(viewer)

    def close(self, viewer: Viewer, code: int, reason: str) -> None:
        with self._settled(viewer):
            viewer.socket.close(code, reason, self._world.monotonic())

    def close_all(self, code: int, reason: str) -> None:
        for viewer in list(self._all):
            self.close(viewer, code, reason)

    def serve(self, viewer: Viewer, mask: int) -> None:
        """The selector says that the socket can be read or written."""
        with self._settled(viewer):
            now = self._world.monotonic()
            if mask & selectors.EVENT_READ and not viewer.socket.over:
                viewer.socket.read(now)
            if mask & selectors.EVENT_WRITE and not viewer.socket.over:
                viewer.socket.write(now)

    def tick(self) -> None:
        """Look after the sockets whose time has come."""
        now = self._world.monotonic()
        while self._timers and self._timers[0][0] <= now:
            at, _, viewer = heappop(self._timers)
            if at == viewer.timer and not viewer.socket.over:
                viewer.timer = float("inf")
                with self._settled(viewer):
                    viewer.socket.tick(now)

    def drop_all(self) -> None:
        """Without any ceremony."""
        for viewer in list(self._all):
            self._discard(viewer)

    def _end_after(self, viewer: Viewer, name: EventName, now: float) -> None:
        if name in ENDINGS:
            viewer.socket.close(*ENDINGS[name], now)

    @contextlib.contextmanager
    def _settled(self, viewer: Viewer) -> Iterator[None]:
        """Afterwards the selector and the timers fit the socket's new state. Its errors end it alone."""
        try:
            yield
            self._settle(viewer)
        except Exception:
            self._drop(viewer)

    def _drop(self, viewer: Viewer) -> None:
        _log.exception("A WebSocket is dropped after an unexpected error.")
        self._discard(viewer)

    def _settle(self, viewer: Viewer) -> None:
        if viewer.socket.over:
            self._discard(viewer)
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if viewer.socket.wants_to_write else 0)
        if mask != viewer.mask:
            self._selector.modify(viewer.socket.sock, mask, viewer)
            viewer.mask = mask
        if viewer.socket.due < viewer.timer:
            viewer.timer = viewer.socket.due
            heappush(self._timers, (viewer.timer, next(self._serial), viewer))

    def _discard(self, viewer: Viewer) -> None:
        if viewer not in self._all:
            return
        self._all.discard(viewer)
        self._on_leave(viewer)
        viewer.socket.end()
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(viewer.socket.sock)
        viewer.socket.dispose()
