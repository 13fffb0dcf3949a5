"""Dead letters over HTTP, on every server."""

import pytest
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.testing import drain


@pytest.fixture
def dead(http: FlaskClient, app: MiniCelery) -> list[str]:
    """The ids of three dead letters, newest first."""
    ids = []
    for number in range(3):
        ids.append(http.post("/tasks", json={"name": "fail", "args": [str(number)]}).json["task_id"])
        drain(app)
    return ids[::-1]


def test_dead_letters_are_listed_newest_first(http: FlaskClient, dead: list[str]) -> None:
    listed = http.get("/queue/dead-letter").json

    assert set(listed) == {"count", "tasks"}
    assert listed["count"] == 3
    assert [task["task_id"] for task in listed["tasks"]] == dead
    assert listed["tasks"][0]["error"]["message"] == "2"


def test_the_list_is_paged_with_a_link_to_the_next_page(http: FlaskClient, dead: list[str]) -> None:
    first = http.get("/queue/dead-letter?limit=2")
    link = first.headers["Link"].partition(">")[0][1:]
    second = http.get(link)

    assert [task["task_id"] for task in first.json["tasks"] + second.json["tasks"]] == dead
    assert "Link" not in second.headers


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "offset=-1", "offset=99999999999999999999", "page=2"]
)
def test_a_wrong_page_is_refused(http: FlaskClient, query: str) -> None:
    assert http.get(f"/queue/dead-letter?{query}").status_code == 422


def test_a_dead_letter_is_retried(http: FlaskClient, dead: list[str]) -> None:
    response = http.post(f"/queue/dead-letter/{dead[0]}/retry")

    assert (response.status_code, response.json["status"]) == (202, "PENDING")
    assert http.get("/queue/dead-letter").json["count"] == 2
    assert http.get("/queue/stats").json["queue_length"] == 1


def test_all_dead_letters_are_retried(http: FlaskClient, dead: list[str]) -> None:
    assert http.post("/queue/dead-letter/retry").json == {"retried": 3}
    assert http.get("/queue/stats").json["queue_length"] == 3


def test_a_dead_letter_is_deleted(http: FlaskClient, dead: list[str]) -> None:
    assert http.delete(f"/queue/dead-letter/{dead[1]}").status_code == 204
    assert http.get(f"/tasks/{dead[1]}").status_code == 404
    assert http.get("/queue/dead-letter").json["count"] == 2


def test_what_is_no_dead_letter_is_neither_retried_nor_deleted(http: FlaskClient) -> None:
    waiting = http.post("/tasks", json={"name": "add", "args": [1, 2]}).json["task_id"]

    assert http.post(f"/queue/dead-letter/{waiting}/retry").status_code == 409
    assert http.delete(f"/queue/dead-letter/{waiting}").status_code == 409
    assert http.post("/queue/dead-letter/none/retry").status_code == 404
    assert http.delete("/queue/dead-letter/none").status_code == 404
    assert http.get(f"/tasks/{waiting}").json["status"] == "PENDING"


def test_a_page_elsewhere_can_change_nothing_by_a_form(http: FlaskClient, dead: list[str]) -> None:
    foreign = {"Origin": "http://evil.example", "Content-Type": "text/plain"}

    answers = [
        http.post("/queue/dead-letter/retry", headers=foreign),
        http.post(f"/queue/dead-letter/{dead[0]}/retry", headers=foreign),
        http.delete(f"/queue/dead-letter/{dead[0]}", headers=foreign),
        http.post("/tasks", json={"name": "add", "args": [1, 2]}, headers={"Origin": "http://evil.example"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert http.get("/queue/dead-letter", headers=foreign).json["count"] == 3
    own = http.post("/queue/dead-letter/retry", headers={"Origin": "http://localhost"})
    assert own.json == {"retried": 3}
