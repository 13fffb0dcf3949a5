"""A Redis in the memory of a test, on fakeredis: it lives by a virtual clock, and loses connections on demand."""

import heapq
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import redis
from fakeredis import FakeRedis, FakeRedisConnection, FakeServer
from fakeredis._core._database import Database
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.model import ZSet

from .clock import VirtualClock
from .connection import Client, Clients
from .errors import SimulationError

_CALL = re.compile(rb"\$7\r\nEVALSHA\r\n\$40\r\n([0-9a-f]{40})\r\n")

Way = Literal["request", "reply"]


@cache
def prove(needs: str) -> None:
    """Raise ``SimulationError`` if this version of fakeredis is other than we think. ``needs`` tells the cure of what
    stands in its braces."""
    clock = VirtualClock(1_000_000)
    try:
        client = Memory(clock).connect().commands
        client.set("key", "value", px=1000)
        clock.sleep(1)
        told = client.eval("return {redis.call('TIME')[1], redis.call('EXISTS', 'key')}", 0)
    except (redis.RedisError, AttributeError, TypeError) as error:
        raise SimulationError(needs.format(error)) from error
    if told != ["1000001", 0]:
        raise SimulationError(needs.format("it does not keep to the time that it is told"))


@dataclass
class Loss:
    """Calls of scripts that are to be lost: what of them, how many in a row, and of which script; '' for any."""

    way: Way
    times: int
    sha: str = ""


class Memory(FakeServer):
    """The server. ``owed`` are the seconds that the command before this took to wait for something."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.dbs = defaultdict(lambda: _Keyspace(self))
        self.losses: list[Loss] = []
        self.owed = 0.0
        self.lua: _Lua | None = None
        self.in_view: tuple[bytes, ...] = ()
        self.made: set[bytes] = set()

    def connect(self) -> "MemoryClients":
        commands, blocking = (self._client() for _ in range(2))
        return MemoryClients(commands, blocking)

    def _client(self) -> Client:
        return FakeRedis(
            server=self,
            connection_class=_Link,
            decode_responses=True,
            encoding_errors="surrogateescape",
            protocol=2,
        )

    def keep_in_view(self, *starts: str) -> None:
        """Remember from now on which keys are made that begin so: to look for them among all the others would take
        longer than all else that is done at a moment."""
        self.in_view = tuple(start.encode() for start in starts)

    def seen(self) -> list[str]:
        """Those of them that are there, sorted."""
        found = sorted(key for key in self.made if key in self.dbs[0])
        return [key.decode(errors="surrogateescape") for key in found]

    @property
    def size(self) -> int:
        """How many keys there are, which is at least as many as tasks."""
        return len(self.dbs[0])

    def first_score(self, key: str) -> float | None:
        """Of a sorted set; None where there is none."""
        item = self.dbs[0].get(key.encode())
        entries = item.value.islice_score(0, 1) if item and isinstance(item.value, ZSet) else ()
        return next((float(score) for score, _ in entries), None)

    def lose(self, way: Way, times: int, sha: str) -> None:
        self.losses.append(Loss(way, times, sha))

    @property
    def to_lose(self) -> int:
        """How many calls are to be lost yet."""
        return sum(loss.times for loss in self.losses)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Inside, it can't be reached."""
        before, self.connected = self.connected, False
        try:
            yield
        finally:
            self.connected = before

    def loss_of(self, packed: bytes) -> Way | None:
        """What is to be lost of the commands in one write."""
        shas = [found.decode() for found in _CALL.findall(packed)]
        for loss in self.losses if shas else ():
            if not loss.sha or loss.sha in shas:
                loss.times -= 1
                if loss.times == 0:
                    self.losses.remove(loss)
                return loss.way
        return None

    def pay(self) -> None:
        """Let the time pass that a command has waited in vain."""
        owed, self.owed = self.owed, 0.0
        self.clock.sleep(owed)


@dataclass(frozen=True)
class MemoryClients(Clients):
    """Clients of a memory."""

    def close(self) -> None:
        """Refused: who closes them is about to go to another Redis."""
        raise SimulationError("an app can't be configured while it is simulated; do so before simulated(app)")

    def end(self) -> None:
        super().close()


class _Keyspace(Database):
    """A database whose keys live by the clock of its server."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.lock)
        self._memory = memory

    @property
    def time(self) -> float:
        return self._memory.clock.now()

    @time.setter
    def time(self, _: float) -> None:
        """The time of this machine, with which each command begins, is not ours."""

    def __setitem__(self, key: bytes, value: Any) -> None:
        super().__setitem__(key, value)
        if key.startswith(self._memory.in_view):
            self._memory.made.add(key)

    def expired(self, item: Any) -> bool:
        return self._is_over(item.expireat)

    def _is_over(self, expireat: float | None) -> bool:
        return expireat is not None and expireat < self.time + 0.0005

    def _remove_expired(self) -> None:
        heap = self._expiry_heap
        while heap and self._is_over(heap[0][0]):
            _, key = heapq.heappop(heap)
            item = self._dict.get(key)
            if item is not None and self.expired(item):
                del self._dict[key]


class _Lua:
    """The Lua of a server, which compiles each script once: that takes longer than a run of it."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[str | bytes, Callable[[], Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, source: str | bytes) -> Any:
        chunk = self._compiled.get(source)
        if chunk is None:
            chunk = self._compiled[source] = self._runtime.compile(source)
        return chunk()


class _Socket(FakeSocket):
    """The server's side of a connection."""

    _server: Memory

    def _get_server_runtime(self, server: FakeServer) -> Any:
        if self._server.lua is None:
            self._server.lua = _Lua(super()._get_server_runtime(server))
        return self._server.lua

    def time(self) -> list[bytes]:
        return [b"%d" % part for part in self._server.clock.microseconds()]

    def _blocking(
        self,
        timeout: float | None,
        func: Callable[[bool], Any],
        shape: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Nobody else is there who could bring what is waited for: its time passes, see ``_Link``."""
        answer = func(True)
        if answer is None and not timeout:
            raise SimpleError("ERR nothing ends a wait without a timeout in a simulation")
        if answer is None:
            self._server.owed = float(timeout or 0)
        return answer if shape is None else shape(answer)


class _Link(FakeRedisConnection):
    """The client's side."""

    _server: Memory
    _is_cut = False

    def _connect(self) -> FakeSocket:
        if not self._server.connected:
            raise redis.ConnectionError("The simulation has this Redis down.")
        return _Socket(self._server, client_class=redis.Redis, db=self.db, client_info=self._client_info)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        way = self._server.loss_of(b"".join(command)) if self._server.losses else None
        if way == "request":
            raise self._cut()
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]
        self._is_cut = self._is_cut or way == "reply"

    def read_response(self, **options: Any) -> Any:  # type: ignore[override]
        if self._is_cut:
            raise self._cut()
        answer = super().read_response(**options)
        self._server.pay()
        return answer

    def _cut(self) -> Exception:
        self._is_cut = False
        self.disconnect()  # type: ignore[no-untyped-call]
        return redis.ConnectionError("The simulation has cut this connection.")
