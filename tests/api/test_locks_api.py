"""Locks over HTTP, on every server."""

from datetime import datetime

import pytest
from flask.testing import FlaskClient

from minicelery import LockLost, MiniCelery


def test_a_lock_is_shown_with_its_holders_and_how_many_wait(http: FlaskClient, app: MiniCelery) -> None:
    with app.semaphore("printers", 2, ttl=30) as one, app.semaphore("printers", 2, ttl=60) as other:
        answer = http.get("/locks/printers")

        assert answer.status_code == 200
        assert set(answer.json) == {"name", "limit", "holders", "waiting"}
        assert (answer.json["name"], answer.json["limit"], answer.json["waiting"]) == ("printers", 2, 0)
        assert [holder["token"] for holder in answer.json["holders"]] == [one.token, other.token]
        holder = answer.json["holders"][0]
        assert set(holder) == {"owner", "token", "since", "expires"}
        since, expires = (datetime.fromisoformat(holder[name]) for name in ("since", "expires"))
        assert 30 <= (expires - since).total_seconds() < 32


def test_the_locks_that_are_held_are_listed_by_their_names_in_pages(http: FlaskClient, app: MiniCelery) -> None:
    with app.lock("released"):
        pass

    with app.lock("b"), app.lock("a:1"), app.lock("c"):
        first = http.get("/locks?limit=2")
        link = first.headers["Link"].partition(">")[0][1:]
        second = http.get(link)

    assert (first.json["count"], second.json["count"]) == (3, 3)
    assert [lock["name"] for lock in first.json["locks"] + second.json["locks"]] == ["a:1", "b", "c"]
    assert "Link" not in second.headers
    assert http.get("/locks").json == {"count": 0, "locks": []}


def test_a_lock_is_broken_by_force(http: FlaskClient, app: MiniCelery) -> None:
    lock = app.lock("invoice:42")
    lock.acquire()

    assert http.delete("/locks/invoice:42").status_code == 204

    assert app.lock("invoice:42").acquire(blocking=False)
    with pytest.raises(LockLost):
        lock.release()


def test_a_lock_that_nobody_holds_is_not_found(http: FlaskClient) -> None:
    for answer in (http.get("/locks/x"), http.delete("/locks/x")):
        assert (answer.status_code, "Nobody holds a lock 'x'" in answer.json["detail"]) == (404, True)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_name_that_no_lock_can_have_is_refused(http: FlaskClient, method: str) -> None:
    answer = http.open("/locks/a%20b", method=method)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/name")


def test_a_page_elsewhere_breaks_no_lock(http: FlaskClient, app: MiniCelery) -> None:
    with app.lock("x"):
        assert http.delete("/locks/x", headers={"Origin": "http://evil.example"}).status_code == 403


def test_a_lock_of_another_program_is_named_as_such(http: FlaskClient, app: MiniCelery) -> None:
    app.clients.commands.set(app.keys.lock("x"), "another program's")

    for answer in (http.get("/locks/x"), http.delete("/locks/x")):
        assert (answer.status_code, "Another program" in answer.json["detail"]) == (503, True)
    assert http.get("/locks").json["count"] == 0
    app.clients.commands.delete(app.keys.lock("x"))
