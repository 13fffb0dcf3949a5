"""Connections: what an answer means, and where they lead."""

import socket
from typing import Any

import pytest
import redis
from redis import exceptions
from redis.connection import Connection

from minicelery import MiniCelery
from minicelery.address import SentinelAddress
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import HOST, EmbeddedServer, free_port
from minicelery.link import Sentinels, SocketLink, code
from tests.faults.proxy import FaultProxy


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "READONLY"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "LOADING"),
        (redis.ResponseError("UNBLOCKED force unblock from blocking operation"), "UNBLOCKED"),
        (redis.ResponseError("Error running script: @user_script:1: @user_script: 1: -OOM command not allowed"), "OOM"),
        (redis.ResponseError("Command # 1 (HGETALL t) of pipeline caused error: BUSY Redis is busy"), "BUSY"),
        (redis.ResponseError("unknown command 'INFO'"), ""),
        (redis.ConnectionError("Connection refused"), ""),
    ],
)
def test_an_error_has_the_code_of_the_answer(error: Exception, found: str) -> None:
    assert code(error) == found


@pytest.mark.parametrize("url", ["unix:///run/redis.sock?db=1", "rediss://h", "redis://h", "redis+sentinel://h/shop"])
def test_a_connection_can_be_made_for_every_kind_of_url(url: str) -> None:
    clients = connect(Config(redis_url=url))

    for client in (clients.commands, clients.blocking):
        made = client.connection_pool.make_connection()
        options = {} if isinstance(made, SocketLink) else made.socket_keepalive_options
        assert (made.client_name, made.socket_connect_timeout) == ("minicelery", 1.2)
        assert isinstance(made, SocketLink) or options[socket.TCP_KEEPCNT] == 3


def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up_as_soon_as_one_that_takes_none(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    greet = Connection.on_connect_check_health

    def look(connection: Any, check_health: bool = True) -> None:
        seen.append(connection._sock.gettimeout())
        greet(connection, check_health)

    monkeypatch.setattr(Connection, "on_connect_check_health", look)
    clients = connect(Config(redis_url=server.url, redis_timeout=7))
    made = clients.commands.connection_pool.make_connection()
    made.connect()

    assert (seen, made._sock.gettimeout()) == ([1.2], 7)
    clients.close()


def test_sentinels_that_are_away_are_named_in_the_error() -> None:
    ports = [free_port(), free_port()]
    address = SentinelAddress(tuple(("127.0.0.1", port) for port in ports), "shop", sentinel_password="geheim")

    with pytest.raises(redis.ConnectionError, match="no master of 'shop' is found") as caught:
        Sentinels(address).master()

    assert all(f"127.0.0.1:{port}" in str(caught.value) for port in ports)
    assert "geheim" not in str(caught.value)


def test_a_connection_to_a_server_that_became_a_replica_is_not_used_again() -> None:
    with EmbeddedServer() as server:
        clients = connect(Config(redis_url=server.url))
        client = clients.commands
        before = client.client_id()
        client.execute_command("REPLICAOF", HOST, "1")

        with pytest.raises(exceptions.ReadOnlyError):
            client.set("a", 1)

        assert client.client_id() != before
        clients.close()


def test_what_lies_idle_is_dropped_once_a_server_does_not_answer() -> None:
    """Each of the connections would cost another time-out."""
    with EmbeddedServer() as server, FaultProxy(server.port) as proxy:
        app = MiniCelery("idle", config=Config(redis_url=proxy.url, redis_timeout=0.3, patience=20))
        pool = app.clients.commands.connection_pool
        for connection in [pool.get_connection() for _ in range(5)]:
            pool.release(connection)

        proxy.lose_next()
        proxy.set(silent=True)
        app.broker.wake("w", 1)

        assert sum(connection.is_connected for connection in pool._connections) == 1
        app.clients.close()
