"""Cancelling over HTTP, on every server."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.testing import drain


def submit(http: FlaskClient, **more: Any) -> str:
    answer = http.post("/tasks", json={"name": "add", "args": [1, 2], **more})
    assert answer.status_code == 202
    return str(answer.json["task_id"])


def test_a_task_that_waits_is_cancelled_and_never_runs(http: FlaskClient, app: MiniCelery) -> None:
    task = submit(http)

    answers = [http.post(f"/tasks/{task}/cancel") for _ in range(2)]

    assert [(answer.status_code, answer.json) for answer in answers] == [
        (200, {"task_id": task, "status": "CANCELLED"})
    ] * 2
    assert drain(app) == 0
    assert http.get(f"/tasks/{task}").json["status"] == "CANCELLED"


@pytest.mark.parametrize("body", [{}, {"interrupt": False}, {"interrupt": True}])
def test_the_body_may_say_how_to_cancel(http: FlaskClient, body: dict[str, bool]) -> None:
    assert http.post(f"/tasks/{submit(http)}/cancel", json=body).status_code == 200


def test_what_has_finished_is_not_cancelled_any_more(http: FlaskClient, app: MiniCelery) -> None:
    task = submit(http)
    drain(app)

    answer = http.post(f"/tasks/{task}/cancel")

    assert (answer.status_code, answer.content_type) == (409, "application/problem+json")
    assert "is SUCCESS" in answer.json["detail"]
    assert http.get(f"/tasks/{task}").json["result"] == 3


@pytest.mark.parametrize("task", ["none", "a%20b", "%7Ba%7D"])
def test_what_is_not_there_is_404(http: FlaskClient, task: str) -> None:
    answer = http.post(f"/tasks/{task}/cancel")

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"interrupt": 1}, "/interrupt", "give true or false"),
        ({"interrupt": "yes"}, "/interrupt", "give true or false"),
        ({"interrupt": None}, "/interrupt", "give true or false"),
        ({"interupt": True}, "/interupt", "did you mean 'interrupt'"),
    ],
)
def test_a_wrong_way_to_cancel_is_named_and_nothing_is_done(
    http: FlaskClient, body: dict[str, Any], pointer: str, words: str
) -> None:
    task = submit(http)

    answer = http.post(f"/tasks/{task}/cancel", json=body)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert words in answer.json["detail"]
    assert http.get(f"/tasks/{task}").json["status"] == "PENDING"


def test_several_are_cancelled_by_their_ids(http: FlaskClient, app: MiniCelery) -> None:
    done = submit(http)
    drain(app)
    waiting = [submit(http), submit(http, countdown=60)]

    answer = http.post("/tasks/cancel", json={"task_ids": [done, *waiting, "none"]})

    assert (answer.status_code, answer.json) == (200, {"cancelled": 2})
    assert {http.get(f"/tasks/{task}").json["status"] for task in waiting} == {"CANCELLED"}


def test_all_of_a_tag_are_cancelled(http: FlaskClient) -> None:
    tagged, other = submit(http, tags=["tenant:7", "x"]), submit(http, tags=["tenant:70"])

    answers = [http.post("/tasks/cancel", json={"tag": "tenant:7"}).json for _ in range(2)]

    assert answers == [{"cancelled": 1}, {"cancelled": 0}]
    assert [http.get(f"/tasks/{task}").json["status"] for task in (tagged, other)] == ["CANCELLED", "PENDING"]


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "/task_ids", "give task_ids or tag"),
        (None, "/task_ids", "give task_ids or tag"),
        ({"task_ids": ["a"], "tag": "x"}, "/tag", "it does not go with task_ids"),
        ({"task_ids": []}, "/task_ids", "give 1 to 10000 ids"),
        ({"task_ids": "a"}, "/task_ids", "give a list"),
        ({"task_ids": None}, "/task_ids", "give a list"),
        ({"task_ids": ["a", 1]}, "/task_ids/1", "give a string"),
        ({"task_ids": ["a", None]}, "/task_ids/1", "give a string"),
        ({"task_ids": ["a", "b c"]}, "/task_ids/1", "not a valid name"),
        ({"tag": 7}, "/tag", "give a string"),
        ({"tag": None}, "/tag", "give a string"),
        ({"tag": "a b"}, "/tag", "not a valid name"),
        ({"tag": "x", "interrupt": 0}, "/interrupt", "give true or false"),
    ],
)
def test_a_wrong_request_to_cancel_several_is_named(http: FlaskClient, body: Any, pointer: str, words: str) -> None:
    answer = http.post("/tasks/cancel", json=body) if body is not None else http.post("/tasks/cancel")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert words in answer.json["detail"]


def test_a_list_of_ids_that_is_no_json_is_400(http: FlaskClient) -> None:
    assert http.post("/tasks/cancel", data=b"{", content_type="application/json").status_code == 400
