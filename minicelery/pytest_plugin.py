"""Fixtures for the tests of applications: ``pytest_plugins = ["minicelery.pytest_plugin"]`` in a conftest.py."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from .embedded import EmbeddedServer
from .testing import Simulation, simulated


@pytest.fixture(scope="session")
def minicelery_server() -> Iterator[EmbeddedServer]:
    """A Redis or Valkey server of this test run's own, on a free port of 127.0.0.1."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def minicelery_redis_url(minicelery_server: EmbeddedServer) -> str:
    """The address of that server, which is empty when the test starts."""
    with redis.Redis.from_url(minicelery_server.url) as client:
        client.flushall()
    return minicelery_server.url


@pytest.fixture
def minicelery_simulated() -> Iterator[Callable[..., Simulation]]:
    """``sim = minicelery_simulated(app)``: the app is simulated until the test ends; options as of ``simulated``."""
    with ExitStack() as simulations:
        yield lambda app, **options: simulations.enter_context(simulated(app, **options))
