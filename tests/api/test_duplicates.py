"""Calls that are the same as one before, over HTTP, on every server."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.states import FINISHED
from minicelery.testing import drain

ADD = {"name": "add", "args": [1, 2]}


def post(http: FlaskClient, body: Any) -> Any:
    return http.post("/tasks", json=body)


def queued(app: MiniCelery) -> int:
    return app.inspector.queue_length("default")


def test_a_duplicate_is_answered_with_the_first_ones_id(http: FlaskClient) -> None:
    first, second = (post(http, {**ADD, "unique_for": 60}) for _ in range(2))

    assert "duplicate" not in first.json
    assert (second.status_code, second.json) == (202, {**first.json, "duplicate": True})
    assert second.headers["Location"] == first.headers["Location"]


def test_duplicates_of_a_batch_are_told_by_their_places(http: FlaskClient, app: MiniCelery) -> None:
    same = {**ADD, "unique_for": 60}

    answer = http.post("/tasks/batch", json={"tasks": [same, ADD, same]}).json

    assert (answer["count"], answer["duplicates"], answer["task_ids"][2]) == (3, [2], answer["task_ids"][0])
    assert set(http.post("/tasks/batch", json={"tasks": [ADD]}).json) == {"count", "task_ids"}
    assert queued(app) == 3


def test_of_a_throttled_duplicate_whose_task_is_gone_no_state_is_told(http: FlaskClient, app: MiniCelery) -> None:
    task_id = post(http, {**ADD, "throttle": 60}).json["task_id"]
    drain(app)
    app.broker.forget(task_id, FINISHED, "n")

    again = post(http, {**ADD, "throttle": 60}).json

    assert (again["task_id"], again["status"], again["duplicate"]) == (task_id, None, True)


def test_a_debounced_call_is_scheduled_with_the_last_arguments(http: FlaskClient) -> None:
    calls = [{"name": "add", "args": [number, 1], "debounce": 60, "unique_key": "k"} for number in range(3)]

    answers = [post(http, body).json for body in calls]

    assert {answer["task_id"] for answer in answers} == {answers[0]["task_id"]}
    assert http.get(f"/tasks/{answers[0]['task_id']}").json["args"] == [2, 1]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"unique_for": 0}, "/unique_for"),
        ({"unique_for": "60"}, "/unique_for"),
        ({"unique_for": 60, "unique_until": "end"}, "/unique_until"),
        ({"unique_for": 60, "throttle": 60}, "/throttle"),
        ({"unique_key": "k"}, "/unique_key"),
        ({"unique_for": 1, "unique_key": 5}, "/unique_key"),
        ({"debounce": 5, "countdown": 5}, "/countdown"),
        ({"debounce": 5, "debounce_max": 1}, "/debounce_max"),
    ],
)
def test_options_that_make_no_sense_are_named(http: FlaskClient, options: Any, pointer: str) -> None:
    refused = post(http, {**ADD, **options})

    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json["errors"]] == [pointer]
