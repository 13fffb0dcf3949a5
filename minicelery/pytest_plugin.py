"""Fixtures for the tests of applications: ``pytest_plugins = ["minicelery.pytest_plugin"]`` in a conftest.py."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
import redis

from .embedded import EmbeddedServer
from .testing import Simulation, simulated

_HAS_RAISED = pytest.StashKey[bool]()


class _RaisedBefore(Exception):
    """Stands for what the test has raised."""


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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Remember that a test has raised something, for the end of its fixtures."""
    if call.excinfo is not None:
        item.stash[_HAS_RAISED] = True


@pytest.fixture
def minicelery_simulated(request: pytest.FixtureRequest) -> Iterator[Callable[..., Simulation]]:
    """``sim = minicelery_simulated(app)``: the app is simulated until the test ends; options as of ``simulated``."""
    with suppress(_RaisedBefore), ExitStack() as simulations:
        yield lambda app, **options: simulations.enter_context(simulated(app, **options))
        if request.node.stash.get(_HAS_RAISED, False):
            raise _RaisedBefore  # so nothing is checked, as within simulated() itself
