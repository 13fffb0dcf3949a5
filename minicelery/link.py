"""One connection to Redis: how long making it may take, which answers end it, and how it finds the present master."""

import os
import re
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from .address import SentinelAddress, names_sentinels, parse_sentinels

#: Seconds for connecting, and again for the greeting: one lost packet is borne, which is sent again after a second.
CONNECT_TIMEOUT = 1.2
#: Seconds after which a peer that acknowledges nothing is given up. The kernel sees to it, however slow a server is.
_SILENT_PEER = 2.5
_SENTINEL_TIMEOUT = 0.5

#: Seconds for which an answer is looked for before the thread goes to sleep until it is there. A server on this machine
#: answers a submission in half of it; to sleep and to be woken takes as long again.
_BRISK = 100e-6
#: How many answers in a row must be later than that for the next ones to be slept for, and how many those are.
_LATE, _CALM = 5, 100

# redis-py cuts off the code of an answer for which it has a class.
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (AuthenticationError, "NOAUTH"),
    (BusyLoadingError, "LOADING"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (NoPermissionError, "NOPERM"),
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (TryAgainError, "TRYAGAIN"),
)
# Redis 6.2 wraps what a script's command met: "ERR Error running script (…): @user_script: 3: -OOM command not …"
_WRAPPED = re.compile(r"@user_script: ?\d+: -?([A-Z]+) ")
_IN_A_PIPELINE = "of pipeline caused error: "  # what redis-py puts before the answer
#: Answers of a server that is not, or no longer, the master: the next connection may lead to the one that is.
ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "UNBLOCKED"})


class NoMaster(redis.ConnectionError):
    """No sentinel knows a master that is up."""


def code(error: Exception) -> str:
    """The code of Redis's answer, such as READONLY, also of one that a command inside a script met; '' for none."""
    if found := _WRAPPED.search(str(error)):
        return found[1]
    for kind, name in _CODES:
        if isinstance(error, kind):
            return name
    word = str(error).rpartition(_IN_A_PIPELINE)[2].partition(" ")[0]
    return word if isinstance(error, ResponseError) and word.isalpha() and word.isupper() else ""


def _foreign(word: Any) -> Any:
    """A word as bytes, where it is a text that stands for bytes of any kind."""
    return word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word


class _Wary:
    """A connection that is greeted in time or given up, and not used again once it turns out to lead elsewhere."""

    used_at = float("-inf")  #: when it was last given back, on the monotonic clock

    def expect_soon(self) -> None:
        """Called where an answer is likely to be here in a moment, and nothing else to be done meanwhile."""

    def on_connect_check_health(self: Any, check_health: bool = True) -> None:
        self._sock.settimeout(self.socket_connect_timeout)
        super().on_connect_check_health(check_health)  # type: ignore[misc]
        self._sock.settimeout(self.socket_timeout)

    def pack_command(self: Any, *words: Any) -> Any:
        """As redis-py does it, without looking at each word first."""
        if isinstance(words[0], bytes):  # a name that is one word, not to be split
            try:
                return [hiredis.pack_command(words)]
            except UnicodeEncodeError:  # bytes that are no UTF-8, as they were read
                return [hiredis.pack_command(tuple(map(_foreign, words)))]
            except TypeError:
                pass  # what can't be sent, or only by redis-py
        return super().pack_command(*words)  # type: ignore[misc]

    def read_response(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            if code(error) in ELSEWHERE:
                self.mark_for_reconnect()
            raise


class _Plain(_Wary):
    """A connection without TLS."""

    _late = _calm = 0

    def expect_soon(self: Any) -> None:
        """Look whether the answer is here, instead of going to sleep at once. If some in a row were not within
        ``_BRISK``, as where the server is far away, most further ones are slept for."""
        if self._calm or not self._sock:
            self._calm = max(0, self._calm - 1)
            return
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        end = time.monotonic() + _BRISK
        while not poll.poll(0):
            if time.monotonic() >= end:
                self._late += 1
                self._calm = _CALM if self._late >= _LATE else 0
                return
        self._late = 0

    def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        """As redis-py does it, without asking first whether the kernel would take what it takes at once."""
        sock = self._sock
        if sock and len(command) == 1:
            [packed] = command
            try:
                sent = os.write(sock.fileno(), packed)
            except OSError:  # redis-py meets it anew, and has a name for it
                sent = 0
            if sent == len(packed):
                return
            command = [packed[sent:]]
        super().send_packed_command(command, check_health)  # type: ignore[misc]


class TcpLink(_Plain, Connection):
    """To a server by host and port."""


class TlsLink(_Wary, SSLConnection):
    """The same through TLS."""


class SocketLink(_Plain, UnixDomainSocketConnection):
    """To a server on this machine."""


class SentinelLink(TcpLink):
    """To the master that the sentinels name, asked each time it connects."""

    def __init__(self, *, find_master: Callable[[], tuple[str, int]], **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._find_master = find_master

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if not self.is_connected:
            self.host, self.port = self._find_master()
        super().connect_check_health(check_health, retry_socket_connect)


class Sentinels:
    """Asks one sentinel after the other for the master; who answered last is asked first.

    redis-py's own ``Sentinel`` may forget some of them when several threads ask at once.
    """

    def __init__(self, address: SentinelAddress) -> None:
        self._address = address
        self._order = address.sentinels

    def master(self) -> tuple[str, int]:
        """Host and port of the present master. Raises ``NoMaster`` if no sentinel knows one."""
        faults = []
        for place in self._order:
            try:
                found = self._ask(*place)
            except redis.RedisError as error:
                faults.append(f"{place[0]}:{place[1]}: {error}")
                continue
            if found:
                self._order = (place, *(other for other in self._order if other != place))
                return found
            faults.append(f"{place[0]}:{place[1]} knows none that is up")
        raise NoMaster(f"no master of '{self._address.service}' is found: {'; '.join(faults)}")

    def _ask(self, host: str, port: int) -> tuple[str, int] | None:
        with redis.Redis(
            host,
            port,
            username=self._address.sentinel_username,
            password=self._address.sentinel_password,
            protocol=2,
            socket_timeout=_SENTINEL_TIMEOUT,
            socket_connect_timeout=_SENTINEL_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        ) as sentinel:
            master = sentinel.sentinel_masters().get(self._address.service)
        if not master or not master["is_master"] or master["is_sdown"] or master["is_odown"]:
            return None
        return master["ip"], int(master["port"])


def destination(url: str) -> dict[str, Any]:
    """What a pool needs to know to make connections to a URL."""
    if names_sentinels(url):
        address = parse_sentinels(url)
        login = {"db": address.db, "username": address.username, "password": address.password}
        found: dict[str, Any] = {"connection_class": SentinelLink, "find_master": Sentinels(address).master, **login}
    else:
        found = parse_url(url)  # type: ignore[no-untyped-call]
        ours = {Connection: TcpLink, SSLConnection: TlsLink, UnixDomainSocketConnection: SocketLink}
        found["connection_class"] = ours[found.get("connection_class", Connection)]
    if found["connection_class"] is not SocketLink:
        found |= {"socket_keepalive": True, "socket_keepalive_options": _tcp_options()}
    return found


def _tcp_options() -> dict[int, int]:
    """How the kernel finds out that a peer is gone: by probes when nothing is sent, and by what is not acknowledged."""
    wanted = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": int(_SILENT_PEER * 1000)}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
