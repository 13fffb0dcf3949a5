"""Clients of Redis: what they do when the link fails."""

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import redis

from minicelery.config import Config
from minicelery.connection import Clients, connect, exchange, server_info, stream, translated
from minicelery.embedded import HOST, EmbeddedServer, free_port
from minicelery.errors import RedisUnavailable, RedisUnreachable
from minicelery.link import _CALM, _LATE, NoMaster, TcpLink
from tests.conftest import make_app
from tests.stack import wait_until


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


def test_commands_go_in_one_write_and_an_error_stands_for_the_answer(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url))

    answers = exchange(clients.commands, [("SET", "k", "v"), ("LPUSH", "k", "x"), ("GETDEL", "k")])

    assert answers[::2] == ["OK", "v"]
    assert isinstance(answers[1], redis.ResponseError)
    clients.close()


def test_who_is_interrupted_leaves_no_answer_for_the_next(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=1))
    exchange(clients.commands, [("PING",)])
    with monkeypatch.context() as patch:
        patch.setattr(TcpLink, "read_response", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            exchange(clients.commands, [("BLPOP", "nothing", "0.5")])

    assert exchange(clients.commands, [("PING",)]) == ["PONG"]
    clients.close()


def test_who_leaves_a_stream_of_answers_leaves_none_for_the_next(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=1))

    answers = stream(clients.commands, [("ECHO", "first"), ("BLPOP", "nothing", "0.5")], 1)
    assert next(answers) == "first"
    answers.close()

    assert exchange(clients.commands, [("PING",)]) == ["PONG"]
    clients.close()


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_command_is_on_its_way_before_the_next_is_made(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=1))

    def commands() -> Iterator[tuple[str, ...]]:
        yield ("SET", "sent", "first")
        with redis.Redis.from_url(server.url, decode_responses=True) as other:
            wait_until(lambda: other.get("sent"), what="the first command")
            other.set("sent", "between")
        yield ("GETDEL", "sent")

    assert exchange(clients.commands, commands(), apart=True) == ["OK", "between"]
    clients.close()


def test_a_command_that_can_not_be_made_leaves_no_answer_for_the_next(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=1))

    def commands() -> Iterator[tuple[str, ...]]:
        yield ("ECHO", "unheard")
        raise KeyError("the second")

    with pytest.raises(KeyError, match="the second"):
        exchange(clients.commands, commands(), apart=True)

    assert exchange(clients.commands, [("PING",)], will_repeat=True) == ["PONG"]
    clients.close()


def _kill(server: EmbeddedServer, clients: Clients) -> None:
    """Let the server close the only connection that the clients have."""
    [number] = exchange(clients.commands, [("CLIENT", "ID")])
    with redis.Redis.from_url(server.url) as other:
        other.client_kill_filter(_id=number)


@pytest.mark.parametrize(("ask", "fresh"), [(exchange, 60.0), (partial(exchange, will_repeat=True), 0.0)])
def test_a_connection_that_the_server_has_closed_is_opened_anew_before_it_is_lent(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., list[str]], fresh: float
) -> None:
    monkeypatch.setattr("minicelery.connection._FRESH", fresh)
    clients = connect(Config(redis_url=server.url, pool_size=1))
    _kill(server, clients)

    assert ask(clients.commands, [("PING",)]) == ["PONG"]
    clients.close()


def test_who_will_repeat_it_gets_a_connection_that_was_in_use_just_now_without_a_question(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(TcpLink, "can_read", lambda *_: asked.append(None))
    monkeypatch.setattr("minicelery.connection._FRESH", 60.0)
    clients = connect(Config(redis_url=server.url, pool_size=1))

    for _ in range(3):
        exchange(clients.commands, [("PING",)], will_repeat=True)
    assert len(asked) == 0

    exchange(clients.commands, [("PING",)])
    assert len(asked) == 1
    monkeypatch.setattr("minicelery.connection._FRESH", 0.0)
    exchange(clients.commands, [("PING",)], will_repeat=True)
    assert len(asked) == 2
    clients.close()


def test_a_script_goes_through_though_its_connection_was_closed_just_now(
    server: EmbeddedServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minicelery.connection._FRESH", 60.0)
    app = make_app(connect(Config(redis_url=server.url, pool_size=1)), namespace)
    _kill(server, app.clients)

    assert app.broker.promote() == (0, None)
    app.clients.close()


def test_more_than_the_kernel_takes_at_once_is_sent_whole(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=1))
    much = "".join(map(str, range(2_000_000)))

    assert exchange(clients.commands, [("ECHO", much)]) == [much]
    clients.close()


def test_what_can_not_be_sent_is_an_error_of_the_connection(server: EmbeddedServer) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=1))
    connection = clients.commands.connection_pool.get_connection()
    connection._sock.shutdown(socket.SHUT_RDWR)

    with pytest.raises(redis.ConnectionError, match="while writing to socket"):
        connection.send_packed_command(connection.pack_command("PING"))

    assert not connection.is_connected
    clients.close()


