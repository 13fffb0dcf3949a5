"""Tasks over HTTP, on every server."""

import json
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.testing import drain


def post(http: FlaskClient, **body: Any) -> Any:
    return http.post("/tasks", json=body)


def test_a_submitted_task_is_accepted_with_its_place_and_its_id(http: FlaskClient) -> None:
    response = http.post("/tasks", json={"name": "add", "args": [10, 20], "max_retries": 3})

    assert response.status_code == 202
    assert set(response.json) == {"task_id", "status", "max_retries"}
    assert (response.json["status"], response.json["max_retries"]) == ("PENDING", 3)
    assert response.headers["Location"] == f"/tasks/{response.json['task_id']}"


def test_a_task_is_read_before_and_after_its_run(http: FlaskClient, app: MiniCelery) -> None:
    place = post(http, name="add", args=[10, 20]).headers["Location"]

    before = http.get(place).json
    drain(app)
    after = http.get(place).json

    named = ["task_id", "status", "result", "error", "retry_count", "max_retries", "created_at", "updated_at"]
    assert list(before)[:8] == named
    assert (before["status"], before["result"], before["error"]) == ("PENDING", None, None)
    assert (after["status"], after["result"], after["error"], after["retry_count"]) == ("SUCCESS", 30, None, 0)
    assert after["created_at"] <= after["updated_at"]


def test_a_failed_task_tells_type_message_and_traceback(http: FlaskClient, app: MiniCelery) -> None:
    place = post(http, name="fail", args=["broken"]).headers["Location"]
    drain(app)

    state = http.get(place).json

    assert state["status"] == "FAILED"
    assert (state["error"]["type"], state["error"]["message"]) == ("ValueError", "broken")
    assert state["error"]["traceback"].rstrip().endswith("ValueError: broken")


@pytest.mark.parametrize("when", [{"countdown": 60}, {"countdown": 0.5}, {"eta": "2999-01-01T00:00:00+01:00"}])
def test_a_task_for_later_is_scheduled(http: FlaskClient, when: dict[str, Any]) -> None:
    response = post(http, name="add", args=[1, 2], **when)

    assert (response.status_code, response.json["status"]) == (202, "SCHEDULED")


def test_tasks_of_one_fair_key_take_turns_with_others(http: FlaskClient, app: MiniCelery) -> None:
    first = post(http, name="add", args=[1, 2], fair_key="acme")
    batch = [{"name": "add", "args": [1, 2], "fair_key": key} for key in ("acme", "other", None)]
    ids = [first.json["task_id"], *http.post("/tasks/batch", json={"tasks": batch}).json["task_ids"]]

    shown = [http.get(f"/tasks/{task_id}").json for task_id in ids]

    assert first.json["status"] == "PENDING"
    assert [task["fair_key"] for task in shown] == ["acme", "acme", "other", None]
    assert [task["status"] for task in shown] == ["PENDING", "WAITING", "PENDING", "PENDING"]
    assert http.get(f"/tasks/{ids[1]}/why").json["reasons"][0].startswith("waits for its turn: 2. of acme")
    assert http.get("/queue/stats").json["queue_length"] == 4
    drain(app)
    assert {http.get(f"/tasks/{task_id}").json["status"] for task_id in ids} == {"SUCCESS"}


def test_kwargs_and_queue_are_taken(http: FlaskClient) -> None:
    task_id = post(http, name="add", kwargs={"x": 1, "y": 2}, queue="mail").json["task_id"]

    state = http.get(f"/tasks/{task_id}").json

    assert (state["kwargs"], state["queue"]) == ({"x": 1, "y": 2}, "mail")
    assert http.get("/queue/stats?queue=mail").json == {"queue_length": 1, "queue_name": "queue:mail"}
    assert http.get("/queue/stats").json == {"queue_length": 0, "queue_name": "queue:default"}


@pytest.mark.parametrize(
    "value",
    [None, "ünïcödé 🎉 \u2028", 2**53 + 1, -(2**70), [], {}, [[None]], {"": {"a": []}}, 1e-320, 0.1, True, "\\u0000"],
)
def test_a_value_passes_through_unchanged(http: FlaskClient, app: MiniCelery, value: Any) -> None:
    place = post(http, name="echo", args=[value]).headers["Location"]
    drain(app)

    state = json.loads(http.get(place).data)

    assert (state["args"], state["result"]) == ([value], value)
    assert type(state["result"]) is type(value)


