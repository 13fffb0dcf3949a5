"""One WebSocket on a non-blocking socket: its frames, its bounded backlog, and what the peer may do."""

import contextlib
import socket
import struct
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason, FrameProtocol

_RECEIVE_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_TEXT = 0x81  # a whole message in one frame
_PING = b"\x89\x00"
_PONG = b"\x8a\x80"  # with an empty body, which a mask of four bytes still precedes
_PONG_BYTES = 6


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one socket may take up. Times are seconds.

    ``backlog_bytes`` counts what waits behind the frame that is being sent, so a single larger frame still passes.
    A peer may send ``burst`` messages at once and ``message_rate`` a second in the long run, control frames included.
    """

    backlog_bytes: int = 262_144
    message_bytes: int = 4_096
    message_rate: float = 10.0
    burst: int = 20
    ping_every: float = 25.0
    close_patience: float = 2.0


def framed(text: str) -> bytes:
    """A text message as it goes over the wire. A server's frames carry no mask, so all peers can share the bytes."""
    payload = text.encode(errors="replace")
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _TEXT, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


@lru_cache(64)
def _closing(code: int, reason: str | None) -> bytes:
    """A close frame. When a task ends, all who watch it are sent the same one."""
    return bytes(FrameProtocol(client=False, extensions=[]).close(code, reason))


