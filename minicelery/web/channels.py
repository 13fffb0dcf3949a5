"""The Pub/Sub connection of a web process: which channels it listens on, and how it comes back when lost."""

import logging
import selectors
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import hiredis
import redis

from ..connection import translated
from ..errors import RedisUnavailable
from ..world import World

_log = logging.getLogger("minicelery.hub")

#: Seconds of silence after which Redis is asked for a sign of life, and then again until it counts as lost.
SILENCE = 5.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_BATCH = 500
_READ_BYTES = 8_192
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Link:
    """A connection to Redis on which nothing waits. Reading and writing raise ``OSError`` when it is lost."""

    def __init__(self, connection: redis.Connection) -> None:
        sock = connection._get_socket()  # redis-py has no public name for it
        if sock is None:
            raise ConnectionError("the connection was closed")
        sock.setblocking(False)
        self.sock: socket.socket = sock
        self._connection = connection
        self._replies = hiredis.Reader(encoding="utf-8", errors="replace")
        self._out = bytearray()

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    def ask(self, *words: str) -> None:
        """Queue a command for ``write``."""
        self._out += hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means a tuple of any length

    def write(self) -> None:
        try:
            while self._out:
                del self._out[: self.sock.send(self._out)]
        except _NOT_NOW:
            return

    def read(self) -> list[Any]:
        """The complete replies that have come in."""
        replies: list[Any] = []
        try:
            while True:
                data = self.sock.recv(_READ_BYTES)
                if not data:
                    raise ConnectionError("Redis has closed the connection")
                self._replies.feed(data)
                if not isinstance(self.sock, ssl.SSLSocket) or not self.sock.pending():
                    break
        except _NOT_NOW:
            pass
        while (reply := self._replies.gets()) is not False:
            replies.append(reply)
        return replies

    def close(self) -> None:
        self._connection.disconnect()  # type: ignore[no-untyped-call]


def open_link(client: redis.Redis) -> Link:
    """A fresh connection with the settings of ``client``, outside of its pool. Takes as long as connecting does."""
    with translated("connecting for live events"):
        pool = client.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        connection.connect()
        return Link(connection)


class Listener(Protocol):
    """What the owner of the channels is told, in its own thread."""

    def heard(self, channel: str, text: str) -> None: ...

    @property
    def is_behind(self) -> bool:
        """Whether it has so much to do that no more is to be read; what comes meanwhile waits in Redis."""

    def confirmed(self, channel: str) -> None:
        """From now on nothing published on this channel is missed."""

    def lost(self, error: RedisUnavailable) -> None: ...

    def restored(self) -> None:
        """After a loss, all channels are confirmed again; what was published meanwhile has been missed."""


