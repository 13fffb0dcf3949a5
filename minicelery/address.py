"""The address of Redis: what a URL may say, of a server or of the sentinels that know it, and what is wrong with it."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Connection, RedisError
from redis.connection import parse_url

SENTINEL_PORT = 26_379
_SENTINEL = "redis+sentinel://"
# Timeouts, sizes and the like are ours to set.
_OPTIONS = ("db", "username", "password")
_SENTINEL_OPTIONS = (*_OPTIONS, "sentinel_username", "sentinel_password")
_ESCAPES = "in a password write %2F for /, %3F for ?, %23 for # and %40 for @"
_BAD_HOST = "its host or port is wrong: give a number as port, an IPv6 address in []"
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class SentinelAddress:
    """Which sentinels to ask for the master of which service, and how to log in at either."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None


def names_sentinels(url: str) -> bool:
    """Whether a URL names sentinels, and not the server itself."""
    return url.startswith(_SENTINEL)


def check_url(url: str) -> None:
    """Raise ``ValueError`` for what redis-py would refuse, ignore or take for something else when it connects.

    The reason tells the cure, and no password.
    """
    if names_sentinels(url):
        parse_sentinels(url)
        return
    if not re.fullmatch(r"(rediss?|unix)://\S+", url):
        raise ValueError("use redis://host:port/db, rediss://, unix://path or redis+sentinel://host:port/service/db")
    is_socket = url.startswith("unix:")
    if not is_socket and "@" in re.sub(r"^\w+://[^/?#]*", "", url):
        raise ValueError(_ESCAPES)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(_BAD_HOST) from error
    if is_socket and not parts.path:
        raise ValueError("it names no socket; use unix:///path")
    if not is_socket and not re.fullmatch(r"/?[0-9]*/?", parts.path):
        raise ValueError("what follows its host is no database; give a number, as in redis://host:port/0")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ValueError(f"nothing reads its option '{name}'; give {', '.join(_OPTIONS)} or ssl_*")
    try:
        options = parse_url(url)  # type: ignore[no-untyped-call]
        options.pop("connection_class", Connection)(**options)
    except (TypeError, ValueError, RedisError) as error:
        raise ValueError(f"its options are wrong: {error}") from error


def parse_sentinels(url: str) -> SentinelAddress:
    """``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]``. A ``ValueError`` tells the cure."""
    rest = url.removeprefix(_SENTINEL)
    if "@" in re.sub(r"^[^/?#]*", "", rest) or "#" in rest:
        raise ValueError(_ESCAPES)
    before, _, query = rest.partition("?")
    place, _, path = before.partition("/")
    login, _, hosts = place.rpartition("@")
    service, _, db = path.rstrip("/").partition("/")
    if not service or re.search(r"\s", url):
        raise ValueError("it names no service; use redis+sentinel://host:port,host:port/service/db")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _SENTINEL_OPTIONS:
            raise ValueError(f"nothing reads its option '{name}'; give {', '.join(_SENTINEL_OPTIONS)}")
    number = options.pop("db", db or "0")
    if not re.fullmatch(r"[0-9]+", number):
        raise ValueError("what follows its service is no database; give a number, as in /service/0")
    username, _, password = login.partition(":")
    given = {"username": unquote(username), "password": unquote(password)} | options
    return SentinelAddress(
        sentinels=tuple(map(_host, hosts.split(","))),
        service=unquote(service),
        db=int(number),
        **{name: value for name, value in given.items() if value},
    )


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found[3] or SENTINEL_PORT) if found else 0
    if not found or not 1 <= port <= 65_535:
        raise ValueError(f"{_BAD_HOST}, and a comma between two sentinels")
    return found[1] or found[2], port
