"""Clients of Redis: what they do when the link fails."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import redis

from minicelery.config import Config
from minicelery.connection import connect, server_info, translated
from minicelery.embedded import HOST, EmbeddedServer, free_port
from minicelery.errors import RedisUnavailable, RedisUnreachable
from minicelery.link import NoMaster


def test_a_command_without_an_answer_is_not_repeated_by_the_client_itself() -> None:
    asked: list[bytes] = []

    def hang_up(server: socket.socket) -> None:
        """Answer the greeting of each connection, and cut it at the first command."""
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                while (data := link.recv(65536)) and b"INCR" not in data:
                    link.sendall(b"+OK\r\n" * data.count(b"CLIENT\r\n"))
                if data:
                    asked.append(data)

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        clients = connect(Config(redis_url=f"redis://{HOST}:{server.getsockname()[1]}"))
        for client in (clients.commands, clients.blocking):
            with pytest.raises(redis.ConnectionError):
                client.incr("counter")
        clients.close()
        server.shutdown(socket.SHUT_RDWR)
    thread.join()

    assert len(asked) == 2


def _ask(url: str) -> RedisUnavailable:
    """What asking the server at a URL raises."""
    clients = connect(Config(redis_url=url))
    try:
        with pytest.raises(RedisUnavailable) as caught, translated("asking"):
            clients.commands.ping()
        return caught.value
    finally:
        clients.close()


@contextmanager
def _web_server() -> Iterator[int]:
    """A port that answers whatever comes in the way of HTTP."""
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            link, _ = server.accept()
            with link:
                link.recv(65536)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_database_that_is_not_there_is_said_so_with_the_cure(server: EmbeddedServer) -> None:
    assert "no such database while asking: DB index is out of range. How many" in str(
        _ask(server.url.removesuffix("/0") + "/99")
    )


def test_a_port_that_is_no_redis_is_said_so_with_the_cure() -> None:
    with _web_server() as port:
        assert "no Redis while asking" in str(_ask(f"redis://{HOST}:{port}"))


def test_where_nothing_listens_redis_is_unreachable() -> None:
    assert isinstance(_ask(f"redis://{HOST}:{free_port()}"), RedisUnreachable)


@pytest.mark.parametrize(
    "error",
    [
        NoMaster("no master of 'shop' is found"),
        redis.AuthenticationError("invalid username-password pair"),
        redis.exceptions.BusyLoadingError("loading"),
        redis.exceptions.ReadOnlyError("a replica"),
    ],
)
def test_who_answers_is_not_unreachable(error: redis.RedisError) -> None:
    with pytest.raises(RedisUnavailable) as caught, translated("asking"):
        raise error

    assert not isinstance(caught.value, RedisUnreachable)


@pytest.mark.parametrize(
    "error",
    [
        redis.ResponseError("unknown command 'INFO', with args beginning with: "),
        redis.exceptions.NoPermissionError("this user has no permissions to run the 'info' command"),
    ],
)
def test_a_server_that_tells_nothing_of_itself_has_an_unknown_version(error: redis.RedisError) -> None:
    def info() -> None:
        raise error

    assert server_info(SimpleNamespace(info=info)) == {"name": "Redis", "version": "?"}


def test_a_wrong_database_is_no_unknown_version(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url.removesuffix("/0") + "/99"))

    with pytest.raises(RedisUnavailable, match="no such database"):
        server_info(clients.commands)
    clients.close()