class Channels:
    """Keeps one connection subscribed to the wanted channels. For one thread, that of the selector.

    Connecting is done by a short-lived helper thread, which hands the link over by ``post``.
    """

    def __init__(
        self,
        connect: Callable[[], Link],
        selector: selectors.BaseSelector,
        post: Callable[[Callable[[], None]], bool],
        listener: Listener,
        world: World,
    ) -> None:
        self._connect = connect
        self._selector = selector
        self._post = post
        self._listener = listener
        self._world = world
        self.epoch = 0  #: counts the links
        self._link: Link | None = None
        self._is_connecting = False
        self._lost_at: float | None = None
        self._failures = 0
        self._due = 0.0  # without a link: when to try again; with one: when silence has lasted too long
        self._is_asked_for_a_sign = False
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._changed: set[str] = set()
        self._unconfirmed: Counter[str] = Counter()

    # ---- what the owner wants -----------------------------------------------------------------

    def want(self, channel: str) -> None:
        self._wanted.add(channel)
        self._changed.add(channel)

    def forget(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._changed.add(channel)

    def is_confirmed(self, channel: str) -> bool:
        return self._link is not None and channel in self._asked and channel not in self._unconfirmed

    @property
    def is_away(self) -> bool:
        """Whether Redis could not be reached just now, so that waiting for it is in vain."""
        trying_later = self._is_connecting or self._world.monotonic() < self._due
        return self._link is None and self._failures > 0 and trying_later

    @property
    def due(self) -> float | None:
        """When ``turn`` wants to be called at the latest."""
        if self._link is None and (self._is_connecting or not self._wanted):
            return None
        return self._due

    def turn(self) -> None:
        """Do what has become necessary: connect, subscribe, ask for a sign of life."""
        if self._link is None:
            if self._wanted and not self._is_connecting and self._world.monotonic() >= self._due:
                self._is_connecting = True
                threading.Thread(target=self._open, name="minicelery-hub-connect", daemon=True).start()
            return
        self._subscribe(self._link)
        if self._world.monotonic() >= self._due:
            if self._is_asked_for_a_sign:
                self._lose(RedisUnavailable(f"Redis has been silent for {2 * SILENCE:g} s on the live events"))
                return
            self._link.ask("PING")
            self._is_asked_for_a_sign = True
            self._due = self._world.monotonic() + SILENCE
        self._write(self._link)

    def close(self) -> None:
        link, self._link = self._link, None
        if link:
            self._selector.unregister(link.sock)
            link.close()

    # ---- connecting and losing ----------------------------------------------------------------

    def _open(self) -> None:
        """In the helper thread."""
        try:
            link = self._connect()
        except RedisUnavailable as error:
            self._post(partial(self._failed, error))
        except Exception as error:
            _log.exception("Connecting for live events has failed in an unexpected way.")
            self._post(partial(self._failed, RedisUnavailable(f"Redis can't be used for live events: {error}")))
        else:
            if not self._post(partial(self._opened, link)):
                link.close()

    def _opened(self, link: Link) -> None:
        self._is_connecting = False
        self._link = link
        self.epoch += 1
        self._selector.register(link.sock, selectors.EVENT_READ, self._ready)
        self._asked.clear()
        self._unconfirmed.clear()
        self._changed = set(self._wanted)
        self._note_a_sign()
        self._subscribe(link)
        self._check_restored()

    def _failed(self, error: RedisUnavailable) -> None:
        self._is_connecting = False
        self._failures += 1
        now = self._world.monotonic()
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._due = now + longest * (0.5 + 0.5 * self._world.random())
        if self._lost_at is None:
            self._lost_at = now
            _log.warning("Live events pause until Redis is back: %s", error)
        self._listener.lost(error)

    def _lose(self, error: RedisUnavailable) -> None:
        self.close()
        if self._wanted:
            self._failed(error)
        else:  # nobody misses it
            self._due = 0.0

    def _check_restored(self) -> None:
        if self._unconfirmed:
            return
        self._failures = 0
        if self._lost_at is not None:
            gone = self._world.monotonic() - self._lost_at
            self._lost_at = None
            _log.warning("Live events are back after %.1f s; %d tasks are watched.", gone, len(self._wanted))
            self._listener.restored()

    # ---- talking ------------------------------------------------------------------------------

    def _subscribe(self, link: Link) -> None:
        """Ask for all changes since the last turn, in few commands."""
        fresh = [channel for channel in self._changed if channel in self._wanted and channel not in self._asked]
        stale = [channel for channel in self._changed if channel in self._asked and channel not in self._wanted]
        self._changed = set()
        for word, channels in (("SUBSCRIBE", fresh), ("UNSUBSCRIBE", stale)):
            for start in range(0, len(channels), _BATCH):
                link.ask(word, *channels[start : start + _BATCH])
        self._asked.update(fresh)
        self._asked.difference_update(stale)
        self._unconfirmed.update(fresh)

    def _write(self, link: Link) -> None:
        try:
            link.write()
        except OSError as error:
            self._lose(RedisUnavailable(f"The connection for live events is lost: {error}"))
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.wants_to_write else 0)
        if self._selector.get_key(link.sock).events != mask:
            self._selector.modify(link.sock, mask, self._ready)

    def _ready(self, mask: int) -> None:
        """The selector says that the link can be read or written; ``turn`` writes."""
        if self._link is None or not mask & selectors.EVENT_READ or self._listener.is_behind:
            return
        try:
            replies = self._link.read()
        except (OSError, hiredis.ProtocolError) as error:
            self._lose(RedisUnavailable(f"The connection for live events is lost: {error}"))
            return
        self._note_a_sign()
        for reply in replies:
            if self._link is not None:
                self._heed(reply)

    def _note_a_sign(self) -> None:
        self._is_asked_for_a_sign = False
        self._due = self._world.monotonic() + SILENCE

    def _heed(self, reply: Any) -> None:
        match reply:
            case ["message", channel, text]:
                self._listener.heard(channel, text)
            case ["subscribe", channel, _]:
                self._confirm(channel)
            case hiredis.ReplyError():
                self._lose(RedisUnavailable(f"Redis refuses to send live events: {reply}"))

    def _confirm(self, channel: str) -> None:
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            return
        del self._unconfirmed[channel]
        if channel in self._asked:
            self._listener.confirmed(channel)
        self._check_restored()
