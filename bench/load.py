"""Clients of a web process: connections that stay open, each with one request under way, in a process of their own."""

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from minicelery.embedded import HOST

from .helper import PATIENCE, obey
from .trial import Failed

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_AT_ONCE = 262_144
_SHOWN = 300


@dataclass(frozen=True)
class Wish:
    """A request to be made again and again over so many connections."""

    method: str
    path: str
    body: str = ""
    connections: int = 1

    def packed(self) -> bytes:
        """The bytes of the request."""
        body = self.body.encode()
        head = [f"{self.method} {self.path} HTTP/1.1", f"Host: {HOST}", "Accept: */*"]
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(head).encode() + _END_OF_HEAD + body


@dataclass
class Answers:
    """What came back: the seconds of each request, of all, and of our own processor time; the last body, and how many
    bodies there were that differ."""

    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    own: float = 0.0
    body: bytes = b""
    different: int = 0

    @property
    def count(self) -> int:
        return len(self.times)


class Client:
    """One connection: sends a request, and reads until its answer is there."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port), PATIENCE)
        self.begun = 0.0
        self._data = bytearray()
        self._head: int | None = None
        self._size = 0

    def send(self, request: bytes) -> None:
        self._data.clear()
        self._head = None
        self.begun = time.perf_counter()
        self.sock.sendall(request)

    def body(self) -> bytes | None:
        """Read once what has come in: the body, if the answer is whole. ``Failed`` for any but a 2xx."""
        more = self.sock.recv(_AT_ONCE)
        self._data += more
        if self._head is None and (end := self._data.find(_END_OF_HEAD)) >= 0:
            self._head = end + len(_END_OF_HEAD)
            self._size = self._head + length_of(bytes(self._data))
        if self._head is not None and len(self._data) >= self._size:
            return bytes(self._data[self._head :])
        if not more:
            raise Failed(f"a connection was closed before its answer was whole: {bytes(self._data[:_SHOWN])!r}")
        return None


def length_of(answer: bytes) -> int:
    """How long the body of an answer will be whose head is there. ``Failed`` for any but a 2xx that tells it."""
    head = answer.partition(_END_OF_HEAD)[0]
    _, found, rest = head.lower().partition(_LENGTH)
    if not head.startswith(b"HTTP/1.1 2") or not found:
        raise Failed(f"a request was answered so: {answer[:_SHOWN]!r}")
    return int(rest.partition(b"\r")[0])


class Load:
    """A closed loop: a connection sends its next request once it has its answer. One thread serves all of them, so
    that little of the processor is taken from what is measured."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[Client] = []

    def make(self, order: tuple[Wish, float]) -> Answers:
        """For so many seconds, at least one request on each connection. All that are sent are waited for."""
        wish, seconds = order
        self._clients += [Client(self._port) for _ in range(wish.connections - len(self._clients))]
        clients, request, bodies = self._clients[: wish.connections], wish.packed(), []
        answers, own, begun = Answers(), time.process_time(), time.perf_counter()
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client.sock, selectors.EVENT_READ, client)
                client.send(request)
            for client, body in _answered(selector):
                now = time.perf_counter()
                answers.times.append(now - client.begun)
                bodies.append(body)
                if now < begun + seconds:
                    client.send(request)
                else:
                    selector.unregister(client.sock)
        answers.seconds, answers.own = time.perf_counter() - begun, time.process_time() - own
        answers.body, answers.different = bodies[-1], len(set(bodies))
        return answers

    def close(self) -> None:
        for client in self._clients:
            client.sock.close()


def _answered(selector: selectors.BaseSelector) -> Iterator[tuple[Client, bytes]]:
    """Connections whose answer is whole, until none is left."""
    while selector.get_map():
        ready = selector.select(PATIENCE)
        if not ready:
            raise Failed(f"no request was answered within {PATIENCE:g} s")
        for key, _ in ready:
            body = key.data.body()
            if body is not None:
                yield key.data, body


def be_load(pipe: Connection, port: int) -> None:
    """The target of a process: clients that make the requests which they are asked for."""
    obey(pipe, Load(port))