def test_priority_expiry_and_tags_are_taken_and_shown(http: FlaskClient) -> None:
    more = {"priority": 9, "expires": "2999-01-01T01:00:00+01:00", "tags": ["a", "tenant:7", "a"]}
    task_id = post(http, name="add", args=[1, 2], **more).json["task_id"]
    plain_id = post(http, name="add", args=[1, 2], priority=None, expires=None, tags=None).json["task_id"]

    task, plain = (http.get(f"/tasks/{each}").json for each in (task_id, plain_id))

    shown = ("priority", "expires", "tags")
    assert [task[name] for name in shown] == [9, "2999-01-01T00:00:00.000Z", ["a", "tenant:7"]]
    assert [plain[name] for name in shown] == [5, None, []]
    assert http.get("/queue/stats").json["queue_length"] == 2


def test_seconds_until_it_expires_count_from_its_submission(http: FlaskClient) -> None:
    place = post(http, name="add", args=[1, 2], expires=90.5).headers["Location"]

    state = http.get(place).json

    moments = [datetime.fromisoformat(state[name]) for name in ("created_at", "expires")]
    assert (moments[1] - moments[0]).total_seconds() == pytest.approx(90.5, abs=0.002)


def test_the_same_call_with_the_same_id_is_the_same_task_and_another_call_is_refused(http: FlaskClient) -> None:
    first = post(http, name="add", args=[1, 2], task_id="order-7")
    again = post(http, name="add", args=[1, 2], task_id="order-7")
    other = post(http, name="add", args=[1, 3], task_id="order-7")

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert other.json["errors"][0]["pointer"] == "/task_id"
    assert http.get("/queue/stats").json["queue_length"] == 1


