"""Connections to Redis: how they are made, and what its errors mean to us."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from queue import Empty, Full
from types import TracebackType
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from .config import Config
from .errors import ForeignData, RedisFull, RedisUnavailable, RedisUnreachable
from .link import CONNECT_TIMEOUT, ELSEWHERE, NoMaster, code, destination

#: A client, or its Pub/Sub. Of its own types redis-py says "bytes or str" for every reply, which helps nobody.
Client = Any

# The server is starting or handing over, or an operator has to act and then all goes on by itself.
_PASSING = ELSEWHERE | {"LOADING", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS", "MISCONF", "BUSY", "UNKILLABLE"}
_REFUSALS = frozenset({"MISCONF", "NOREPLICAS", "NOAUTH", "NOPERM", "BUSY", "UNKILLABLE", "DENIED"})
_NO_DATABASE = ("DB index", "invalid DB index", "SELECT is not allowed")
_FORBIDDEN = "The user executing the script can't run this command"

#: Seconds an idle thread waits at the doorbells before it looks again by itself.
BLOCK = 3.0
#: Seconds by which an answer may be late. If that was too strict, the thread looks for work and waits anew.
_MARGIN = 2.0
#: Seconds after which an idle thread has its answer, or has given up the connection, unless it stood still itself.
LONGEST_WAIT = BLOCK + _MARGIN
_UNBOUNDED = 2**31
#: Seconds after its last use during which a connection counts as open for who will notice and can bear that it is not.
_FRESH = 0.1


@dataclass(frozen=True)
class Clients:
    """``commands`` answers soon or fails; ``blocking`` may wait for ``BLOCK`` seconds, and never repeats by itself.

    ``listening`` is one that can ask while it listens to a channel, or None.
    """

    commands: Client
    blocking: Client
    listening: Client = None

    def close(self) -> None:
        for client in filter(None, (self.commands, self.blocking, self.listening)):
            client.close()
            client.connection_pool.disconnect()


def connect(config: Config) -> Clients:
    """The clients for a configuration. Nothing is sent until the first command."""
    return Clients(
        commands=_client(config, config.redis_timeout, Pool, config.pool_size, timeout=30),
        # Whoever blocks has a connection of its own: waiting for one would not end when the caller wants it to.
        blocking=_client(config, LONGEST_WAIT, redis.ConnectionPool, _UNBOUNDED),
        listening=_client(config, LONGEST_WAIT, redis.ConnectionPool, _UNBOUNDED, protocol=3),
    )


def _client(config: Config, socket_timeout: float, kind: Any, size: int, **more: Any) -> Client:
    more = {"protocol": 2, **more}  # RESP3 replies have other shapes on other servers
    if more["protocol"] == 3:  # one more trip for each connection, which few servers have an answer to
        more["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    pool = kind(
        max_connections=size,
        decode_responses=True,
        encoding_errors="surrogateescape",  # foreign bytes pass through instead of ending a thread
        socket_timeout=socket_timeout,
        socket_connect_timeout=min(CONNECT_TIMEOUT, config.redis_timeout),
        retry=Retry(NoBackoff(), 0),  # redis-py's own retries repeat commands that are not repeatable
        health_check_interval=0,
        client_name="minicelery",
        **destination(config.redis_url),
        **more,
    )
    return redis.Redis(connection_pool=pool)


class Pool(redis.BlockingConnectionPool):
    """redis-py's pool without the telemetry and the maintenance notices at every loan, which nobody here uses."""

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """A connection that is open and has nothing unread. ``redis.ConnectionError`` if none is free in time."""
        return self._lend(_open)

    def reuse(self) -> Any:
        """A connection for who will repeat what fails: one that was in use just now comes as it is, since the question
        whether the server has closed it meanwhile takes as long as a tenth of a call."""
        return self._lend(_open_unless_fresh)

    def is_in_demand(self) -> bool:
        """Whether more than one connection is lent: other threads have use for the processor meanwhile."""
        return self.max_connections - len(self.pool.queue) > 1

    def _lend(self, prepare: Callable[[Any], object]) -> Any:
        self._checkpid()
        try:
            connection = self.pool.get(timeout=self.timeout)
        except Empty:
            raise redis.ConnectionError("No connection available.") from None
        try:
            connection = connection or self.make_connection()  # type: ignore[no-untyped-call]
            prepare(connection)
        except BaseException:
            self._take_back(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back; one that is not to be used again is closed, one from before a fork forgotten."""
        self._checkpid()
        connection.used_at = time.monotonic()
        if connection.pid != self.pid:
            connection.disconnect()
            connection = None
        elif connection.should_reconnect():
            connection.disconnect()
        self._take_back(connection)

    def _take_back(self, connection: Any) -> None:
        with suppress(Full):  # of a pool that was reset meanwhile
            self.pool.put_nowait(connection)


def _open_unless_fresh(connection: Any) -> None:
    if not (connection.is_connected and time.monotonic() - connection.used_at < _FRESH):
        _open(connection)


def _open(connection: Any) -> None:
    """Make sure of a connection that has lain idle: the server may have closed it."""
    if connection.is_connected:
        try:
            if not connection.can_read():
                return
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            pass
        connection.disconnect()
    connection.connect()


def exchange(
    client: Client,
    commands: Iterable[Sequence[Any]],
    *,
    will_repeat: bool = False,
    apart: bool = False,
    brisk: bool = False,
) -> list[Any]:
    """The answers to commands, all sent before the first is read; where Redis refuses one, its error stands for the
    answer. They go out in one write or, ``apart``, each in one before the next command is made.

    Does what a pipeline of redis-py's does, for a fraction of the work. Nothing is ever sent twice. Who ``will_repeat``
    what fails may meet a connection that the server has just closed; where the answers are ``brisk``, a thread that is
    alone here stays awake for them.
    """
    if not commands:
        return []
    pool = client.connection_pool
    connection = pool.reuse() if will_repeat and isinstance(pool, Pool) else pool.get_connection()
    sent = 0
    try:
        if apart:
            for command in commands:
                connection.send_packed_command(connection.pack_command(*command))
                sent += 1
        else:
            packed = [connection.pack_command(*command) for command in commands]
            connection.send_packed_command([b"".join(chain.from_iterable(packed))])
            sent = len(packed)
        if brisk and isinstance(pool, Pool) and not pool.is_in_demand():
            connection.expect_soon()
        return [_answer(connection) for _ in range(sent)]
    except BaseException:
        connection.disconnect()  # what is still on its way is no answer to the next question
        raise
    finally:
        pool.release(connection)


def stream(client: Client, commands: Iterable[Sequence[Any]], ahead: int) -> Generator[Any, None, None]:
    """The answers to commands one by one, of which up to ``ahead`` are sent before the answer to the one in front of
    them is read: so Redis works on one while the next is written. Raises the first error that is an answer.

    Meant for small answers: those that wait to be read lie in Redis's memory.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        open_answers = 0
        for command in commands:
            connection.send_packed_command(connection.pack_command(*command))
            open_answers += 1
            if open_answers > ahead:
                yield connection.read_response()
                open_answers -= 1
        for _ in range(open_answers):
            yield connection.read_response()
    except BaseException:
        connection.disconnect()  # nobody else wants the answers that are still on their way
        raise
    finally:
        pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def is_passing(error: redis.RedisError) -> bool:
    """Whether the same call may work in a while: the server is away, starting, or handing over."""
    return isinstance(error, (redis.ConnectionError, redis.TimeoutError)) or code(error) in _PASSING


def is_silent(error: redis.RedisError) -> bool:
    """Whether other connections may lead to the same place, from which no good answer will come."""
    return isinstance(error, redis.TimeoutError) or code(error) in ELSEWHERE


def is_forbidden(error: redis.RedisError) -> bool:
    """Whether the server knows no such command, as where it was renamed, or does not let us use it."""
    return code(error) == "NOPERM" or str(error).startswith("unknown command")


class translated:
    """Redis's errors as ours. ``doing`` completes the sentence "Redis failed while …"."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, redis.RedisError) and (ours := _ours(error, self._doing)):
            raise ours from error


def _ours(error: redis.RedisError, doing: str) -> RedisUnavailable | None:
    """What an error means to us, in a sentence that tells the cure; None for a fault of our own."""
    found = code(error)
    if found == "OOM":
        return RedisFull(f"Redis has no memory left while {doing}: {error}")
    if found == "WRONGTYPE":
        return ForeignData(f"A key of ours holds something else while {doing}; see minicelery doctor: {error}")
    if str(error).startswith(_NO_DATABASE):
        return RedisUnavailable(
            f"Redis has no such database while {doing}: {error}. How many there are is the setting 'databases' of the "
            "server; the number is the last part of the URL, or REDIS_DB"
        )
    if isinstance(error, redis.InvalidResponse):
        return RedisUnavailable(
            f"What answers is no Redis while {doing}: {error}. Check host and port in MINICELERY_REDIS_URL; a Redis "
            "with TLS is named by rediss://"
        )
    if found in _REFUSALS or _FORBIDDEN in str(error):
        return RedisUnavailable(f"Redis refuses while {doing}: {error}")
    if is_passing(error):
        is_there = found or isinstance(error, NoMaster)
        return (RedisUnavailable if is_there else RedisUnreachable)(f"Redis can't be used while {doing}: {error}")
    return None


def server_info(client: Any) -> dict[str, Any]:
    """Name, version and settings of the server, as far as it tells."""
    with translated("asking for its version"):
        try:
            info = client.info()
        except redis.ResponseError as error:
            if not is_forbidden(error):
                raise
            info = {}
    name = info.get("server_name", "redis")
    return {"name": name.capitalize(), "version": info.get(f"{name}_version", info.get("redis_version", "?")), **info}
