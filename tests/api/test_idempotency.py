"""Requests that are sent again under an Idempotency-Key, on every server."""

import threading
from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.dispatch import BATCH
from minicelery.errors import IdempotencyKeyReused, RedisFull
from minicelery.states import FINISHED, Status
from minicelery.testing import drain
from minicelery.web import create_app
from tests.api.conftest import declare

ADD = {"name": "add", "args": [1, 2]}


def post(http: FlaskClient, body: Any, key: str | None = "k", path: str = "/tasks") -> Any:
    return http.post(path, json=body, headers={"Idempotency-Key": key} if key is not None else {})


def batch(http: FlaskClient, *tasks: Any, key: str = "k") -> Any:
    return post(http, {"tasks": list(tasks)}, key, "/tasks/batch")


def queued(app: MiniCelery) -> int:
    return app.inspector.queue_length("default")


def test_a_repeated_request_gets_the_first_answer_and_says_so(http: FlaskClient, app: MiniCelery) -> None:
    first, again = post(http, ADD), post(http, ADD)

    assert (first.status_code, first.json["status"]) == (202, "PENDING")
    assert (again.status_code, again.json, again.headers["Location"]) == (202, first.json, first.headers["Location"])
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert queued(app) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_the_first_answer_outlives_its_task(http: FlaskClient, app: MiniCelery, gone: bool) -> None:
    first = post(http, ADD)
    drain(app)
    if gone:
        app.broker.forget(first.json["task_id"], FINISHED, "n")

    again = post(http, ADD)

    assert again.json == first.json
    assert queued(app) == 0


def test_the_order_of_names_makes_no_other_request(http: FlaskClient, app: MiniCelery) -> None:
    first, again = post(http, ADD), post(http, dict(reversed(ADD.items())))

    assert again.json["task_id"] == first.json["task_id"]


@pytest.mark.parametrize(
    "body", [{"name": "add", "args": [1, 3]}, {**ADD, "queue": "mail"}, {**ADD, "task_id": "mine"}]
)
def test_another_body_under_the_same_key_is_refused(http: FlaskClient, app: MiniCelery, body: Any) -> None:
    post(http, ADD)

    refused = post(http, body)

    assert refused.status_code == 422
    assert "another request was sent with this Idempotency-Key before; use a fresh key" in refused.json["detail"]
    assert len(list(app.inspector.task_ids())) == 1


def test_another_route_under_the_same_key_is_refused(http: FlaskClient) -> None:
    post(http, ADD)

    assert batch(http, ADD).status_code == 422


def test_other_keys_are_other_requests(http: FlaskClient, app: MiniCelery) -> None:
    ids = {post(http, ADD, key).json["task_id"] for key in ("k", "K", "k.", None, None)}

    assert (len(ids), queued(app)) == (5, 5)


@pytest.mark.parametrize("key", ["", "x" * 256, "ké", "a\tb"])
def test_what_is_no_key_is_refused(http: FlaskClient, app: MiniCelery, key: str) -> None:
    refused = post(http, ADD, key)

    assert refused.status_code == 400
    assert "the header Idempotency-Key is not 1 to 255 printable ASCII characters" in refused.json["detail"]
    assert list(app.inspector.task_ids()) == []


def test_a_request_that_was_refused_has_used_no_key(http: FlaskClient) -> None:
    assert post(http, {"name": "add", "args": [1]}).status_code == 422

    assert post(http, ADD).status_code == 202


def test_a_taken_id_has_used_no_key(http: FlaskClient, app: MiniCelery) -> None:
    post(http, {**ADD, "task_id": "mine"}, None)
    body = {"name": "add", "args": [5, 5], "task_id": "mine"}

    assert post(http, body).status_code == 409
    drain(app)
    app.broker.forget("mine", FINISHED, "n")

    assert post(http, body).status_code == 202