BAD = [
    ({"name": "ad", "args": [1, 2]}, "/name", "did you mean 'add'"),
    ({"args": [1, 2]}, "/name", "required"),
    ({"name": 3}, "/name", "give a string"),
    ({"name": None}, "/name", "give a string"),
    ({"name": "add", "args": [1, 2, 3]}, "/args/2", "too many positional arguments"),
    ({"name": "add", "args": [1]}, "/args", "missing a required argument: 'y'"),
    ({"name": "add", "args": [1], "kwargs": {"z": 2}}, "/kwargs/z", "'z'"),
    ({"name": "add", "args": [1, 2], "kwargs": {"x": 2}}, "/kwargs/x", "multiple values"),
    ({"name": "add", "args": "12"}, "/args", "give a list"),
    ({"name": "add", "args": {"x": 1}}, "/args", "give a list"),
    ({"name": "add", "kwargs": [1]}, "/kwargs", "give an object"),
    ({"name": "add", "args": [1, 2], "max_retry": 3}, "/max_retry", "did you mean 'max_retries'"),
    ({"name": "add", "args": [1, 2], "max_retries": "3"}, "/max_retries", "give a whole number from 0 to 1000"),
    ({"name": "add", "args": [1, 2], "max_retries": 3.7}, "/max_retries", "give a whole number from 0 to 1000"),
    ({"name": "add", "args": [1, 2], "max_retries": True}, "/max_retries", "give a whole number from 0 to 1000"),
    ({"name": "add", "args": [1, 2], "max_retries": -1}, "/max_retries", "give a whole number from 0 to 1000"),
    ({"name": "add", "args": [1, 2], "queue": "dead_letter"}, "/queue", "reserved"),
    ({"name": "add", "args": [1, 2], "queue": "a b"}, "/queue", "not a valid name"),
    ({"name": "add", "args": [1, 2], "queue": "x" * 129}, "/queue", "not a valid name"),
    ({"name": "add", "args": [1, 2], "queue": "a\n"}, "/queue", "not a valid name"),
    ({"name": "add", "args": [1, 2], "task_id": ".."}, "/task_id", "not dots alone"),
    ({"name": "add", "args": [1, 2], "task_id": "{a}"}, "/task_id", "not a valid name"),
    ({"name": "add", "args": [1, 2], "countdown": "10"}, "/countdown", "give a number from 0 to 31622400"),
    ({"name": "add", "args": [1, 2], "countdown": -1}, "/countdown", "give a number from 0 to 31622400"),
    ({"name": "add", "args": [1, 2], "countdown": 1, "eta": "2999-01-01T00:00:00Z"}, "/eta", "not both"),
    ({"name": "add", "args": [1, 2], "time_limit": 0}, "/time_limit", "give a number from 0.1 to 31622400"),
    ({"name": "add", "args": [1, 2], "soft_time_limit": "5"}, "/soft_time_limit", "give a number from 0.1"),
    ({"name": "add", "args": [1, 2], "soft_time_limit": 2, "time_limit": 1}, "/soft_time_limit", "not less than"),
    ({"name": "add", "args": [1, 2], "ignore_result": 1}, "/ignore_result", "give true or false"),
    ({"name": "add", "args": [1, 2], "eta": "tomorrow"}, "/eta", "give a moment with its time zone"),
    ({"name": "add", "args": [1, 2], "eta": "2999-01-01T00:00:00"}, "/eta", "give a moment with its time zone"),
    ({"name": "add", "args": [1, 2], "eta": "9999-12-31T23:59:59-12:00"}, "/eta", "too far away"),
    ({"name": "add", "args": [1, 2], "priority": 10}, "/priority", "give a whole number from 0 to 9"),
    ({"name": "add", "args": [1, 2], "priority": -1}, "/priority", "give a whole number from 0 to 9"),
    ({"name": "add", "args": [1, 2], "priority": "9"}, "/priority", "give a whole number from 0 to 9"),
    ({"name": "add", "args": [1, 2], "priority": True}, "/priority", "give a whole number from 0 to 9"),
    ({"name": "add", "args": [1, 2], "expires": 0}, "/expires", "use more than 0"),
    ({"name": "add", "args": [1, 2], "expires": -1}, "/expires", "give a number from 0"),
    ({"name": "add", "args": [1, 2], "expires": True}, "/expires", "give a number from 0"),
    ({"name": "add", "args": [1, 2], "expires": []}, "/expires", "give a number from 0"),
    ({"name": "add", "args": [1, 2], "expires": "60"}, "/expires", "give a moment with its time zone"),
    ({"name": "add", "args": [1, 2], "expires": "2999-01-01T00:00:00"}, "/expires", "give a moment with its time zone"),
    ({"name": "add", "args": [1, 2], "expires": 5, "countdown": 5}, "/expires", "before it is due"),
    ({"name": "add", "args": [1, 2], "tags": "x"}, "/tags", "give a list"),
    ({"name": "add", "args": [1, 2], "fair_key": 7}, "/fair_key", "give a string"),
    ({"name": "add", "args": [1, 2], "fair_key": ""}, "/fair_key", "1 to 1000 characters"),
    ({"name": "add", "args": [1, 2], "tags": ["x", 3]}, "/tags/1", "give a string"),
    ({"name": "add", "args": [1, 2], "tags": ["x", None]}, "/tags/1", "give a string"),
    ({"name": "add", "args": [1, 2], "tags": ["x", "a b"]}, "/tags/1", "not a valid name"),
    ({"name": "add", "args": [1, 2], "tags": [f"t{number}" for number in range(21)]}, "/tags", "20 at most"),
    ({"name": "echo", "args": ["a\x00b"]}, "/args/0", "NUL"),
    ({"name": "echo", "args": [{"a\x00": 1}]}, "/args/0", "NUL"),
]


