"""Connections to Redis: how they are made, and what its errors mean to us."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from .config import Config
from .errors import RedisFull, RedisUnavailable

#: A client, or its Pub/Sub. Of its own types redis-py says "bytes or str" for every reply, which helps nobody.
Client = Any

#: Worth trying again: the server is away, starting, or handing over. Scripts may be repeated, see ``scripts``.
PASSING = (
    redis.ConnectionError,
    redis.TimeoutError,
    BusyLoadingError,
    MasterDownError,
    ReadOnlyError,
    TryAgainError,
)
_REFUSALS = ("MISCONF", "NOREPLICAS", "NOAUTH", "BUSY", "UNKILLABLE")
_FORBIDDEN = "The user executing the script can't run this command"
# Redis 6.2 wraps what a script's command met: "ERR Error running script (…): @user_script: 3: -OOM command not …"
_WRAPPED = re.compile(r"@user_script: ?\d+: -([A-Z]+) ")

#: Seconds an idle thread waits at the doorbells before it looks again by itself.
BLOCK = 3.0
_MARGIN = 5.0
_UNBOUNDED = 2**31


@dataclass(frozen=True)
class Clients:
    """``commands`` answers soon or fails; ``blocking`` may wait for ``BLOCK`` seconds, and never repeats by itself."""

    commands: Client
    blocking: Client

    def close(self) -> None:
        for client in (self.commands, self.blocking):
            client.close()
            client.connection_pool.disconnect()


def connect(config: Config) -> Clients:
    """The clients for a configuration. Nothing is sent until the first command."""
    return Clients(
        commands=_client(config, config.redis_timeout, redis.BlockingConnectionPool, config.pool_size, timeout=30),
        # Whoever blocks has a connection of its own: waiting for one would not end when the caller wants it to.
        blocking=_client(config, BLOCK + _MARGIN, redis.ConnectionPool, _UNBOUNDED),
    )


def _client(config: Config, socket_timeout: float, kind: Any, size: int, **more: Any) -> Client:
    pool = kind.from_url(
        config.redis_url,
        max_connections=size,
        protocol=2,  # RESP3 replies have other shapes on other servers
        decode_responses=True,
        encoding_errors="surrogateescape",  # foreign bytes pass through instead of ending a thread
        socket_timeout=socket_timeout,
        socket_connect_timeout=min(2.0, config.redis_timeout),
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),  # redis-py's own retries repeat commands that are not repeatable
        health_check_interval=0,
        client_name="minicelery",
        **more,
    )
    return redis.Redis(connection_pool=pool)


def wrapped(error: ResponseError) -> str:
    """The code of the error that a command inside a script met, as Redis 6.2 tells it; '' for any other."""
    found = _WRAPPED.search(str(error))
    return found[1] if found else ""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Redis's errors as ours. ``doing`` completes the sentence "Redis failed while …"."""
    try:
        yield
    except OutOfMemoryError as error:
        raise RedisFull(f"Redis has no memory left while {doing}: {error}") from error
    except (AuthenticationError, NoPermissionError, *PASSING) as error:
        raise RedisUnavailable(f"Redis can't be used while {doing}: {error}") from error
    except ResponseError as error:
        if wrapped(error) == "OOM":
            raise RedisFull(f"Redis has no memory left while {doing}: {error}") from error
        if str(error).startswith(_REFUSALS) or wrapped(error) or _FORBIDDEN in str(error):
            raise RedisUnavailable(f"Redis refuses while {doing}: {error}") from error
        raise


def server_info(client: Any) -> dict[str, Any]:
    """Name, version and settings of the server, as far as it tells."""
    with translated("asking for its version"):
        info = client.info()
    name = info.get("server_name", "redis")
    return {"name": name.capitalize(), "version": info.get(f"{name}_version", info.get("redis_version", "?")), **info}
