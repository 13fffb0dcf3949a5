"""Many tasks in one request, on every server."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.dispatch import BATCH
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.errors import ForeignData, RedisFull, RedisUnavailable
from minicelery.testing import drain
from minicelery.web import create_app, schemas
from tests.api.conftest import declare


def post(http: FlaskClient, *tasks: Any) -> Any:
    return http.post("/tasks/batch", json={"tasks": list(tasks)})


def sums(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"name": "add", "args": [number, 1], **more} for number in range(count)]


def pointers(response: Any) -> list[str]:
    return [fault["pointer"] for fault in response.json["errors"]]


def test_tasks_are_accepted_in_order_and_run(http: FlaskClient, app: MiniCelery) -> None:
    response = post(http, *sums(BATCH + 50))

    assert (response.status_code, response.json["count"]) == (202, BATCH + 50)
    drain(app)
    results = [http.get(f"/tasks/{task_id}").json["result"] for task_id in response.json["task_ids"]]
    assert results == list(range(1, BATCH + 51))


def test_each_task_may_have_options_of_its_own(http: FlaskClient, app: MiniCelery) -> None:
    options: list[dict[str, Any]] = [
        {"countdown": 60},
        {"queue": "mail", "kwargs": {}},
        {"task_id": "mine", "max_retries": 7},
        {"eta": None},
    ]

    ids = post(http, *({"name": "add", "args": [1, 2], **one} for one in options)).json["task_ids"]

    records = app.inspector.tasks(ids)
    assert [record and record.status for record in records] == ["SCHEDULED", "PENDING", "PENDING", "PENDING"]
    assert [record and record.queue for record in records] == ["default", "mail", "default", "default"]
    assert (ids[2], records[2] and records[2].max_retries) == ("mine", 7)


def test_results_that_nobody_wants_are_null(http: FlaskClient, app: MiniCelery) -> None:
    options: list[dict[str, Any]] = [{"ignore_result": True}, {"ignore_result": False}, {"ignore_result": None}]

    ids = post(http, *({"name": "add", "args": [1, 2], **one} for one in options)).json["task_ids"]
    ids.append(http.post("/tasks", json={"name": "add", "args": [1, 2], "ignore_result": True}).json["task_id"])

    drain(app)
    found = [http.get(f"/tasks/{task_id}").json for task_id in ids]
    assert [(one["status"], one["result"]) for one in found] == [("SUCCESS", value) for value in (None, 3, 3, None)]


@pytest.mark.parametrize(
    ("fault", "pointer"),
    [
        ({"name": "add", "args": 5}, "/tasks/17/args"),
        ({"name": "add", "args": [1]}, "/tasks/17/args"),
        ({"name": "add", "args": [1, 2, 3]}, "/tasks/17/args/2"),
        ({"name": "add", "args": [1, "\x00"]}, "/tasks/17/args/1"),
        ({"name": "nobody"}, "/tasks/17/name"),
        ({"args": [1, 2]}, "/tasks/17/name"),
        ({"name": "add", "args": [1, 2], "queue": "a b"}, "/tasks/17/queue"),
        ({"name": "add", "args": [1, 2], "max_retries": 1.5}, "/tasks/17/max_retries"),
        ({"name": "add", "args": [1, 2], "qeue": "a"}, "/tasks/17/qeue"),
        (5, "/tasks/17"),
    ],
)
def test_a_fault_is_named_by_its_place_and_nothing_is_written(
    http: FlaskClient, app: MiniCelery, fault: Any, pointer: str
) -> None:
    response = post(http, *sums(17), fault)

    assert (response.status_code, pointers(response)) == (422, [pointer])
    assert list(app.inspector.task_ids()) == []


def test_a_field_with_a_slip_is_answered_with_the_right_one(http: FlaskClient) -> None:
    response = post(http, {"name": "add", "args": [1, 2], "qeue": "a"})

    assert "did you mean 'queue'" in response.json["detail"]


def test_of_many_faults_some_are_named(http: FlaskClient) -> None:
    response = post(http, *([5] * 10_000))

    assert response.status_code == 422
    assert pointers(response) == [f"/tasks/{place}" for place in range(20)]


@pytest.mark.parametrize("body", [{"tasks": []}, {"tasks": [1] * 10_001}, {"tasks": {}}, {"tasks": None}, {}])
def test_a_batch_has_one_to_10000_tasks(http: FlaskClient, body: dict[str, Any]) -> None:
    response = http.post("/tasks/batch", json=body)

    assert (response.status_code, pointers(response)) == (422, ["/tasks"])


def test_two_calls_of_one_id_in_a_batch_are_refused(http: FlaskClient, app: MiniCelery) -> None:
    first, other = ({"name": "add", "args": [1, y], "task_id": "mine"} for y in (2, 3))

    response = post(http, first, *sums(2), other)

    assert (response.status_code, pointers(response)) == (422, ["/tasks/3/task_id"])
    assert list(app.inspector.task_ids()) == []
    assert post(http, first, first).json["task_ids"] == ["mine", "mine"]


def test_a_batch_sent_twice_under_its_ids_is_there_once(http: FlaskClient, app: MiniCelery) -> None:
    tasks = [{**one, "task_id": f"t{number}"} for number, one in enumerate(sums(BATCH + 1))]

    answers = [post(http, *tasks).json["task_ids"] for _ in range(2)]

    assert answers[0] == answers[1]
    assert app.inspector.queue_length("default") == BATCH + 1


def test_ids_that_other_tasks_have_are_named_and_all_others_are_submitted(http: FlaskClient, app: MiniCelery) -> None:
    taken = {"name": "add", "args": [5, 5], "task_id": "taken"}
    post(http, {**taken, "args": [6, 6]})

    response = post(http, taken, *sums(BATCH + 1))

    assert (response.status_code, pointers(response)) == (409, ["/tasks/0/task_id"])
    assert (response.json["submitted"], len(response.json["task_ids"])) == (BATCH + 1, BATCH + 2)
    assert all(app.inspector.tasks(response.json["task_ids"]))
    assert app.inspector.queue_length("default") == BATCH + 2


@pytest.mark.parametrize("error", [RedisUnavailable, RedisFull, ForeignData])
def test_if_redis_goes_away_in_between_the_answer_tells_what_is_there_and_how_to_go_on(
    http: FlaskClient, app: MiniCelery, monkeypatch: pytest.MonkeyPatch, error: type[RedisUnavailable]
) -> None:
    enqueue_each = app.broker.enqueue_each

    def fail_at_the_second(batches: Sequence[Any]) -> Iterator[Any]:
        yield from enqueue_each(batches[:1])
        raise error("gone")

    monkeypatch.setattr(app.broker, "enqueue_each", fail_at_the_second)
    tasks = sums(BATCH * 3)

    response = post(http, *tasks)
    ids = response.json["task_ids"]

    assert (response.status_code, response.json["submitted"], len(ids)) == (503, BATCH, BATCH * 3)
    assert f"Of {BATCH * 3} tasks {BATCH} are in Redis" in response.json["detail"]
    assert ("Retry-After" in response.headers) == (error is not ForeignData)
    assert [record is not None for record in app.inspector.tasks(ids)] == [True] * BATCH + [False] * BATCH * 2

    monkeypatch.undo()
    again = [{**task, "task_id": task_id} for task, task_id in zip(tasks, ids, strict=True)]
    app.sender.send_many([app.message(**task) for task in again])
    assert app.inspector.queue_length("default") == BATCH * 3


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions()) as server:
        yield server


def test_a_redis_that_becomes_full_keeps_what_it_has_of_a_batch_and_knows_it_again(own_server: EmbeddedServer) -> None:
    app = MiniCelery("full", redis_url=own_server.url, patience=0.2)
    declare(app)
    http = create_app(app).test_client()
    commands = app.clients.commands
    tasks = [{"name": "echo", "args": ["x" * 500]} for _ in range(1500)]
    http.post("/tasks/batch", json={"tasks": tasks[:1]})
    commands.config_set("maxmemory", commands.info("memory")["used_memory"] + 600_000)

    response = post(http, *tasks)
    there = response.json["submitted"]
    commands.config_set("maxmemory", 0)
    again = post(http, *({**task, "task_id": i} for task, i in zip(tasks, response.json["task_ids"], strict=True)))

    assert (response.status_code, again.status_code) == (503, 202)
    assert 0 < there < 1500
    assert there % BATCH == 0
    assert app.inspector.queue_length("default") == 1501
    app.clients.close()


@pytest.mark.parametrize("given", [None, True, 1, 1.5, "", "x", [], [None], {}, {"a": None}], ids=repr)
@pytest.mark.parametrize("field", ["name", "args", "kwargs", "queue", "task_id", "max_retries", "countdown", "other"])
def test_what_does_without_the_schema_is_what_the_schema_would_give_back(field: str, given: Any) -> None:
    value = {"name": "add", field: given}

    if schemas.is_plain(value):
        assert schemas.Submission().load(value) == value
    assert not schemas.is_plain([value])
    assert not schemas.is_plain({"args": [1, 2]})
