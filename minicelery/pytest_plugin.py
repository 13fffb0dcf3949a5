"""Fixtures for the tests of applications: ``pytest_plugins = ["minicelery.pytest_plugin"]`` in a conftest.py."""

from collections.abc import Iterator

import pytest
import redis

from .embedded import EmbeddedServer


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