@pytest.mark.parametrize(("body", "pointer", "words"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_wrong_field_is_named_with_the_reason_and_nothing_is_written(
    http: FlaskClient, app: MiniCelery, body: dict[str, Any], pointer: str, words: str
) -> None:
    response = http.post("/tasks", json=body)

    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert response.json["errors"][0]["pointer"] == pointer
    assert words in response.json["detail"]
    assert list(app.inspector.task_ids()) == []


RAW = [
    (b"", "not JSON"),
    (b'{"name": ', "not JSON"),
    (b"\xff\xfe", "UTF-8"),
    (b'{"name": "add", "args": [NaN, 1]}', "NaN"),
    (b'{"name": "add", "args": [-Infinity, 1]}', "-Infinity"),
    (b'{"name": "add", "name": "fail"}', "stands twice"),
    (b'{"name": "echo", "args": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "too deeply"),
    (b'{"name": "echo", "args": [' + b"9" * 5_000 + b"]}", "digits"),
]


@pytest.mark.parametrize(("raw", "words"), RAW, ids=[str(number) for number in range(len(RAW))])
def test_what_is_not_json_is_refused_with_the_reason(http: FlaskClient, raw: bytes, words: str) -> None:
    response = http.post("/tasks", data=raw, content_type="application/json")

    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert words in response.json["detail"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": "echo", "args": [1e400]}',
        b'{"name": "echo", "args": ["\\ud800"]}',
        b'{"name":"echo","args":[' + b"[" * 80 + b"]" * 80 + b"]}",
    ],
)
def test_json_that_could_not_come_back_unchanged_is_refused(http: FlaskClient, raw: bytes) -> None:
    response = http.post("/tasks", data=raw, content_type="application/json")

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"].startswith("/args/0")


@pytest.mark.parametrize("body", [[], "add", 3, None, True])
def test_a_body_that_is_no_object_is_refused(http: FlaskClient, body: Any) -> None:
    assert http.post("/tasks", data=json.dumps(body), content_type="application/json").status_code == 422


def test_a_body_of_another_type_is_refused(http: FlaskClient) -> None:
    response = http.post("/tasks", data='{"name": "add"}', content_type="text/plain")

    assert (response.status_code, response.content_type) == (415, "application/problem+json")


def test_a_body_over_the_limit_is_refused(http: FlaskClient) -> None:
    response = http.post("/tasks", json={"name": "echo", "args": ["x" * 1_100_000]})

    assert (response.status_code, response.content_type) == (413, "application/problem+json")


def test_null_counts_as_left_out(http: FlaskClient) -> None:
    nothing = dict.fromkeys(["kwargs", "queue", "max_retries", "countdown", "eta", "task_id"])

    response = post(http, name="add", args=[1, 2], **nothing)

    assert (response.status_code, response.json["max_retries"]) == (202, 3)


def test_several_faults_are_told_with_their_fields(http: FlaskClient) -> None:
    response = post(http, name="add", args=1, queue=2)

    assert response.json["detail"] == "/args: give a list; /queue: give a string"
    assert [error["pointer"] for error in response.json["errors"]] == ["/args", "/queue"]


def test_many_faults_are_told_briefly(http: FlaskClient) -> None:
    many = http.post("/tasks", json={"name": "add"} | {f"{number}{'x' * 3_000}": 1 for number in range(300)})
    long = http.post("/tasks", json={"name": "y" * 900_000})

    assert (many.status_code, long.status_code) == (422, 422)
    assert len(many.json["errors"]) == 21
    assert many.json["errors"][-1] == {"pointer": "", "detail": "and 280 more"}
    assert len(many.data) < 20_000
    assert len(long.data) < 2_000


def test_an_unknown_task_and_an_unknown_path_are_not_found(http: FlaskClient) -> None:
    for path in ("/tasks/none", "/nowhere"):
        response = http.get(path)
        assert (response.status_code, response.content_type) == (404, "application/problem+json")


def test_a_wrong_method_is_told_the_right_ones(http: FlaskClient) -> None:
    response = http.delete("/tasks")

    assert (response.status_code, response.content_type) == (405, "application/problem+json")
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize("damage", ["a field", "the whole hash"])
def test_a_damaged_task_is_not_found_and_said_to_be_damaged(http: FlaskClient, app: MiniCelery, damage: str) -> None:
    place, key = post(http, name="add", args=[1, 2], task_id="t").headers["Location"], app.keys.task("t")
    if damage == "a field":
        app.clients.commands.hdel(key, "status")
    else:
        app.clients.commands.set(key, "another program's")

    response = http.get(place)

    assert response.status_code == 404
    assert "is damaged; minicelery doctor tells more" in response.json["detail"]


def test_an_overwritten_queue_is_said_so_and_nothing_was_changed(http: FlaskClient, app: MiniCelery) -> None:
    app.clients.commands.set(app.keys.queue("default"), "another program's")

    answers = [post(http, name="add", args=[1, 2], task_id="t"), http.get("/queue/stats")]

    for response in answers:
        assert response.status_code == 503
        assert "Retry-After" not in response.headers
        assert "Another program has put something else under a key that this needs" in response.json["detail"]
        assert response.json["detail"].endswith("Nothing was changed.")
    assert list(app.inspector.task_ids()) == []
