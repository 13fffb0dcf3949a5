"""Watchers for tests: a client that does nothing unasked, a task led by hand, a link to Redis that can be cut."""

import contextlib
import json
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any, Self

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, TextMessage

from minicelery import MiniCelery
from minicelery.embedded import HOST
from minicelery.handover import Claim, Settlement
from minicelery.message import Delivery, Message
from minicelery.states import Status
from tests.stack import wait_until

PATIENCE = 15.0
GONE = 1006


class Client:
    """A watcher's end of the socket, on which nothing is done that the test does not ask for."""

    def __init__(
        self, port: int, path: str, *, headers: tuple[str, ...] = (), behind: bytes = b"", receive_buffer: int = 0
    ) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((HOST, port))
        self.greet(f"{HOST}:{port}", path, headers, behind)

    def greet(self, host: str, path: str, headers: tuple[str, ...], behind: bytes) -> None:
        lines = [
            *(f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *headers),
        ]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + behind)
        self.head, rest = self._read_head()
        self.status = int(self.head.split()[1])
        self._begin(rest)

    @classmethod
    def of(cls, sock: socket.socket) -> Self:
        """One that needs no handshake."""
        client = cls.__new__(cls)
        client.sock = sock
        client._begin(b"")
        return client

    def _begin(self, received: bytes) -> None:
        self.protocol = Connection(ConnectionType.CLIENT, trailing_data=received)
        self.events: list[Event] = []
        self._text = ""

    def _read_head(self) -> tuple[str, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65_536)
            assert more, "closed before an answer"
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        return head.decode(), rest

    def body(self) -> bytes:
        """The rest of an answer that is no WebSocket's."""
        data = self.protocol._proto._frame_decoder.buffer.buffer
        while len(data) < int(self.head.lower().partition("content-length: ")[2].split()[0]):
            data += self.sock.recv(65_536)
        return bytes(data)

    def say(self, *events: Event) -> None:
        self.sock.sendall(b"".join(self.protocol.send(event) for event in events))

    def next(self, timeout: float = PATIENCE) -> Event:
        """The next frame's event; a close is answered, and an end without one is a close with 1006."""
        self.sock.settimeout(timeout)
        while True:
            self.events += self.protocol.events()
            if self.events:
                event = self.events.pop(0)
                if isinstance(event, CloseConnection) and self.protocol.state is ConnectionState.REMOTE_CLOSING:
                    with contextlib.suppress(OSError):
                        self.say(event.response())
                return event
            try:
                data = self.sock.recv(1 << 20) or None
            except ConnectionError:
                data = None
            self.protocol.receive_data(data)

    def event(self, timeout: float = PATIENCE) -> tuple[str, dict[str, Any]]:
        """Name and data of the next message."""
        while True:
            event = self.next(timeout)
            assert isinstance(event, TextMessage), event
            self._text += event.data
            if event.message_finished:
                text, self._text = self._text, ""
                message = json.loads(text)
                return message["event"], message["data"]

    def names(self, count: int) -> list[str]:
        return [self.event()[0] for _ in range(count)]

    def end(self) -> int:
        """Read on, whatever comes, until the close; its code."""
        while True:
            event = self.next()
            if isinstance(event, CloseConnection):
                return int(event.code)

    def close(self) -> None:
        self.sock.close()


class TaskOnWire:
    """A task whose life is led by hand. Its queue is its own, so that tests do not take each other's."""

    def __init__(self, celery: MiniCelery, size: int = 0) -> None:
        self.id = str(uuid.uuid4())
        self.broker, self._keys, self._client = celery.broker, celery.keys, celery.clients.commands
        args = json.dumps(["x" * size])
        assert self.broker.enqueue([Message(self.id, "add", args, "{}", self.id, 3)]) == [Status.PENDING]

    @property
    def path(self) -> str:
        return f"/ws/tasks/{self.id}"

    def start(self) -> None:
        self.broker.beat({self.id: "{}"}, 600)
        self.delivery: Delivery = self.broker.claim(Claim(self.id, 0, 1, "nonce", (self.id,))).deliveries[0]

    def progress(self, done: int, note: str = "") -> None:
        assert self.broker.progress(self.id, self.delivery.token, f'"current":{done},"total":9,"message":"{note}"')

    def settle(self, status: Status = Status.SUCCESS, body: str = "3", delay: float = 0.0) -> None:
        assert self.broker.settle(self.id, [Settlement(self.id, self.delivery.token, status, body, delay)]) == [True]

    def expire(self) -> None:
        """As if it was too late for it by now."""
        self._client.hset(self._keys.task(self.id), mapping={"expires": "1", "more": "1"})
        self._client.zadd(self._keys.expiring, {self.id: 1})
        wait_until(lambda: self.broker.expire()[0], what="its end")

    def fail(self) -> None:
        self.settle(Status.FAILED, '{"type":"E","message":"m","traceback":"t"}')


class Proxy:
    """Stands between the web process and Redis. ``cut`` ends all connections and takes no more, until ``mend``."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener: socket.socket | None = None
        self.pairs: list[socket.socket] = []
        self.threads: list[threading.Thread] = []
        self.port = 0
        self.mend()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def mend(self) -> None:
        self.listener = socket.create_server((HOST, self.port))
        self.port = self.listener.getsockname()[1]
        self._spawn(self._accept, self.listener)

    def cut(self) -> None:
        assert self.listener
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.pairs:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(PATIENCE)
        for sock in self.pairs:
            sock.close()
        self.pairs, self.threads = [], []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours = listener.accept()[0]
                theirs = socket.create_connection((HOST, self.target))
                self.pairs += (ours, theirs)
                self._spawn(self._carry, ours, theirs)
                self._spawn(self._carry, theirs, ours)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _spawn(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()


def watched_channels(celery: MiniCelery, task: TaskOnWire) -> int:
    [(_, subscribers)] = celery.clients.commands.pubsub_numsub(celery.keys.events(task.id))
    return int(subscribers)


def few_threads(**environ: str) -> dict[str, str]:
    return {"GUNICORN_CMD_ARGS": "--threads 4 --no-control-socket", **environ}


Watch = Callable[..., Client]