def test_a_pool_lends_no_more_than_it_may_and_says_so(server: EmbeddedServer) -> None:
    pool = connect(Config(redis_url=server.url, pool_size=2)).commands.connection_pool
    pool.timeout = 0.01
    lent = [pool.get_connection() for _ in range(2)]

    with pytest.raises(redis.ConnectionError, match="No connection available"):
        pool.get_connection()

    for connection in lent:
        pool.release(connection)
    assert pool.get_connection() is lent[1]
    pool.disconnect()


def test_a_server_that_can_not_be_reached_uses_up_no_place_in_the_pool() -> None:
    client = connect(Config(redis_url=f"redis://{HOST}:{free_port()}", pool_size=1)).commands
    client.connection_pool.timeout = 0.01

    for _ in range(3):
        with pytest.raises(redis.ConnectionError, match="refused"):
            exchange(client, [("PING",)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_makes_connections_of_its_own(server: EmbeddedServer) -> None:
    client = connect(Config(redis_url=server.url, pool_size=1)).commands
    [ours] = exchange(client, [("CLIENT", "ID")])

    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, str(exchange(client, [("CLIENT", "ID")])[0]).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert int(os.read(reader, 100)) != ours
    assert exchange(client, [("CLIENT", "ID")]) == [ours]
    for descriptor in (reader, writer):
        os.close(descriptor)
    client.connection_pool.disconnect()


def test_who_listens_does_not_ask_for_notices_of_maintenance() -> None:
    clients = connect(Config())

    pool = clients.listening.connection_pool

    assert pool.connection_kwargs["protocol"] == 3
    assert not pool.maint_notifications_enabled()
    clients.close()


class Polls:
    """Counts who asks the kernel whether an answer is there, and says that it is after so many times."""

    def __init__(self, answered_at: float) -> None:
        self.asked = 0
        self._answered_at = answered_at

    def register(self, descriptor: int, event: int) -> None:
        assert event == select.POLLIN

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        assert timeout == 0
        self.asked += 1
        return [(0, select.POLLIN)] if self.asked >= self._answered_at else []


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Polls]:
    def install(answered_at: float) -> Polls:
        polls = Polls(answered_at)
        stand_in = SimpleNamespace(poll=lambda: polls, POLLIN=select.POLLIN)
        monkeypatch.setattr("minicelery.link.select", stand_in)
        return polls

    return install


def test_who_is_alone_stays_awake_for_a_brisk_answer(
    server: EmbeddedServer, polls: Callable[[float], Polls], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minicelery.link._BRISK", 60.0)
    clients = connect(Config(redis_url=server.url, pool_size=2))
    exchange(clients.commands, [("PING",)])
    seen = polls(3)

    assert exchange(clients.commands, [("ECHO", "here")]) == ["here"]
    assert seen.asked == 0
    assert exchange(clients.commands, [("ECHO", "here")], brisk=True) == ["here"]
    assert seen.asked == 3
    clients.close()


def test_nobody_stays_awake_where_other_threads_have_connections_too(
    server: EmbeddedServer, polls: Callable[[float], Polls]
) -> None:
    clients = connect(Config(redis_url=server.url, pool_size=2))
    other = clients.commands.connection_pool.get_connection()
    seen = polls(1)

    assert exchange(clients.commands, [("PING",)], brisk=True) == ["PONG"]
    assert seen.asked == 0

    clients.commands.connection_pool.release(other)
    exchange(clients.commands, [("PING",)], brisk=True)
    assert seen.asked == 1
    clients.close()


def test_after_answers_that_came_late_most_are_slept_for(
    server: EmbeddedServer, polls: Callable[[float], Polls], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minicelery.link._BRISK", 0.0)
    clients = connect(Config(redis_url=server.url, pool_size=1))
    seen = polls(float("inf"))

    for _ in range(_LATE + 2 * (_CALM + 1)):
        exchange(clients.commands, [("PING",)], brisk=True)

    assert seen.asked == _LATE + 2
    clients.close()
