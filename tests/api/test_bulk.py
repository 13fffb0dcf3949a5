"""Retrying and deleting by the thousand over HTTP, on every server."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.testing import drain

RETRY, DELETE, DELETE_TASKS = "/queue/dead-letter/retry", "/queue/dead-letter/delete", "/tasks/delete"


def bury(http: FlaskClient, app: MiniCelery, *ids: str, **more: Any) -> None:
    tasks = [{"name": "fail", "args": ["no"], "task_id": task, **more} for task in ids]
    assert http.post("/tasks/batch", json={"tasks": tasks}).status_code == 202
    drain(app)


def answered(http: FlaskClient, path: str, **body: Any) -> dict[str, Any]:
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


def dead(http: FlaskClient) -> list[str]:
    """The ids of all dead letters, oldest first."""
    listed: Any = http.get("/queue/dead-letter?limit=200").json
    return [task["task_id"] for task in listed["tasks"]][::-1]


def test_many_requests_with_the_cursor_of_the_last_answer_retry_all(http: FlaskClient, app: MiniCelery) -> None:
    bury(http, app, *[f"t{number}" for number in range(7)])

    answers = [answered(http, RETRY, limit=3)]
    while "cursor" in answers[-1]:
        answers.append(answered(http, RETRY, limit=3, cursor=answers[-1]["cursor"]))

    assert [(answer["retried"], answer.get("left")) for answer in answers] == [(3, 4), (3, 1), (1, None)]
    assert http.get("/queue/stats").json["queue_length"] == 7


def test_those_that_are_alike_are_retried_or_deleted(http: FlaskClient, app: MiniCelery) -> None:
    bury(http, app, "a", "b")
    bury(http, app, "c", queue="mail")

    assert http.post(RETRY, json={"error": "KeyError"}).json == {"retried": 0}
    assert http.post(RETRY, json={"name": "fail", "queue": "mail", "error": "ValueError"}).json == {"retried": 1}
    assert http.post(DELETE, json={"newer_than": 3600, "older_than": 1800}).json == {"deleted": 0}
    assert http.post(DELETE, json={"newer_than": 3600}).json == {"deleted": 2}
    assert dead(http) == []


def test_a_selection_goes_on_from_a_cursor_behind_what_it_has_left(http: FlaskClient, app: MiniCelery) -> None:
    bury(http, app, "a", "b")
    bury(http, app, "c", "d", queue="mail")

    first = http.post(DELETE, json={"queue": "mail", "limit": 2}).json
    second = http.post(DELETE, json={"queue": "mail", "limit": 2, "cursor": first["cursor"]}).json

    assert (first["deleted"], first["left"], second) == (0, 2, {"deleted": 2})
    assert dead(http) == ["a", "b"]


def test_a_request_that_is_repeated_does_no_harm(http: FlaskClient, app: MiniCelery) -> None:
    bury(http, app, "a", "b", "c")

    body = {"task_ids": ["a", "none"]}
    answers = [http.post(RETRY, json=body).json for _ in range(2)]

    none = {"task_id": "none", "status": None}
    assert answers == [
        {"retried": 1, "kept": [none]},
        {"retried": 0, "kept": [{"task_id": "a", "status": "PENDING"}, none]},
    ]
    assert [http.post(DELETE, json={"all": True}).json for _ in range(2)] == [{"deleted": 2}, {"deleted": 0}]


@pytest.mark.parametrize("body", [None, {}, {"all": True}], ids=str)
def test_all_dead_letters_are_retried_by_a_request_that_selects_none(
    http: FlaskClient, app: MiniCelery, body: dict[str, bool] | None
) -> None:
    bury(http, app, "a", "b")

    answer = http.post(RETRY, json=body) if body is not None else http.post(RETRY)

    assert answer.json == {"retried": 2}


def test_finished_tasks_are_deleted_and_what_the_others_are_is_told(http: FlaskClient, app: MiniCelery) -> None:
    bury(http, app, "dead")
    http.post("/tasks", json={"name": "add", "args": [1, 2], "task_id": "done"})
    drain(app)
    http.post("/tasks", json={"name": "add", "args": [1, 2], "task_id": "waits"})

    only_dead = http.post(DELETE, json={"task_ids": ["done"]}).json
    answer = http.post(DELETE_TASKS, json={"task_ids": ["dead", "done", "waits"]}).json

    assert only_dead == {"deleted": 0, "kept": [{"task_id": "done", "status": "SUCCESS"}]}
    assert answer == {"deleted": 2, "kept": [{"task_id": "waits", "status": "PENDING"}]}
    assert [http.get(f"/tasks/{task}").status_code for task in ("dead", "done", "waits")] == [404, 404, 200]


@pytest.mark.parametrize(
    ("path", "body", "pointer", "words"),
    [
        (DELETE_TASKS, {}, "/task_ids", "required: a list of ids"),
        (DELETE_TASKS, None, "/task_ids", "required: a list of ids"),
        (DELETE_TASKS, {"task_ids": []}, "/task_ids", "give 1 to 10000 ids"),
        (DELETE_TASKS, {"task_ids": ["a"] * 10_001}, "/task_ids", "give 1 to 10000 ids"),
        (DELETE_TASKS, {"task_ids": ["a", 1]}, "/task_ids/1", "give a string"),
        (DELETE_TASKS, {"task_ids": ["a", "b c"]}, "/task_ids/1", "not a valid name"),
        (RETRY, {"task_ids": "a"}, "/task_ids", "give a list"),
        (RETRY, {"task_ids": ["a"], "queue": "mail"}, "/queue", "does not go with task_ids"),
        (RETRY, {"name": "a b"}, "/name", "not a valid name"),
        (RETRY, {"name": None}, "/name", "give a string"),
        (RETRY, {"queue": "dead_letter"}, "/queue", "reserved"),
        (RETRY, {"error": ""}, "/error", "class"),
        (RETRY, {"older_than": "1h"}, "/older_than", "give a number from 0 to 3155760000, in seconds"),
        (RETRY, {"older_than": 60, "newer_than": 30}, "/newer_than", "give a longer time"),
        (RETRY, {"limit": 0}, "/limit", "give a whole number from 1 to 100000"),
        (RETRY, {"cursor": "x"}, "/cursor", "give that of the last answer"),
        (RETRY, {"all": False}, "/all", "give task_ids, a selection, or all: true"),
        (RETRY, {"all": True, "queue": "mail"}, "/all", "it does not go with a selection"),
        (DELETE, None, "/all", "give task_ids, a selection, or all: true"),
        (DELETE, {"all": False}, "/all", "give task_ids, a selection, or all: true"),
        (DELETE, {"all": True, "name": "fail"}, "/all", "it does not go with a selection"),
        (DELETE, {"all": 1}, "/all", "give true or false"),
    ],
)
def test_a_wrong_request_is_named_and_nothing_is_done(
    http: FlaskClient, app: MiniCelery, path: str, body: Any, pointer: str, words: str
) -> None:
    bury(http, app, "a")

    answer = http.post(path, json=body) if body is not None else http.post(path)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert words in answer.json["detail"]
    assert dead(http) == ["a"]


def test_a_purge_and_a_move_take_no_more_than_their_limit(http: FlaskClient, app: MiniCelery) -> None:
    app.submit_many(app.tasks.find("add").s(number, 1) for number in range(500))

    moved = http.post("/queues/default/move", json={"to": "other", "limit": 100}).json
    purged = http.post("/queues/default/purge", json={"confirm": "default", "limit": 201}).json

    assert (moved, purged) == ({"moved": 200, "left": 300}, {"purged": 300})
    wrong = http.post("/queues/default/move", json={"to": "other", "limit": 0})
    assert wrong.json["errors"][0]["pointer"] == "/limit"


def test_a_tag_with_many_tasks_is_cancelled_by_several_requests(http: FlaskClient, app: MiniCelery) -> None:
    app.submit_many(app.tasks.find("add").s(number, 1).set(tags=["x"]) for number in range(1500))

    answers = [answered(http, "/tasks/cancel", tag="x", limit=500)]
    while "cursor" in answers[-1]:
        answers.append(answered(http, "/tasks/cancel", tag="x", limit=500, cursor=answers[-1]["cursor"]))

    assert sum(answer["cancelled"] for answer in answers) == 1500
    assert 2 <= len(answers) <= 4
    assert answers[0]["left"] == 1500 - answers[0]["cancelled"]
    assert drain(app) == 0


def test_a_task_that_is_seen_twice_under_its_tag_counts_once(
    http: FlaskClient, app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.submit_many(app.tasks.find("add").s(1, 1).set(tags=["x"], task_id=task) for task in "abc")
    parts = {0: (7, ["a", "b", "a"]), 7: (0, ["b", "c"])}
    monkeypatch.setattr(app.inspector, "tagged_part", lambda _, cursor: parts[cursor])

    assert answered(http, "/tasks/cancel", tag="x") == {"cancelled": 3}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"tag": "x", "cursor": "y"}, "/cursor"),
        ({"tag": "x", "cursor": str(2**64)}, "/cursor"),
        ({"tag": "x", "limit": 0}, "/limit"),
        ({"task_ids": ["a"], "limit": 1}, "/limit"),
    ],
)
def test_a_wrong_part_of_a_tag_is_named(http: FlaskClient, body: dict[str, Any], pointer: str) -> None:
    answer = http.post("/tasks/cancel", json=body)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
