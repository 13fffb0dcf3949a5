"""What goes through a fault proxy: whole requests, and bytes that are on their way."""

import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

CHUNK = 65_536
_FULL = 0.005  #: seconds after which a socket that took nothing is tried again
_RESET = struct.pack("ii", 1, 0)


class Requests:
    """Cuts a client's bytes into whole commands (RESP arrays, or a line each)."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The commands that are whole now; the rest waits for more."""
        buffer, start, found = self._left + data, 0, []
        while (end := _end_of_command(buffer, start)) is not None:
            found.append(buffer[start:end])
            start = end
        self._left = buffer[start:]
        return found


def _end_of_command(buffer: bytes, start: int) -> int | None:
    line = buffer.find(b"\r\n", start)
    if line < 0:
        return None
    if buffer[start : start + 1] != b"*":
        return line + 2
    place = line + 2
    for _ in range(int(buffer[start + 1 : line])):
        line = buffer.find(b"\r\n", place)
        if line < 0:
            return None
        place = line + 2 + int(buffer[place + 1 : line]) + 2
    return place if place <= len(buffer) else None


@dataclass
class Pipe:
    """One direction of a link: bytes with the moment at which each piece is due, in their order."""

    target: socket.socket
    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    is_ending: bool = False  #: nothing more will come
    _last: float = 0.0

    def put(self, data: bytes, due: float, size: int) -> None:
        """Take up bytes that are due then, in pieces of ``size`` (0: as they are)."""
        self._last = due = max(due, self._last)
        for start in range(0, len(data), size or len(data)):
            self.pieces.append((due, data[start : start + (size or len(data))]))

    def flush(self, now: float) -> float | None:
        """Send a piece that is due. When the next one is, None if there is none. Raises ``OSError`` if it can't."""
        if self.pieces and self.pieces[0][0] <= now:
            due, data = self.pieces.popleft()
            try:
                sent = self.target.send(data)
            except BlockingIOError:
                sent, due = 0, now + _FULL
            if sent < len(data):
                self.pieces.appendleft((due, data[sent:]))
        return self.pieces[0][0] if self.pieces else None


class Link:
    """One connection through the proxy: the client's socket, the server's, and what is between them."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.requests = Requests()
        self.up = Pipe(server)
        self.down = Pipe(client)
        self.losing = b""  #: the request whose reply, the next bytes of the server, gets lost
        self.is_deaf = False  #: nothing of the server reaches the client any more
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.up, self.down

    def close(self, *, reset: bool = False) -> None:
        """Close both ends. With ``reset`` each peer finds its connection broken instead of ended."""
        for end in (self.client, self.server):
            with suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()
