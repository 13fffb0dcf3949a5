"""The peers of a web process: many WebSockets, and one client of HTTP beside them, each in a process of its own."""

import os
import resource
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection
from multiprocessing.connection import Connection

from minicelery.embedded import HOST

from .helper import PATIENCE, answer, obey
from .trial import Failed

CONNECTED = b'{"event":"connected"'
PROGRESS = b'{"event":"progress"'
_SO_TIMESTAMPNS = 35  # Linux: the kernel notes when bytes came in
_PING, _PONG = b"\x89\x00", b"\x8a\x80\x00\x00\x00\x00"
_AT_ONCE = 64
_LOOK_EVERY = 0.5
_THINK = 0.002


class Crowd:
    """The peers' ends of many sockets.

    It reads seldom, and the kernel tells it when the bytes came. In life peers are on other machines: here they
    would take the processor from what is measured, and the wait for it would count as delay.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socks: list[socket.socket] = []

    def open(self, paths: Sequence[str]) -> int:
        """Open a socket for each path, some at once; each has had its first event then. How many there are."""
        for start in range(0, len(paths), _AT_ONCE):
            fresh = [self._connect(path) for path in paths[start : start + _AT_ONCE]]
            for sock in fresh:
                self._greet(sock)
            self._socks += fresh
        return len(self._socks)

    def arrivals(self, _: None) -> list[float]:
        """When the next progress event came in at each socket, by the time of day."""
        moments: list[float] = []
        waiting, deadline = self._socks, time.monotonic() + PATIENCE
        while waiting and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
            found = [(sock, self._arrival(sock)) for sock in waiting]
            moments += [moment for _, moment in found if moment]
            waiting = [sock for sock, moment in found if not moment]
        if waiting:
            raise Failed(f"{len(waiting)} sockets were sent no event within {PATIENCE:g} s")
        return moments

    def _connect(self, path: str) -> socket.socket:
        sock = socket.create_connection((HOST, self._port), PATIENCE)
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        sock.sendall(head.encode())
        return sock

    def _greet(self, sock: socket.socket) -> None:
        data = b""
        while CONNECTED not in data:
            more = sock.recv(65_536)
            if not more or (not data and not more.startswith(b"HTTP/1.1 101")):
                raise Failed(f"no WebSocket was opened: {more[:300]!r}")
            data += more
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setblocking(False)

    def _arrival(self, sock: socket.socket) -> float | None:
        with suppress(BlockingIOError):
            data, notes, _, _ = sock.recvmsg(65_536, 64)
            if not data:
                raise Failed("the web process has closed a socket")
            if _PING in data:
                sock.send(_PONG)
            if PROGRESS in data:
                seconds, nanoseconds = struct.unpack("qq", notes[0][2])
                return float(seconds + nanoseconds / 1e9)
        return None


class Visitor:
    """Asks for a page again and again, with a little rest, from ``start`` to ``stop``."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=PATIENCE)
        self._path = path

    def visit(self, pipe: Connection) -> list[tuple[float, float]]:
        """Begin and end of each request, by the time of day, until the pipe has something to say."""
        spans = []
        while not pipe.poll():
            begun = time.time()
            self._connection.request("GET", self._path)
            answer = self._connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise Failed(f"{self._path} was answered with {answer.status}")
            spans.append((begun, time.time()))
            time.sleep(_THINK)
        return spans


def be_crowd(pipe: Connection, port: int) -> None:
    """The target of a process: a crowd that does what it is asked."""
    allow_files()
    os.nice(19)
    obey(pipe, Crowd(port))


def be_visitor(pipe: Connection, port: int, path: str) -> None:
    """The target of a process: a visitor, who tells of the requests when told to stop."""
    answer(pipe, partial(Visitor(port, path).visit, pipe))


def allow_files() -> int:
    """Raise the limit of open files of this process as far as the system lets us; what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
