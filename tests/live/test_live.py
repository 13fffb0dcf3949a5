"""The door of the WebSocket route: who is let in, and what else is answered, by a real gunicorn."""

import contextlib
import errno
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from werkzeug.middleware.proxy_fix import ProxyFix
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping

from minicelery import MiniCelery, launch
from minicelery.embedded import HOST, EmbeddedServer, free_port
from minicelery.web import create_app, live
from tests.stack import ROOT, Stack, wait_until
from tests.watcher import PATIENCE, Client, TaskOnWire, Watch, few_threads, watched_channels

# ---- the door ---------------------------------------------------------------------------------


def test_plain_http_is_told_to_upgrade(shared_stack: Stack) -> None:
    answer = shared_stack.get("/ws/tasks/x")

    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.data["status"] == 426


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://{host}.evil.example", 403),
        ("http://{host}", 101),
        ("https://friend.example", 101),
        ("HTTPS://Friend.example", 101),
        ("https://friend.example:444", 403),
    ],
)
def test_the_origin_is_checked_before_the_handshake(
    origin: str, status: int, shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    named = origin.format(host=f"{HOST}:{shared_stack.port}")

    client = watch(shared_stack, task.path, headers=(f"Origin: {named}",))

    assert client.status == status
    if status == 403:
        assert "application/problem+json" in client.head
        assert json.loads(client.body())["status"] == 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 426),
        (("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: y"), 400),
        (("GET", "HEAD"), 426),
    ],
)
def test_what_is_no_handshake_is_refused_in_http(
    change: tuple[str, str], status: int, shared_stack: Stack, shared_celery: MiniCelery
) -> None:
    task = TaskOnWire(shared_celery)
    request = (
        f"GET {task.path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    with socket.create_connection((HOST, shared_stack.port), PATIENCE) as sock:
        sock.sendall(request.replace(*change).encode())
        assert f" {status} ".encode() in sock.recv(65_536)
    wait_until(lambda: watched_channels(shared_celery, task) == 0, what="giving the subscription back")


def test_frames_are_never_compressed(shared_stack: Stack, shared_celery: MiniCelery, watch: Watch) -> None:
    task = TaskOnWire(shared_celery)

    client = watch(shared_stack, task.path, headers=("Sec-WebSocket-Extensions: permessage-deflate",))

    assert "sec-websocket-extensions" not in client.head.lower()
    assert client.names(1) == ["connected"]


def test_frames_right_behind_the_handshake_are_heeded(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    ping = Connection(ConnectionType.CLIENT).send(Ping(b"hasty"))

    client = watch(shared_stack, task.path, behind=ping[:5])
    assert client.names(1) == ["connected"]
    client.sock.sendall(ping[5:])

    assert client.next().payload == b"hasty"  # type: ignore[attr-defined]


def test_the_blueprint_may_be_mounted_twice_under_prefixes(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch, tmp_path: Path
) -> None:
    (tmp_path / "mounted.py").write_text(
        "from flask import Flask\n"
        "from minicelery import MiniCelery\n"
        "from minicelery.web import api_blueprint\n"
        "app = Flask('mounted')\n"
        "MiniCelery('mounted').init_app(app)\n"
        "app.register_blueprint(api_blueprint('first'), url_prefix='/first')\n"
        "app.register_blueprint(api_blueprint('second'), url_prefix='/deep/second')\n"
    )
    environ = few_threads(PYTHONPATH=str(tmp_path))
    with Stack(wsgi="mounted:app", worker=False, environ=environ) as stack:
        celery = MiniCelery("test", redis_url=stack.redis_url)
        task = TaskOnWire(celery)

        clients = [watch(stack, prefix + task.path) for prefix in ("/first", "/deep/second")]
        task.start()

        assert [client.names(2) for client in clients] == [["connected", "started"]] * 2
        celery.clients.close()


# ---- inside of the process ----------------------------------------------------------------------


def no_files_left() -> tuple[socket.socket, socket.socket]:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_socket_that_cannot_be_moved_keeps_no_subscription(
    real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    flask_app, task = create_app(real_app), TaskOnWire(real_app)
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    handshake["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    watched: list[int] = []

    def detach(sock: socket.socket) -> socket.socket:
        watched.append(watched_channels(real_app, task))
        return no_files_left()[0]

    monkeypatch.setattr(live, "detach", detach)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environ = {"werkzeug.socket": ours}
        answer = flask_app.test_client().get(task.path, headers=handshake, environ_overrides=environ)

    assert (answer.status_code, watched) == (500, [1])
    wait_until(lambda: watched_channels(real_app, task) == 0, what="giving the subscription back")
    live.close_sockets(flask_app)


def test_a_move_that_fails_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = psutil.Process().num_fds()
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socketpair", no_files_left)
            with pytest.raises(OSError, match="Too many open files") as raised:
                live.detach(ours)

        assert psutil.Process().num_fds() == before
        assert raised.value.errno == errno.EMFILE
        ours.sendall(b"still here")
        assert theirs.recv(10) == b"still here"


def test_the_app_is_found_inside_of_middleware(fake_app: MiniCelery) -> None:
    class Hub:
        closed = 0

        def close_all(self) -> None:
            self.closed += 1

    flask_app = create_app(fake_app)
    flask_app.extensions[live.HUB] = hub = Hub()

    live.close_sockets(ProxyFix(ProxyFix(flask_app)))
    live.close_sockets(print)
    live.close_sockets(None)

    assert hub.closed == 1


# ---- TLS by the web server --------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH to make a certificate with")
    path, public = tmp_path / "both.pem", tmp_path / "public.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    files = ["-keyout", str(path), "-out", str(public)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + public.read_bytes())
    return path


class TlsClient(Client):
    def __init__(self, port: int, path: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(socket.create_connection((HOST, port), PATIENCE))
        self.greet(f"{HOST}:{port}", path, (), b"")


@contextlib.contextmanager
def gunicorn_with_tls(port: int, certificate: Path, redis_url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "gunicorn", "-c", "python:minicelery.web.gunicorn_config"]
    tls = ["--bind", f"{HOST}:{port}", "--certfile", str(certificate), "minicelery.web.wsgi:app"]
    process = launch.start([*command, *tls], cwd=ROOT, env={**os.environ, "MINICELERY_REDIS_URL": redis_url})
    try:
        wait_until(lambda: is_listening(port), what="the start of gunicorn")
        yield
    finally:
        launch.end(process, PATIENCE)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def test_where_the_server_does_tls_a_few_sockets_are_served_in_their_threads(
    certificate: Path, server: EmbeddedServer
) -> None:
    port, celery = free_port(), MiniCelery("test", redis_url=server.url)
    task = TaskOnWire(celery)
    with gunicorn_with_tls(port, certificate, server.url):
        clients = [TlsClient(port, task.path) for _ in range(3)]
        assert [client.status for client in clients] == [101, 101, 503]

        assert [client.names(1) for client in clients[:2]] == [["connected"]] * 2
        clients[0].say(Ping(b"through"))
        assert clients[0].next().payload == b"through"  # type: ignore[attr-defined]
        task.start()
        task.settle(body=json.dumps("x" * 900_000))
        for client in clients[:2]:
            assert client.names(2) == ["started", "completed"]
            assert client.end() == 1000

        again = wait_until(lambda: next((one for one in [TlsClient(port, task.path)] if one.status == 101), None))
        assert again.names(2) == ["connected", "completed"]
        for client in (*clients, again):
            client.close()
    celery.clients.close()
