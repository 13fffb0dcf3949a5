"""What the API answers while Redis is away or full."""

import json
from collections.abc import Iterator

import pytest

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions, free_port
from minicelery.web import create_app
from tests.api.conftest import declare


def _app(url: str) -> MiniCelery:
    config = Config(redis_url=url, patience=0.2, redis_timeout=0.5)
    app = MiniCelery("away", config=config, clients=connect(config))
    declare(app)
    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tasks"),
        ("GET", "/tasks/x"),
        ("GET", "/queue/stats"),
        ("GET", "/queue/dead-letter"),
        ("POST", "/queue/dead-letter/retry"),
        ("POST", "/queue/dead-letter/x/retry"),
        ("DELETE", "/queue/dead-letter/x"),
        ("GET", "/readyz"),
    ],
)
def test_without_redis_every_route_says_503_and_when_to_try_again(method: str, path: str) -> None:
    http = create_app(_app(f"redis://127.0.0.1:{free_port()}")).test_client()

    response = http.open(path, method=method, json={"name": "add", "args": [1, 2]} if method == "POST" else None)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.content_type == "application/problem+json"
    assert "127.0.0.1" not in response.text


def test_without_redis_the_process_is_alive_all_the_same() -> None:
    assert create_app(_app(f"redis://127.0.0.1:{free_port()}")).test_client().get("/healthz").status_code == 200


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions()) as server:
        yield server


def test_a_full_redis_refuses_submissions_and_still_lets_running_work_end(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url)
    http = create_app(app).test_client()
    place = http.post("/tasks", json={"name": "add", "args": [1, 2]}).headers["Location"]
    from tests.store.conftest import Desk

    desk = Desk(app)
    desk.hire("w")
    delivery = desk.take()
    app.clients.commands.config_set("maxmemory", "1mb")

    refused = http.post("/tasks", json={"name": "add", "args": [1, 2]})
    desk.hire("w")
    assert desk.settle(delivery)

    assert (refused.status_code, json.loads(refused.data)["title"]) == (503, "Service Unavailable")
    assert http.get(place).json["status"] == "SUCCESS"
    assert len(list(app.inspector.task_ids())) == 1
    app.clients.close()
