"""What the code says of queues: it holds for all workers, as long as a live one says it."""

import json
from collections.abc import Mapping

import pytest

from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer
from minicelery.limits import Control
from tests.conftest import make_app
from tests.store.conftest import Desk

OLD, NEW = {"default": "1:"}, {"default": "2:60.000"}


def beat(desk: Desk, worker: str, settings: Mapping[str, str], lease: float = 60.0) -> None:
    """As a worker does whose code says so of queues."""
    facts = {"settings": [f"queue/{name} {text}" for name, text in settings.items()]}
    desk.broker.beat({worker: json.dumps(facts)}, lease, settings)


def holds(desk: Desk) -> tuple[int | None, float | None]:
    found = desk.app.limits.of("queue", "default")
    return found.concurrency, found.ageing


def taken(desk: Desk, count: int = 10) -> list[str]:
    return [delivery.id for delivery in desk.claim(count=count).deliveries]


def bell(desk: Desk) -> int:
    return int(desk.app.clients.commands.llen(desk.app.keys.bell("default")))


def test_a_number_of_runs_that_the_code_says_holds_from_the_registration_on(desk: Desk) -> None:
    beat(desk, "w", {"default": "2:"})
    desk.submit(*"abc")

    first = desk.claim(count=10).deliveries
    assert [one.id for one in first] == ["a", "b"]
    assert taken(desk) == []

    desk.settle(first[0])
    assert bell(desk) > 0
    assert taken(desk) == ["c"]
    desk.lawful()


def test_an_ageing_that_the_code_says_holds_from_the_registration_on(desk: Desk) -> None:
    beat(desk, "w", {"default": ":60.000"})
    desk.submit("low", priority=0)
    desk.app.clients.commands.hset(desk.app.keys.task("low"), "created_at", "1.000")
    desk.submit("high", priority=9)

    assert [desk.take().id for _ in range(2)] == ["low", "high"]


def test_what_the_code_says_is_that_of_one_queue(desk: Desk) -> None:
    beat(desk, "w", {"other": "1:"})
    desk.submit(*"abc")

    assert taken(desk) == ["a", "b", "c"]


def test_what_is_set_at_run_time_goes_before_it_and_taken_away_lets_it_hold_again(desk: Desk) -> None:
    beat(desk, "w", NEW)
    limits = desk.app.limits
    assert holds(desk) == (2, 60)

    assert limits.set_queue("default", concurrency=5) == Control(
        "queue", "default", concurrency=5, ageing=60, from_code=("ageing",)
    )
    desk.submit(*"abcdefg")
    assert taken(desk) == ["a", "b", "c", "d", "e"]

    limits.clear_queue("default")
    assert limits.of("queue", "default").from_code == ("concurrency", "ageing")
    assert taken(desk) == []


def test_a_pause_holds_as_well(desk: Desk) -> None:
    beat(desk, "w", NEW)
    desk.submit("a")
    desk.app.limits.pause_queue("default")

    assert taken(desk) == []
    desk.app.limits.resume_queue("default")
    assert taken(desk) == ["a"]


def test_who_says_the_same_again_changes_nothing(desk: Desk) -> None:
    for worker in ("w", "v"):
        beat(desk, worker, NEW)
        beat(desk, worker, NEW)

    assert desk.app.inspector.queue_settings() == NEW
    assert bell(desk) == 0


def test_a_release_that_says_something_new_replaces_the_old_one_at_once_and_wakes_who_waits(desk: Desk) -> None:
    beat(desk, "old", OLD)

    beat(desk, "new", NEW)

    assert holds(desk) == (2, 60)
    assert bell(desk) > 0


def test_the_old_release_does_not_turn_it_back_while_a_worker_has_the_new_one(desk: Desk) -> None:
    beat(desk, "old", OLD)
    beat(desk, "new", NEW)

    for worker, settings in (("old", OLD), ("old-2", OLD), ("new", NEW), ("old", OLD)):
        beat(desk, worker, settings)

    assert holds(desk) == (2, 60)


