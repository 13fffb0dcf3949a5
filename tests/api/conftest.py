"""The API as a Flask test client, on every server."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from minicelery import MiniCelery, TaskContext
from minicelery.web import create_app


def declare(app: MiniCelery) -> None:
    @app.task
    def add(x: float, y: float) -> float:
        return x + y

    @app.task
    def echo(value: object = None, **more: object) -> object:
        return [value, more] if more else value

    @app.task(max_retries=0)
    def fail(message: str) -> None:
        raise ValueError(message)

    @app.task(bind=True, retry_backoff=60, retry_jitter=False)
    def stubborn(self: TaskContext) -> None:
        raise ValueError("not yet")


@pytest.fixture
def flask_app(app: MiniCelery) -> Flask:
    declare(app)
    return create_app(app)


@pytest.fixture
def http(flask_app: Flask) -> FlaskClient:
    return flask_app.test_client()
