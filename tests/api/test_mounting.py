"""The API inside another Flask app, under a prefix, and tasks inside its application context."""

import pytest
from flask import Flask, Response, current_app

from minicelery import MiniCelery, TaskNotFound
from minicelery.embedded import EmbeddedServer
from minicelery.errors import ConfigError
from minicelery.testing import drain
from minicelery.web import api_blueprint


@pytest.fixture
def host(fake_app: MiniCelery) -> Flask:
    flask_app = Flask("shop")
    flask_app.config["SHOP"] = "photos"

    @fake_app.task
    def shop() -> str:
        return current_app.config["SHOP"]

    fake_app.init_app(flask_app)
    flask_app.register_blueprint(api_blueprint(), url_prefix="/queue")
    flask_app.get("/")(lambda: "the shop")
    return flask_app


def test_the_api_serves_under_a_prefix(host: Flask) -> None:
    http = host.test_client()

    response = http.post("/queue/tasks", json={"name": "shop"})

    assert response.status_code == 202
    assert http.get(response.headers["Location"]).json["status"] == "PENDING"
    assert http.get("/queue/openapi.json").json["servers"] == [{"url": "/queue"}]
    assert "/queue/docs/swagger-ui.css" in http.get("/queue/docs").text


def test_a_task_is_found_where_the_server_has_the_whole_app_under_a_prefix(host: Flask) -> None:
    body = {"name": "shop", "task_id": "a:b.c"}

    response = host.test_client().post("/queue/tasks", json=body, environ_overrides={"SCRIPT_NAME": "/my shop"})

    assert response.headers["Location"] == "/my%20shop/queue/tasks/a:b.c"


def test_the_app_around_it_may_change_an_answer(host: Flask) -> None:
    @host.after_request
    def change(response: Response) -> Response:
        response.data = response.data.replace(b"PENDING", "später".encode())
        response.headers["Location"] = "/späti"
        response.headers["X-Shop"] = "photos"
        return response

    response = host.test_client().post("/queue/tasks", json={"name": "shop"})

    assert response.json["status"] == "später"
    assert int(response.headers["Content-Length"]) == len(response.data)
    assert (response.headers["Location"], response.headers["X-Shop"]) == ("/sp%C3%A4ti", "photos")


def test_the_rest_of_the_app_keeps_its_own_errors(host: Flask) -> None:
    http = host.test_client()

    assert http.get("/").text == "the shop"
    assert http.get("/nowhere").content_type.startswith("text/html")
    assert http.get("/queue/tasks/none").content_type == "application/problem+json"


def test_tasks_run_inside_the_application_context(host: Flask, fake_app: MiniCelery) -> None:
    result = fake_app.tasks.find("shop").delay()

    drain(fake_app)

    assert result.get(timeout=0) == "photos"


def test_settings_come_from_the_flask_app_too() -> None:
    flask_app = Flask("shop")
    flask_app.config["MINICELERY_REDIS_URL"] = "redis://flask:1/0"
    flask_app.config["MINICELERY_LEASE"] = 9

    celery = MiniCelery("shop", lease=7)
    celery.init_app(flask_app)

    assert (celery.config.redis_url, celery.config.lease) == ("redis://flask:1/0", 7)
    flask_app.config["MINICELERY_LEESE"] = 9
    with pytest.raises(ConfigError, match="leese: there is no setting"):
        MiniCelery("shop").init_app(flask_app)


def test_an_app_can_be_pointed_elsewhere_after_its_import(fake_app: MiniCelery, server: EmbeddedServer) -> None:
    @fake_app.task
    def add(x: int, y: int) -> int:
        return x + y

    before = add.delay(1, 1)
    fake_app.configure(redis_url=server.url)
    after = add.delay(2, 2)

    assert drain(fake_app) == 1
    assert after.get(timeout=0) == 4
    with pytest.raises(TaskNotFound):
        _ = fake_app.result(before.id).status
    fake_app.clients.close()