def test_a_key_is_kept_as_long_as_the_setting_says(http: FlaskClient, app: MiniCelery) -> None:
    post(http, ADD)

    [key] = app.clients.commands.scan_iter(f"{app.keys.prefix}idempotency:*")
    assert 86_300_000 < app.clients.commands.pttl(key) <= 86_400_000


def test_a_batch_is_submitted_once(http: FlaskClient, app: MiniCelery) -> None:
    tasks = [{"name": "add", "args": [number, 1]} for number in range(2 * BATCH + 50)]

    first = batch(http, *tasks)
    drain(app)
    again = batch(http, *tasks)

    assert (first.status_code, first.json["count"]) == (202, 450)
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert queued(app) == 0


def test_a_batch_that_broke_off_is_completed_by_its_repeat(
    http: FlaskClient, app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [{"name": "add", "args": [number, 1]} for number in range(BATCH + 50)]
    whole = app.broker.enqueue_each

    def half(batches: Any) -> Any:
        yield from whole(batches[:1])
        raise RedisFull("full")

    monkeypatch.setattr(app.broker, "enqueue_each", half)
    broken = batch(http, *tasks)
    monkeypatch.undo()
    there = set(app.inspector.task_ids())
    again = batch(http, *tasks)

    assert (broken.status_code, len(there), "task_ids" in broken.json) == (503, BATCH, False)
    assert (again.status_code, queued(app)) == (202, BATCH + 50)
    assert set(again.json["task_ids"][:BATCH]) == there
    assert "Idempotent-Replayed" not in again.headers, "not all of it is from before"
    assert batch(http, *tasks).json == again.json


def test_parts_of_a_batch_that_come_in_any_order_belong_to_one_request(http: FlaskClient, app: MiniCelery) -> None:
    """A part that has to be sent again may come behind the next one, and another request in between."""
    ask = [app.message("add", [1, part])._replace(more=f'{{"idempotency":"k mine {part} 60000"}}') for part in (0, 1)]
    other = ask[0]._replace(id="other", more='{"idempotency":"k theirs 0 60000"}')

    assert app.broker.enqueue([ask[1]]) == [Status.PENDING]
    with pytest.raises(IdempotencyKeyReused):
        app.broker.enqueue([other])
    assert app.broker.enqueue([ask[0]]) == [Status.PENDING]
    assert queued(app) == 2


def test_a_batch_with_a_taken_id_is_answered_alike_again(http: FlaskClient, app: MiniCelery) -> None:
    post(http, {"name": "add", "args": [5, 5], "task_id": "mine"}, None)

    first = batch(http, ADD, {**ADD, "task_id": "mine"})
    again = batch(http, ADD, {**ADD, "task_id": "mine"})

    assert (first.status_code, again.status_code) == (409, 409)
    assert again.json == first.json
    assert [fault["pointer"] for fault in again.json["errors"]] == ["/tasks/1/task_id"]
    assert queued(app) == 2


def test_a_key_that_another_program_has_overwritten_is_told(http: FlaskClient, app: MiniCelery) -> None:
    post(http, ADD)
    [key] = app.clients.commands.scan_iter(f"{app.keys.prefix}idempotency:*")
    app.clients.commands.set(key, "theirs")

    assert post(http, ADD).status_code == 503
    app.clients.commands.delete(key)


def test_many_requests_at_once_under_one_key_are_one_task(real_app: MiniCelery) -> None:
    declare(real_app)
    flask_app = create_app(real_app)
    bodies: list[str] = []

    def ask() -> None:
        client = flask_app.test_client()
        bodies.extend(post(client, ADD).json["task_id"] for _ in range(12))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(bodies), len(set(bodies)), queued(real_app)) == (96, 1, 1)


def test_a_duplicate_under_a_key_is_replayed_as_one(http: FlaskClient, app: MiniCelery) -> None:
    post(http, {**ADD, "unique_for": 60}, None)
    first = post(http, {**ADD, "unique_for": 60})
    drain(app)

    assert first.json["duplicate"] is True
    assert post(http, {**ADD, "unique_for": 60}).json == first.json
