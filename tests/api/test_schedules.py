"""Schedules over HTTP, on every server."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery

NEW = {
    "name": "nightly",
    "task": {"name": "add", "args": [1, 2]},
    "cron": "0 2 * * *",
    "timezone": "Europe/Vienna",
    "missed": "all",
    "most": 3,
}


@pytest.fixture
def nightly(http: FlaskClient) -> dict[str, Any]:
    added = http.post("/schedules", json=NEW)
    assert (added.status_code, added.headers["Location"]) == (201, "/schedules/nightly")
    return dict(added.json)


def test_a_schedule_is_added_read_and_listed(http: FlaskClient, nightly: dict[str, Any]) -> None:
    assert nightly["task"] == {"name": "add", "args": [1, 2], "kwargs": {}, "queue": "default", "max_retries": 3}
    assert {name: nightly[name] for name in ("cron", "timezone", "every", "missed", "most")} == {
        "cron": "0 2 * * *",
        "timezone": "Europe/Vienna",
        "every": None,
        "missed": "all",
        "most": 3,
    }
    assert nightly["words"] == "At 02:00 every day, Europe/Vienna"
    assert http.get("/schedules/nightly").json == nightly
    assert http.get("/schedules").json == {"count": 1, "schedules": [nightly]}


def test_a_schedule_is_changed_paused_resumed_and_deleted(http: FlaskClient, nightly: dict[str, Any]) -> None:
    changed = http.patch("/schedules/nightly", json={"every": 60, "task": {"name": "add", "args": [3, 4]}})
    assert (changed.status_code, changed.json["words"], changed.json["task"]["args"]) == (200, "Every minute", [3, 4])
    assert changed.json["missed"] == "all"

    paused = http.post("/schedules/nightly/pause").json
    assert (paused["paused"], paused["next"]) == (True, None)
    resumed = http.post("/schedules/nightly/resume").json
    assert not resumed["paused"]
    assert resumed["next"]

    assert http.delete("/schedules/nightly").status_code == 204
    assert http.get("/schedules/nightly").status_code == 404


def test_a_schedule_is_run_now(http: FlaskClient, nightly: dict[str, Any]) -> None:
    run = http.post("/schedules/nightly/run")

    assert (run.status_code, run.json["status"]) == (202, "PENDING")
    assert run.headers["Location"] == f"/tasks/{run.json['task_id']}"
    assert http.get(run.headers["Location"]).json["args"] == [1, 2]
    last = http.get("/schedules/nightly").json["last"]
    assert (last["task_id"], last["due"], last["status"]) == (run.json["task_id"], None, "PENDING")


def test_a_unique_task_is_run_now_once(http: FlaskClient, app: MiniCelery) -> None:
    task = {"name": "add", "args": [1, 2], "throttle": 60}
    http.post("/schedules", json={"name": "s", "task": task, "every": 3600})
    first = dict(http.post("/schedules/s/run").json or {})

    assert http.post("/schedules/s/run").json == {**first, "duplicate": True}

    assert http.get("/schedules/s").json["last"]["duplicate"] is True
    app.clients.commands.delete(app.keys.task(first["task_id"]))
    gone = http.post("/schedules/s/run")
    assert (gone.status_code, gone.json) == (202, {**first, "status": None, "duplicate": True})


def test_a_rule_is_told_in_words_with_its_next_times(http: FlaskClient) -> None:
    preview = http.post("/schedules/preview", json={"cron": "0 0 1 1 *", "timezone": "Europe/Vienna", "count": 2})

    assert preview.status_code == 200
    assert preview.json["words"] == "At 00:00 on January 1, Europe/Vienna"
    assert [moment[4:] for moment in preview.json["next"]] == ["-01-01T00:00:00+01:00"] * 2
    assert len(http.post("/schedules/preview", json={"every": 5}).json["next"]) == 5


@pytest.mark.parametrize(
    ("change", "pointer", "told"),
    [
        ({"cron": "61 2 * * *"}, "/cron", "bad minute"),
        ({"cron": 5}, "/cron", "give a string"),
        ({"timezone": "Europe/Viena"}, "/timezone", "did you mean 'Europe/Vienna'"),
        ({"every": 5}, "/every", "not both"),
        ({"every": "5"}, "/every", "whole number"),
        ({"missed": "never"}, "/missed", "skip, once or all"),
        ({"most": 0}, "/most", "whole number"),
        ({"name": "a b"}, "/name", "not a valid name"),
        ({"task": {"name": "ad"}}, "/task/name", "did you mean 'add'"),
        ({"task": {"name": "add", "args": [1]}}, "/task/args", "missing"),
        ({"task": {"name": "add", "args": [1, 2], "eta": "2030-01-31T12:00:00Z"}}, "/task/eta", "leave it out"),
        ({"task": {"name": "add", "arg": [1, 2]}}, "/task/arg", "did you mean 'args'"),
        ({"task": 5}, "/task", "give an object"),
        ({"tsk": 5}, "/tsk", "did you mean 'task'"),
    ],
)
def test_a_wrong_field_is_named_with_the_reason_and_nothing_is_added(
    http: FlaskClient, change: dict[str, Any], pointer: str, told: str
) -> None:
    refused = http.post("/schedules", json=NEW | change)

    assert refused.status_code == 422
    [error] = refused.json["errors"]
    assert error["pointer"] == pointer
    assert told in error["detail"]
    assert http.get("/schedules").json["count"] == 0


def test_what_can_not_be_is_told_by_the_status(http: FlaskClient, nightly: dict[str, Any], app: MiniCelery) -> None:
    assert http.post("/schedules", json=NEW).status_code == 409
    assert http.post("/schedules", json={}).status_code == 422
    assert {error["pointer"] for error in http.post("/schedules", json={}).json["errors"]} == {"/name", "/task"}
    assert http.patch("/schedules/none", json={"every": 5}).status_code == 404
    assert [http.post(f"/schedules/none/{what}").status_code for what in ("run", "pause", "resume")] == [404] * 3
    assert http.delete("/schedules/none").status_code == 404
    app.clients.commands.hset(app.keys.schedule("nightly"), "origin", "code")
    assert http.patch("/schedules/nightly", json={"every": 5}).status_code == 409


def test_a_page_elsewhere_can_change_no_schedule(http: FlaskClient, nightly: dict[str, Any]) -> None:
    foreign = {"Origin": "http://evil.example"}

    assert http.post("/schedules/nightly/run", headers=foreign).status_code == 403
    assert http.delete("/schedules/nightly", headers=foreign).status_code == 403
    assert http.patch("/schedules/nightly", json={"every": 5}, headers=foreign).status_code == 403
    assert http.get("/schedules/nightly").json == nightly
