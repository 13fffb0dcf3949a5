"""How long a thread of the web process stays with a connection."""

import io
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import ThreadWorker

from minicelery.web.keepalive import Worker

REQUEST = b"r"


class Server:
    """A worker with two threads, of which one has a connection; what serves a request reads one letter."""

    def __init__(self, sock: socket.socket, peer: socket.socket) -> None:
        self.peer = peer
        self.worker: Any = object.__new__(Worker)
        self.worker.alive, self.worker.nr_conns = True, 1
        self.worker.cfg = SimpleNamespace(threads=2)
        unreader = SimpleNamespace(buf=io.BytesIO())
        self.conn = SimpleNamespace(sock=sock, parser=SimpleNamespace(unreader=unreader))
        self.served = 0

    def serve(self, conn: Any) -> bool:
        """What gunicorn's own worker would do: whether the connection stays open."""
        self.served += 1
        return bool(conn.sock.recv(1))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    ours, peer = socket.socketpair()
    with ours, peer:
        server = Server(ours, peer)
        monkeypatch.setattr(ThreadWorker, "handle", lambda _, conn: server.serve(conn))
        yield server


def test_a_thread_serves_what_a_connection_asks_next(server: Server) -> None:
    server.peer.sendall(3 * REQUEST)

    assert server.worker.handle(server.conn) is True
    assert server.served == 3


def test_a_connection_that_rests_is_let_go_of_and_stays_open(server: Server) -> None:
    server.peer.sendall(REQUEST)

    assert server.worker.handle(server.conn) is True
    assert server.served == 1


def test_a_thread_stays_as_long_as_each_connection_can_have_one(server: Server) -> None:
    server.worker.nr_conns = 2
    server.peer.sendall(2 * REQUEST)

    server.worker.handle(server.conn)

    assert server.served == 2


def test_a_thread_does_not_stay_where_there_are_more_connections(server: Server) -> None:
    server.worker.nr_conns = 3
    server.peer.sendall(2 * REQUEST)

    assert server.worker.handle(server.conn) is True
    assert server.served == 1


def test_a_worker_that_stops_serves_the_next_request_as_its_last(server: Server) -> None:
    server.worker.alive = False
    server.peer.sendall(2 * REQUEST)

    assert server.worker.handle(server.conn) is True, "gunicorn knows what to do with it"
    assert server.served == 1


def test_what_is_read_ahead_is_left_to_gunicorn(server: Server) -> None:
    server.conn.parser.unreader.buf.write(REQUEST)
    server.peer.sendall(2 * REQUEST)

    server.worker.handle(server.conn)

    assert server.served == 1


def test_a_connection_that_is_closed_is_left(server: Server) -> None:
    server.peer.sendall(REQUEST)
    server.peer.shutdown(socket.SHUT_WR)

    assert server.worker.handle(server.conn) is False
    assert server.served == 2


def posts(*bodies: bytes) -> bytes:
    return b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)


@pytest.mark.parametrize("read", [0, 3, 6, None])
def test_what_is_left_of_a_body_is_not_taken_for_the_next_request(read: int | None) -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.settimeout(10)
        server = Server(ours, peer)
        server.conn.parser = RequestParser(Config(), ours, ("127.0.0.1", 1))
        peer.sendall(posts(b"letter", b"next"))
        next(server.conn.parser).body.read(read)

        assert server.worker._keepalive_after(server.conn, keepalive=True)

        assert next(server.conn.parser).body.read() == b"next"
        assert ours.gettimeout() == 10


def test_a_body_that_breaks_off_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gunicorn.workers.gthread.DEFAULT_WORKER_DATA_TIMEOUT", 0.05)
    ours, peer = socket.socketpair()
    with ours, peer:
        server = Server(ours, peer)
        server.conn.parser = RequestParser(Config(), ours, ("127.0.0.1", 1))
        peer.sendall(posts(b"letter")[:-1])
        next(server.conn.parser)

        assert not server.worker._keepalive_after(server.conn, keepalive=True)


def test_a_connection_that_is_to_be_closed_is(server: Server) -> None:
    server.conn.parser.mesg = SimpleNamespace(body=SimpleNamespace(reader=SimpleNamespace(length=0)))

    assert not server.worker._keepalive_after(server.conn, keepalive=False)
