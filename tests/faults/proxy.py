"""A TCP proxy in front of Redis that delays, loses, cuts and refuses, as a test tells it while it runs."""

import random
import socket
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from minicelery.embedded import HOST

from .relay import Relay
from .wire import Link, Pipe

_CONNECT_PATIENCE = 1.0
_HEAD = 24  #: bytes that have the name of a request


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong on the way, from now on. Probabilities are for each reply."""

    delay: float = 0.0  #: seconds, each way
    jitter: float = 0.0  #: up to as many seconds more, by chance
    slice: int = 0  #: pieces of that many bytes
    drop_replies: float = 0.0  #: how probably the whole reply to a request is lost
    silent: bool = False  #: the client of a lost reply waits for ever; else its connection is reset
    only: bytes = b""  #: replies are lost only of requests that contain this, such as b"EVAL"
    black_hole: bool = False  #: connections are accepted and nothing passes, until healed
    one_way: bool = False  #: requests pass, replies wait until healed
    answer: bytes | None = None  #: every request is answered with this, and does not reach the server


@dataclass
class Counts:
    """What the proxy has done so far."""

    connections: int = 0
    requests: int = 0
    replies_lost: int = 0
    scripts_lost: int = 0  #: of the replies lost, those of EVAL and EVALSHA
    cuts: int = 0


class FaultProxy:
    """In front of the server at ``port``. Use it with ``with``; every method may be called from any thread, and what
    it asks for is so when it returns. Connections to a server that is away are reset."""

    def __init__(self, port: int, seed: int = 0) -> None:
        self.counts = Counts()
        self.faults = Faults()
        self._target = port
        self._random = random.Random(seed)
        self._listener = socket.create_server((HOST, 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._relay = Relay(self._accept, self._upstream, self._downstream)
        self._losses: list[bytes] = []
        self._cut_after: int | None = None
        self._relay.listen(self._listener)

    @property
    def url(self) -> str:
        """The address of the server by way of this proxy."""
        return f"redis://{HOST}:{self.port}/0"

    def __enter__(self) -> Self:
        self._relay.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._relay.close()
        self._listener.close()

    # ---- what a test asks for -------------------------------------------------------------------

    def set(self, **changes: Any) -> None:
        """Change some of the ``Faults``; the others stay."""
        self._relay.call(lambda: self._have(replace(self.faults, **changes)))

    def heal(self) -> None:
        """Let everything pass again, new connections included. Links that lost a reply in silence stay so."""

        def heal() -> None:
            self._losses.clear()
            self._cut_after = None
            self._have(Faults())
            self._listener.listen(1024)
            self._relay.listen(self._listener)

        self._relay.call(heal)

    def answer_with(self, reply: bytes) -> None:
        """Answer each request with a reply of RESP, such as ``b"-LOADING Redis is loading\\r\\n"``."""
        self.set(answer=reply)

    def lose_next(self, count: int = 1, only: bytes = b"") -> None:
        """Lose the replies of the next ``count`` requests that contain ``only``."""
        self._relay.call(lambda: self._losses.extend([only] * count))

    @property
    def losses_ahead(self) -> int:
        """Of what ``lose_next`` was asked for, how many requests have not come yet."""
        return len(self._losses)

    def cut_after(self, size: int) -> None:
        """End the connection of the next reply after its first ``size`` bytes."""
        self._relay.call(lambda: setattr(self, "_cut_after", size))

    def cut_all(self) -> None:
        """Reset all connections of this moment."""
        self._relay.call(self._cut_all)

    def refuse(self) -> None:
        """Refuse new connections, until healed. The port stays ours."""

        def refuse() -> None:
            self._relay.forget(self._listener)
            self._listener.close()
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((HOST, self.port))  # bound, but nobody listens
            self._listener.setblocking(False)

        self._relay.call(refuse)

    def retarget(self, port: int) -> None:
        """Lead to another server from now on, as after a failover: the connections of this moment are reset."""

        def retarget() -> None:
            self._target = port
            self._cut_all()

        self._relay.call(retarget)

    # ---- in the loop's thread -------------------------------------------------------------------

    def _have(self, faults: Faults) -> None:
        self.faults = faults
        self._relay.hold(up=faults.black_hole, down=faults.black_hole or faults.one_way)

    def _cut_all(self) -> None:
        for link in self._relay.links():
            self._cut(link)

    def _cut(self, link: Link) -> None:
        self.counts.cuts += 1
        self._relay.drop(link, reset=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it was refused, or gone, between the moment in which it knocked and this one
            return
        self.counts.connections += 1
        try:
            server = socket.create_connection((HOST, self._target), _CONNECT_PATIENCE)
        except OSError:
            Link(client, client).close(reset=True)
            return
        self._relay.add(Link(client, server))

    def _upstream(self, link: Link, data: bytes) -> None:
        """Bytes of a client."""
        for request in link.requests.feed(data):
            self.counts.requests += 1
            if self.faults.answer is not None:
                self._pass(link.down, self.faults.answer)
                continue
            if not link.is_deaf and self._is_to_be_lost(request):
                link.losing = request
            self._pass(link.up, request)

    def _is_to_be_lost(self, request: bytes) -> bool:
        if self._losses and self._losses[0] in request:
            del self._losses[0]
            return True
        chance = self.faults.drop_replies
        return chance > 0 and self.faults.only in request and self._random.random() < chance

    def _downstream(self, link: Link, data: bytes) -> None:
        """Bytes of the server."""
        if link.losing:
            self.counts.replies_lost += 1
            self.counts.scripts_lost += b"EVAL" in link.losing[:_HEAD]
            link.losing = b""
            if not self.faults.silent:
                self._cut(link)
                return
            link.is_deaf = True
        if link.is_deaf or link.down.is_ending:
            return
        if self._cut_after is not None:
            size, self._cut_after = self._cut_after, None
            self.counts.cuts += 1
            self._pass(link.down, data[:size])
            link.down.is_ending = True
            return
        self._pass(link.down, data)

    def _pass(self, pipe: Pipe, data: bytes) -> None:
        faults = self.faults
        due = time.monotonic() + faults.delay + faults.jitter * self._random.random()
        pipe.put(data, due, faults.slice)
