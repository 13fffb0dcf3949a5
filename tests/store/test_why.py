"""Why a task waits, on every server."""

import pytest

from minicelery import MiniCelery, TaskNotFound
from minicelery.states import Status
from tests.store.conftest import Desk
from tests.store.test_gates import more

INFO = '{"queues":["default"],"tasks":["add"],"threads":5}'


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    """A desk with a worker that knows the task."""
    desk.broker.beat({"w": INFO}, 60)
    return desk


def reasons(desk: Desk, task_id: str) -> str:
    return " · ".join(desk.app.why(task_id).reasons)


def test_the_place_in_the_queue_is_told_with_those_of_a_higher_priority_in_front(staffed: Desk) -> None:
    staffed.submit("a", "b", "c")
    staffed.submit("urgent", priority=9)

    found = staffed.app.why("c")

    assert (found.status, found.position) == (Status.PENDING, 4)
    assert found.reasons == ("4. in queue:default", "its workers have 5 threads, and 0 tasks in hand")
    assert staffed.app.why("urgent").position == 1
    assert staffed.app.why("a").position == 2


def test_with_ageing_its_place_is_told_among_those_of_its_priority_and_what_stays_behind_it(staffed: Desk) -> None:
    staffed.app.limits.set_queue("default", ageing=90)
    staffed.submit("a", "b")
    staffed.submit("urgent", priority=9)

    found = staffed.app.why("b")

    assert (found.position, found.reasons[0]) == (2, "2. of those with priority 5 in queue:default")
    assert found.reasons[1] == "with an ageing of 90 s, what comes more than 40.0 s after it is behind it"
    assert not any("ageing" in reason for reason in staffed.app.why("urgent").reasons)


def test_a_queue_that_nobody_serves_is_told(desk: Desk) -> None:
    desk.submit("t", queue="mail")

    assert "no live worker serves queue:mail" in reasons(desk, "t")


def test_a_name_that_no_worker_knows_is_told(staffed: Desk) -> None:
    staffed.submit("t", name="unknown")

    assert "no live worker of queue:default knows the task unknown" in reasons(staffed, "t")


def test_a_paused_queue_is_told_with_who_and_why(staffed: Desk) -> None:
    staffed.app.limits.pause_queue("default", by="ops", reason="a release")
    staffed.submit("t")

    assert "queue default is paused by ops: a release" in reasons(staffed, "t")


def test_a_queue_whose_number_of_runs_is_reached_is_told(staffed: Desk) -> None:
    staffed.app.limits.set_queue("default", concurrency=1)
    staffed.submit("a", "b")
    staffed.take()

    assert "1 of at most 1 tasks of queue default run" in reasons(staffed, "b")


def test_a_task_that_waits_for_a_limit_is_told_which(staffed: Desk) -> None:
    staffed.submit("a", "b", more=more("acme", rate_limit="1/h", concurrency=1))
    assert [one.id for one in staffed.claim(count=5).deliveries] == ["a"]

    found = staffed.app.why("b")

    assert (found.status, found.position) == (Status.WAITING, 1)
    assert "1 of at most 1 tasks add for key acme run" in found.reasons
    [rate] = [reason for reason in found.reasons if reason.startswith("rate 1/h of add for key acme")]
    assert float(rate.split(" in ")[1].split()[0]) == pytest.approx(3600, abs=60)


def test_a_paused_name_is_told(staffed: Desk) -> None:
    staffed.app.limits.pause_task("add", reason="the mail server is down")
    staffed.submit("t")
    staffed.claim()

    assert "tasks add are paused: the mail server is down" in reasons(staffed, "t")


def test_what_is_due_later_says_when(staffed: Desk) -> None:
    staffed.submit("t", delay=100)

    assert staffed.app.why("t").reasons[0].startswith("it is due in ")


def test_what_has_begun_or_is_over_says_so(staffed: Desk) -> None:
    staffed.submit("t")
    delivery = staffed.take()
    assert reasons(staffed, "t").endswith("in worker w")

    staffed.settle(delivery)
    assert staffed.app.why("t").reasons == ("it is over: SUCCESS",)


def test_a_handle_tells_why_its_task_waits(app: MiniCelery) -> None:
    @app.task
    def add(x: int, y: int) -> None: ...

    assert add.apply_async((1, 2), queue="mail").why().reasons[0] == "1. in queue:mail"


def test_an_unknown_task_is_not_found(app: MiniCelery) -> None:
    with pytest.raises(TaskNotFound):
        app.why("nobody")
