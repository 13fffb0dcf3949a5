"""Limits, pauses, purging and moving over HTTP, on every server."""

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.testing import drain


def test_a_paused_queue_says_so_and_gives_nothing_until_it_is_resumed(http: FlaskClient, app: MiniCelery) -> None:
    http.post("/tasks", json={"name": "add", "args": [1, 2], "task_id": "t"})
    paused = http.post("/queues/default/pause", json={"by": "ops", "reason": "a release"})

    assert paused.status_code == 200
    assert (paused.json["kind"], paused.json["name"]) == ("queue", "default")
    assert (paused.json["paused"]["by"], paused.json["paused"]["reason"]) == ("ops", "a release")
    assert drain(app) == 0

    assert http.post("/queues/default/resume").json["paused"] is None
    assert drain(app) == 1


def test_a_pause_needs_no_body(http: FlaskClient) -> None:
    assert http.post("/queues/default/pause").status_code == 200


def test_the_tasks_of_a_paused_name_wait(http: FlaskClient, app: MiniCelery) -> None:
    http.post("/task-names/add/pause", json={})
    http.post("/tasks", json={"name": "add", "args": [1, 2], "task_id": "t"})

    assert drain(app) == 0
    assert http.get("/tasks/t").json["status"] == "WAITING"

    http.post("/task-names/add/resume")
    assert drain(app) == 1


def test_limits_are_set_shown_and_taken_away(http: FlaskClient) -> None:
    http.put("/task-names/mail.send/limits", json={"rate_limit": "100/m"})
    task = http.put("/task-names/mail.send/limits", json={"concurrency": 3}).json
    http.put("/queues/mail/limits", json={"concurrency": 2})

    limits = {"rate_limit": "100/m", "concurrency": 3, "ageing": None}
    assert task == {"kind": "task", "name": "mail.send", **limits, "from_code": [], "paused": None}
    assert [one["concurrency"] for one in http.get("/limits").json["controls"]] == [2, 3]

    assert http.delete("/task-names/mail.send/limits").json["rate_limit"] is None
    assert http.delete("/queues/mail/limits").json["concurrency"] is None
    assert http.get("/limits").json == {"controls": []}


def test_the_ageing_of_a_queue_is_set_beside_its_limit_and_both_are_taken_away(http: FlaskClient) -> None:
    http.put("/queues/mail/limits", json={"ageing": 60})
    queue = http.put("/queues/mail/limits", json={"concurrency": 2}).json

    assert (queue["ageing"], queue["concurrency"], queue["from_code"]) == (60, 2, [])
    assert http.get("/limits").json["controls"] == [queue]

    cleared = http.delete("/queues/mail/limits").json
    assert (cleared["ageing"], cleared["concurrency"]) == (None, None)
    assert http.get("/limits").json == {"controls": []}


def test_what_the_code_says_of_a_queue_is_shown_as_such(http: FlaskClient, app: MiniCelery) -> None:
    app.broker.beat({"w": '{"settings":["queue/mail 3:60.000"]}'}, 60, {"mail": "3:60.000"})
    http.put("/queues/mail/limits", json={"ageing": 5})

    [mail] = http.get("/limits").json["controls"]

    assert (mail["concurrency"], mail["ageing"], mail["from_code"]) == (3, 5, ["concurrency"])


def test_a_purge_is_confirmed_by_the_name_of_the_queue(http: FlaskClient, app: MiniCelery) -> None:
    for number in range(3):
        http.post("/tasks", json={"name": "add", "args": [number, 2], "task_id": f"t{number}", "priority": number * 4})

    assert http.post("/queues/default/purge", json={"confirm": "other"}).json["errors"][0]["pointer"] == "/confirm"
    assert http.post("/queues/default/purge", json={}).status_code == 422
    assert http.get("/queue/stats").json["queue_length"] == 3

    assert http.post("/queues/default/purge", json={"confirm": "default"}).json == {"purged": 3}
    assert http.get("/queue/stats").json["queue_length"] == 0
    assert {http.get(f"/tasks/t{number}").json["status"] for number in range(3)} == {"CANCELLED"}
    assert [str(violation) for violation in app.doctor.violations()] == []


def test_a_queue_is_moved_in_order_and_with_its_priorities(http: FlaskClient, app: MiniCelery) -> None:
    http.post("/tasks", json={"name": "echo", "args": ["there"], "queue": "later", "task_id": "there"})
    for task, priority in (("first", 5), ("second", 5), ("urgent", 9)):
        http.post("/tasks", json={"name": "echo", "args": [task], "task_id": task, "priority": priority})

    assert http.post("/queues/default/move", json={"to": "later"}).json == {"moved": 3}

    assert http.get("/queue/stats?queue=later").json["queue_length"] == 4
    assert http.get("/tasks/first").json["queue"] == "later"
    assert [str(violation) for violation in app.doctor.violations()] == []
    drain(app)
    began = sorted(
        ["there", "first", "second", "urgent"], key=lambda task: http.get(f"/tasks/{task}").json["updated_at"]
    )
    assert began.index("urgent") < began.index("first") < began.index("second")


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("PUT", "/task-names/add/limits", {}, "/rate_limit"),
        ("PUT", "/task-names/add/limits", {"rate_limit": "fast"}, "/rate_limit"),
        ("PUT", "/task-names/add/limits", {"rate_limit": 5}, "/rate_limit"),
        ("PUT", "/task-names/add/limits", {"concurrency": 0}, "/concurrency"),
        ("PUT", "/task-names/a%20b/limits", {"concurrency": 1}, "/name"),
        ("PUT", "/queues/dead_letter/limits", {"concurrency": 1}, "/queue"),
        ("PUT", "/queues/mail/limits", {}, "/concurrency"),
        ("PUT", "/queues/mail/limits", {"rate": "1/s"}, "/rate"),
        ("PUT", "/queues/mail/limits", {"ageing": 0}, "/ageing"),
        ("PUT", "/queues/mail/limits", {"ageing": "60"}, "/ageing"),
        ("PUT", "/task-names/add/limits", {"ageing": 60}, "/ageing"),
        ("POST", "/queues/mail/pause", {"by": 5}, "/by"),
        ("POST", "/queues/mail/pause", {"reason": "x" * 201}, "/reason"),
        ("POST", "/queues/mail/move", {}, "/to"),
        ("POST", "/queues/mail/move", {"to": "mail"}, "/to"),
        ("POST", "/queues/mail/move", {"to": "a b"}, "/to"),
    ],
)
def test_what_is_wrong_is_named(http: FlaskClient, method: str, path: str, body: object, pointer: str) -> None:
    answer = http.open(path, method=method, json=body)

    assert answer.status_code == 422
    assert pointer in [fault["pointer"] for fault in answer.json["errors"]]
    assert http.get("/limits").json == {"controls": []}


def test_why_a_task_waits_is_told(http: FlaskClient) -> None:
    http.post("/queues/default/pause", json={"by": "ops"})
    http.post("/tasks", json={"name": "add", "args": [1, 2], "task_id": "t"})

    why = http.get("/tasks/t/why").json

    assert (why["task_id"], why["status"], why["position"]) == ("t", "PENDING", 1)
    assert "queue default is paused by ops" in why["reasons"]
    assert http.get("/tasks/nobody/why").status_code == 404
