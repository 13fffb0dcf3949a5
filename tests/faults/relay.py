"""The one thread that moves the bytes of a fault proxy."""

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from .wire import CHUNK, Link


class Relay:
    """Reads from both ends of all links and sends what is due. What others ask for is done between two turns."""

    def __init__(
        self,
        accept: Callable[[], None],
        upstream: Callable[[Link, bytes], None],
        downstream: Callable[[Link, bytes], None],
    ) -> None:
        self._accept = accept
        self._receivers = (upstream, downstream)
        self._selector = selectors.DefaultSelector()
        self._calls: queue.SimpleQueue[tuple[Callable[[], object], Future[None]]] = queue.SimpleQueue()
        self._bell, self._ear = socket.socketpair()
        self._links: set[Link] = set()
        self._held = (False, False)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)

    def start(self) -> None:
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Run a function in the loop's thread, and wait for its end."""
        done: Future[None] = Future()
        self._calls.put((function, done))
        self._bell.send(b".")
        done.result(timeout=10)

    def close(self) -> None:
        if self._thread.is_alive():
            self.call(lambda: setattr(self, "_is_closed", True))
            self._thread.join()
        for link in self.links():
            self.drop(link)
        self._selector.close()
        self._bell.close()
        self._ear.close()

    # ---- for what runs in its thread ------------------------------------------------------------

    def listen(self, listener: socket.socket) -> None:
        if listener not in self._selector.get_map():
            self._selector.register(listener, selectors.EVENT_READ)

    def forget(self, source: socket.socket) -> None:
        with suppress(KeyError):
            self._selector.unregister(source)

    def links(self) -> list[Link]:
        return list(self._links)

    def add(self, link: Link) -> None:
        self._links.add(link)
        self._watch(link)

    def drop(self, link: Link, *, reset: bool = False) -> None:
        """Close a link that may be closed already."""
        if link in self._links:
            self._links.discard(link)
            self.forget(link.client)
            self.forget(link.server)
            link.close(reset=reset)

    def hold(self, *, up: bool, down: bool) -> None:
        """Read nothing from the clients (up) or the servers (down) of all links, or read again."""
        self._held = (up, down)
        for link in self._links:
            self._watch(link)

    def _watch(self, link: Link) -> None:
        for way, source in enumerate((link.client, link.server)):
            self.forget(source)
            if not self._held[way]:
                self._selector.register(source, selectors.EVENT_READ, (link, way))

    def _run(self) -> None:
        while not self._is_closed:
            due = self._flush()
            for key, _ in self._selector.select(None if due is None else max(0.0, due - time.monotonic())):
                if key.data:
                    self._read(*key.data)
                elif key.fileobj is self._ear:
                    self._answer_calls()
                else:
                    with suppress(BlockingIOError):
                        self._accept()

    def _answer_calls(self) -> None:
        for _ in self._ear.recv(100):
            function, done = self._calls.get()
            try:
                function()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _read(self, link: Link, way: int) -> None:
        if link not in self._links or self._held[way]:
            return
        try:
            data = (link.client, link.server)[way].recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._receivers[way](link, data)
        elif way == 0:
            self.drop(link)
        else:
            self.forget(link.server)
            link.down.is_ending = True

    def _flush(self) -> float | None:
        """Send what is due; when the next piece is, if there is one."""
        nearest: float | None = None
        for link in self.links():
            for pipe in link.pipes():
                try:
                    due = pipe.flush(time.monotonic())
                except OSError:
                    self.drop(link)
                    break
                if due is not None:
                    nearest = due if nearest is None else min(nearest, due)
                elif pipe.is_ending:
                    self.drop(link)
                    break
        return nearest
