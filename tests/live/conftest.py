"""A web process for the tests of the WebSocket, and watchers of it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from minicelery import MiniCelery
from tests.stack import Stack
from tests.watcher import Client, Watch, few_threads


@pytest.fixture(scope="session")
def shared_stack() -> Iterator[Stack]:
    """A server and a gunicorn of few threads, without a worker: the tests lead their tasks by hand."""
    with Stack(worker=False, environ=few_threads(MINICELERY_ALLOWED_ORIGINS="https://friend.example")) as running:
        yield running


@pytest.fixture(scope="session")
def shared_celery(shared_stack: Stack) -> Iterator[MiniCelery]:
    celery = MiniCelery("test", redis_url=shared_stack.redis_url)
    yield celery
    celery.clients.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Opens watchers, and closes them after the test."""
    with contextlib.ExitStack() as opened:

        def open_client(stack: Stack, path: str, **options: Any) -> Client:
            client = Client(stack.port, path, **options)
            opened.callback(client.close)
            return client

        yield open_client
