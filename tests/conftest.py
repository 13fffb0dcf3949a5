"""Servers and applications for the tests."""

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fakeredis
import pytest

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import Clients, connect
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.world import World

_namespaces = (f"test{number}" for number in itertools.count())
BACKENDS = ("fakeredis", "embedded", "redis-server")


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """The embedded server, shared: each test has a namespace of its own."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(scope="session")
def debian_server() -> Iterator[EmbeddedServer]:
    """A redis-server from PATH."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on PATH; install Debian's to run these tests on it too")
    with EmbeddedServer(ServerOptions(executable=Path(program))) as running:
        yield running


@pytest.fixture
def namespace() -> str:
    return next(_namespaces)


@pytest.fixture(params=BACKENDS)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Clients of every server that the scripts must run on."""
    made = _clients(request, request.param)
    yield made
    made.close()


@pytest.fixture
def real_clients(server: EmbeddedServer) -> Iterator[Clients]:
    """Clients of the embedded server."""
    made = connect(Config(redis_url=server.url))
    yield made
    made.close()


@pytest.fixture
def fake_clients() -> Iterator[Clients]:
    made = _fake()
    yield made
    made.close()


def _clients(request: pytest.FixtureRequest, backend: str) -> Clients:
    if backend == "fakeredis":
        return _fake()
    name = "server" if backend == "embedded" else "debian_server"
    return connect(Config(redis_url=request.getfixturevalue(name).url))


def _fake() -> Clients:
    fake = fakeredis.FakeServer()
    commands, blocking = (fakeredis.FakeRedis(server=fake, decode_responses=True, protocol=2) for _ in range(2))
    return Clients(commands, blocking)


@pytest.fixture
def app(clients: Clients, namespace: str) -> MiniCelery:
    """An app on each of the servers, in a namespace of its own."""
    return make_app(clients, namespace)


@pytest.fixture
def fake_app(fake_clients: Clients, namespace: str) -> MiniCelery:
    return make_app(fake_clients, namespace)


@pytest.fixture
def real_app(real_clients: Clients, namespace: str, server: EmbeddedServer) -> MiniCelery:
    return make_app(real_clients, namespace, redis_url=server.url)


def make_app(clients: Clients, namespace: str, **settings: object) -> MiniCelery:
    config = Config(namespace=namespace, patience=2.0, **settings)
    return MiniCelery("test", config=config, clients=clients, world=World())


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """A test ends the threads that it started."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    for thread in left:
        thread.join(timeout=5)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment of the test run says must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith(("MINICELERY_", "REDIS_", "API_", "WORKER_")):
            monkeypatch.delenv(name)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until something is so, or fails loudly."""
    from tests.stack import wait_until

    return wait_until