class WebSocket:
    """A peer after its handshake. Never blocks and has one writer, the thread that calls it.

    ``due`` is when ``tick`` wants to be called next; ``over`` says that nothing more can be done but ``dispose``.
    A peer that reads what it is sent, and answers pings, costs neither a queue nor a parser.
    """

    __slots__ = (
        *("sock", "due", "over", "is_closing", "_limits", "_parser", "_deaf", "_is_answered", "_awaits_pong"),
        *("_queue", "_begun", "_waiting", "_resets", "_message_bytes", "_allowance", "_counted_at"),
    )

    def __init__(self, sock: socket.socket, limits: Limits, now: float) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # not TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.due = now + limits.ping_every
        self.over = False
        self.is_closing = False
        self._limits = limits
        self._parser: Connection | None = None
        self._deaf = False  # what comes in is thrown away
        self._is_answered = False  # both sides have said close
        self._awaits_pong = False
        self._queue: deque[memoryview] | None = None
        self._begun = False  # the first frame in the queue is partly on its way
        self._waiting = 0  # bytes behind the first frame in the queue
        self._resets = False
        self._message_bytes = 0
        self._allowance: float = limits.burst
        self._counted_at = now

    @property
    def wants_to_write(self) -> bool:
        return self._queue is not None

    # ---- sending ------------------------------------------------------------------------------

    def send(self, frame: bytes, now: float) -> None:
        """Send bytes made by ``framed``. A peer whose backlog is full is cut off instead."""
        if self.is_closing:
            return
        if self._waiting and self._waiting + len(frame) > self._limits.backlog_bytes:
            self._cut(CloseReason.TRY_AGAIN_LATER, "you read too slowly", now)
            return
        self._put(frame, now)

    def close(self, code: int, reason: str, now: float) -> None:
        """Close in order: send what is queued and a close frame, then wait a little for the peer's."""
        if self.is_closing:
            return
        self.is_closing = True
        self.due = now + self._limits.ping_every  # as long as any peer may be silent
        self._put(_closing(code, reason), now)

    def write(self, now: float) -> None:
        """Send as much of the queue as the kernel takes."""
        try:
            while self._queue:
                head = self._queue[0]
                sent = self.sock.send(head)
                if sent < len(head):
                    self._queue[0] = head[sent:]
                    self._begun = True
                    continue
                self._queue.popleft()
                self._begun = False
                self._waiting -= len(self._queue[0]) if self._queue else 0
        except BlockingIOError:
            return
        except OSError:
            self.end()
            return
        self._queue = None
        self._has_written(now)

    def _put(self, frame: bytes, now: float) -> None:
        """Send at once, or have it wait behind what is queued already."""
        if self._queue is not None:
            self._queue.append(memoryview(frame))
            self._waiting += len(frame)
            return
        try:
            sent = self.sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end()
            return
        if sent == len(frame):
            self._has_written(now)
            return
        self._queue = deque([memoryview(frame)[sent:]])
        self._begun = sent > 0

    def _has_written(self, now: float) -> None:
        """All has gone out that was to go out."""
        if self._is_answered:
            self.end()
        elif self.is_closing:
            self.due = min(self.due, now + self._limits.close_patience)

    def _cut(self, code: int, reason: str, now: float) -> None:
        """Close a peer that is too slow or silent: without its backlog, soon, and without a trace in the kernel."""
        self._drop_backlog()
        self._resets = True
        self.close(code, reason, now)
        self.due = min(self.due, now + self._limits.close_patience)

    def _drop_backlog(self) -> None:
        """Forget what is queued, but for the rest of a frame that is partly on its way."""
        self._queue = deque([self._queue[0]]) if self._queue and self._begun else None
        self._waiting = 0

    # ---- receiving ----------------------------------------------------------------------------

    def read(self, now: float) -> None:
        """Take what has come in, up to a bound, so that no peer can keep the loop to itself."""
        try:
            data = self.sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.feed(data, now)
        else:
            self.end()

    def feed(self, data: bytes, now: float) -> None:
        """Heed bytes from the peer. Nothing of them is kept."""
        if self._deaf or not data:
            return
        if self._parser is None:
            if len(data) == _PONG_BYTES and data.startswith(_PONG) and not self.is_closing:
                self._heed(Pong(), now)  # all that a browser ever says, so that few sockets come to need a parser
                return
            self._parser = Connection(ConnectionType.SERVER)
        self._parser.receive_data(data)
        for event in self._parser.events():
            if isinstance(event, CloseConnection):
                self._heed_close(event, now, is_frame=self._parser.state is ConnectionState.REMOTE_CLOSING)
            elif not self.is_closing:
                self._heed(event, now)

    def _heed(self, event: Event, now: float) -> None:
        if isinstance(event, Pong):
            self._awaits_pong = False
        elif isinstance(event, Ping):
            self.send(bytes(FrameProtocol(client=False, extensions=[]).pong(event.payload)), now)
        elif isinstance(event, (TextMessage, BytesMessage)):
            self._measure(event, now)
            if not event.frame_finished:
                return
        self._count(now)

    def _measure(self, message: TextMessage | BytesMessage, now: float) -> None:
        data = message.data
        self._message_bytes += len(data.encode()) if isinstance(data, str) else len(data)
        if self._message_bytes > self._limits.message_bytes:
            self.close(CloseReason.MESSAGE_TOO_BIG, f"at most {self._limits.message_bytes} bytes a message", now)
        if message.message_finished:
            self._message_bytes = 0

    def _count(self, now: float) -> None:
        regained = (now - self._counted_at) * self._limits.message_rate
        self._allowance = min(self._limits.burst, self._allowance + regained) - 1
        self._counted_at = now
        if self._allowance < 0:
            self.close(CloseReason.POLICY_VIOLATION, f"at most {self._limits.message_rate:g} messages a second", now)

    def _heed_close(self, event: CloseConnection, now: float, *, is_frame: bool) -> None:
        """The peer's close frame, or else wsproto's verdict on bytes that are no frame."""
        self._deaf = True
        if not is_frame:
            self.close(event.code, event.reason or "", now)
            return
        self._is_answered = True
        if self.is_closing:
            self.write(now)
            return
        self.is_closing = True
        self.due = now + self._limits.close_patience
        self._drop_backlog()
        self._put(_closing(event.code, event.reason), now)

    # ---- time, and the end --------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Ping the peer, or give up on one that has not answered in time."""
        if now < self.due:
            return
        if self.is_closing:
            self.end()
        elif self._awaits_pong:
            self._cut(CloseReason.POLICY_VIOLATION, "no pong came", now)
        else:
            self._awaits_pong = True
            self.due = now + self._limits.ping_every
            self._put(_PING, now)

    def end(self) -> None:
        """Nothing more is sent or heard."""
        self.over = self.is_closing = self._deaf = True
        self._queue = None

    def dispose(self) -> None:
        """Close the socket itself, once no selector watches it any more."""
        if self._resets:
            with contextlib.suppress(OSError):  # else the kernel would go on offering the rest for minutes
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()