def test_the_old_release_holds_again_when_no_worker_has_the_new_one(desk: Desk) -> None:
    beat(desk, "old", OLD)
    beat(desk, "new", NEW)
    desk.broker.recover("new")

    beat(desk, "old", OLD)

    assert holds(desk) == (1, None)
    assert desk.app.inspector.queue_settings() == {"default": "1: 2:60.000"}


def test_a_worker_whose_lease_is_over_says_nothing(desk: Desk) -> None:
    beat(desk, "old", OLD)
    beat(desk, "new", NEW)
    beat(desk, "new", NEW, lease=-1)

    beat(desk, "old", OLD)

    assert holds(desk) == (1, None)


def test_of_many_releases_the_newest_holds_and_those_before_are_known(desk: Desk) -> None:
    for number in range(1, 20):
        beat(desk, f"w{number}", {"default": f"{number}:"})

    for number in range(11, 19):
        beat(desk, f"w{number}", {"default": f"{number}:"})

    assert holds(desk) == (19, None)
    assert len(desk.app.inspector.queue_settings()["default"].split()) == 9


def test_what_one_release_says_no_more_holds_while_a_worker_of_the_other_lives(desk: Desk) -> None:
    beat(desk, "old", OLD)

    beat(desk, "new", {})

    assert holds(desk) == (1, None)


def test_what_no_live_worker_says_any_more_is_taken_away_and_wakes_who_waits(desk: Desk) -> None:
    beat(desk, "old", {**OLD, "other": "3:"})
    desk.submit(*"abc")
    desk.hire("w")
    assert taken(desk) == ["a"]
    desk.broker.recover("old")
    desk.app.clients.commands.delete(desk.app.keys.bell("default"))

    beat(desk, "w", {"other": "3:"})

    assert desk.app.inspector.queue_settings() == {"other": "3:"}
    assert bell(desk) > 0
    assert taken(desk) == ["b", "c"]


def test_a_slot_of_a_queue_whose_task_is_gone_is_given_back(desk: Desk) -> None:
    beat(desk, "w", OLD)
    desk.submit("a", "b")
    desk.take()
    desk.app.clients.commands.delete(desk.app.keys.task("a"))
    assert taken(desk) == []

    desk.broker.admit()

    assert taken(desk) == ["b"]


def test_what_the_code_says_is_shown_with_where_it_is_from(desk: Desk) -> None:
    beat(desk, "w", {"mail": "3:60.000"})
    desk.app.limits.set_queue("mail", ageing=5)
    desk.app.limits.set_queue("zoo", concurrency=7)

    mail, zoo = desk.app.limits.all()

    assert mail == Control("queue", "mail", concurrency=3, ageing=5, from_code=("concurrency",))
    assert zoo == Control("queue", "zoo", concurrency=7)


@pytest.mark.parametrize("text", ["", ":", "x:y", "2", "1e3:", ":1e9", ":nan", ":-1", "999999999:", "two words"])
def test_what_another_program_has_written_of_a_queue_holds_up_nothing(desk: Desk, text: str) -> None:
    desk.app.clients.commands.hset(desk.app.keys.queue_settings, "default", text)
    desk.submit("low", priority=0)
    desk.submit("high", priority=9)
    assert desk.app.limits.of("queue", "default").concurrency is None
    desk.broker.admit()

    desk.hire("w")

    assert desk.app.inspector.queue_settings() == {}
    assert taken(desk) == ["high", "low"]


def test_where_another_program_has_overwritten_it_workers_register_and_claim_all_the_same(desk: Desk) -> None:
    desk.app.clients.commands.set(desk.app.keys.queue_settings, "another program's")

    beat(desk, "w", NEW)
    desk.submit("low", priority=0)
    desk.submit("high", priority=9)
    desk.broker.admit()

    assert taken(desk) == ["high", "low"]
    [violation] = desk.app.doctor.violations()
    assert "queue_settings" in str(violation)


def test_a_full_redis_still_hears_what_the_code_says() -> None:
    with EmbeddedServer() as server:
        desk = Desk(make_app(connect(Config(redis_url=server.url)), "full"))
        desk.app.clients.commands.config_set("maxmemory", "1mb")

        beat(desk, "w", NEW)

        assert holds(desk) == (2, 60)
        desk.app.clients.close()
