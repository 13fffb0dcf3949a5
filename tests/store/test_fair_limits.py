"""Tenants and limits: where a limit is the bottleneck, or a pause is over, tenants take turns all the same."""

import json
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.options import task_settings
from tests.store.clock import Clock, install
from tests.store.conftest import Desk, staffed


@pytest.fixture
def clock(real_app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> Clock:
    install(monkeypatch)
    return Clock(real_app)


@pytest.fixture
def desk(real_app: MiniCelery, clock: Clock) -> Desk:
    return staffed(real_app, lease=1e9)


def of(tenant: str = "", priority: str = "", **limits: Any) -> str:
    """What a message has more than others, of a tenant, with limits that are the same for all."""
    found = {"gates": task_settings("add", limits).limits.gates((), {}), "fair": tenant, "priority": priority}
    return json.dumps({name: value for name, value in found.items() if value})


class Line:
    """Tasks of one name of which one may run at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        desk.submit("first", more=of(concurrency=1))
        self._running = desk.take()

    def submit(self, tenant: str, count: int, priority: str = "") -> None:
        """So many tasks of a tenant, named a1, a2, …; all of them are stopped. Without a tenant: p1, p2, …"""
        start = f"{tenant or 'p'}{priority}"
        tasks = [f"{start}{number}" for number in range(1, count + 1)]
        self._desk.submit(*tasks, more=of(tenant, priority, concurrency=1))
        while self._desk.claim().passed:
            pass
        self._desk.lawful()

    def starts(self, most: int = 999) -> list[str]:
        """The order in which the next ones begin."""
        found: list[str] = []
        while len(found) < most:
            self._desk.settle(self._running)
            if not (deliveries := self._desk.claim().deliveries):
                break
            [self._running] = deliveries
            found.append(self._running.id)
        self._desk.lawful()
        return found


@pytest.fixture
def line(desk: Desk) -> Line:
    return Line(desk)


# ---- where a limit is the bottleneck ------------------------------------------------------------


def test_tenants_take_turns_at_a_limit_whatever_waits_there(line: Line) -> None:
    line.submit("a", 30)
    line.submit("b", 3)

    assert line.starts(8) == ["a1", "b1", "a2", "b2", "a3", "b3", "a4", "a5"]


def test_a_tenant_that_comes_later_to_a_limit_comes_into_the_round_at_its_end(line: Line) -> None:
    line.submit("a", 30)
    assert line.starts(20)[-1] == "a20"

    line.submit("b", 20)

    assert line.starts(6) == ["a21", "b1", "a22", "b2", "a23", "b3"]


def test_tasks_without_a_tenant_count_as_one_tenant_at_a_limit_and_keep_their_order(line: Line) -> None:
    line.submit("a", 3)
    line.submit("", 30)
    line.submit("b", 2)

    assert line.starts(9) == ["a1", "p1", "b1", "a2", "p2", "b2", "a3", "p3", "p4"]
    assert line.starts() == [f"p{number}" for number in range(5, 31)]


def test_each_priority_has_rounds_of_its_own_at_a_limit(line: Line) -> None:
    line.submit("a", 20)
    line.submit("c", 30, priority="9")
    assert line.starts(30)[-1] == "c930"

    line.submit("b", 3)
    line.submit("c", 2)

    assert line.starts(6) == ["a1", "b1", "c1", "a2", "b2", "c2"]


def test_ties_at_a_limit_go_by_arrival(line: Line) -> None:
    for tenant in "zkatmb":
        line.submit(tenant, 2)

    assert line.starts() == [f"{tenant}{number}" for number in (1, 2) for tenant in "zkatmb"]


def test_who_comes_to_a_limit_stands_behind_those_that_an_earlier_release_has_put_there(desk: Desk, line: Line) -> None:
    line.submit("", 3)
    room = desk.app.keys.room("slots/add")
    commands = desk.app.clients.commands
    commands.hdel(room, *(field for field in commands.hgetall(room) if field != "seq"))

    line.submit("b", 1)
    line.submit("", 1, priority="4")

    assert line.starts() == ["p1", "p2", "p3", "b1", "p41"]


def stopped(desk: Desk, *tasks: str, more: str) -> None:
    """Submits tasks at a limit that lets nobody pass."""
    desk.submit(*tasks, more=more)
    while desk.claim().passed:
        pass
    assert desk.where(tasks[-1])[0] == "WAITING"


def known_tenants(desk: Desk) -> list[str]:
    """The tenants of which the room of the limit keeps something."""
    known = desk.app.clients.commands.hkeys(desk.app.keys.room("slots/add"))
    return sorted(str(field).removeprefix("last/5/") for field in known if field.startswith("last/"))


def test_of_a_tenant_that_waits_at_no_limit_any_more_nothing_is_kept(desk: Desk, line: Line) -> None:
    line.submit("a", 1)
    line.submit("b", 3)
    line.starts(2)

    assert known_tenants(desk) == ["b"]


@pytest.mark.parametrize("end", ["expire", "cancel"])
def test_of_tenants_whose_tasks_are_over_before_a_limit_lets_them_go_nothing_is_kept(
    desk: Desk, clock: Clock, line: Line, end: str
) -> None:
    line.submit("z", 1)
    for tenant in "abc":
        late = json.loads(of(tenant, concurrency=1)) | {"expires_in": "5"}
        stopped(desk, f"{tenant}1", f"{tenant}2", more=json.dumps(late))

    if end == "expire":
        clock.go_on(6)
        desk.broker.expire()
    else:
        desk.broker.cancel(["a1", "a2", "b2", "b1", "c1", "c2"])

    assert known_tenants(desk) == ["z"]
    assert line.starts() == ["z1"]


def test_behind_a_cancelled_one_the_next_of_its_tenant_passes_none_of_its_tasks(desk: Desk, line: Line) -> None:
    line.submit("a", 4)
    desk.cancel("a4")

    stopped(desk, "a5", more=of("a", concurrency=1))

    assert line.starts() == ["a1", "a2", "a3", "a5"]


def test_who_is_let_go_and_stopped_again_has_its_place_as_before(desk: Desk) -> None:
    desk.submit("first", more=of(concurrency=1))
    running = desk.take()
    stopped(desk, "a1", "a2", "a3", "a4", more=of("a", concurrency=1))
    desk.settle(running)
    for _ in range(3):
        desk.app.limits.pause_task("add")
        assert desk.claim().passed == 1
        desk.app.limits.resume_task("add")
        desk.broker.admit()
    running = desk.take()
    stopped(desk, "a5", more=of("a", concurrency=1))

    order = []
    for _ in range(4):
        desk.settle(running)
        running = desk.take()
        order.append(running.id)

    assert order == ["a2", "a3", "a4", "a5"]


def test_tenants_take_turns_at_a_rate(desk: Desk, clock: Clock) -> None:
    desk.submit(*(f"a{number}" for number in range(1, 41)), more=of("a", rate_limit="10/s"))
    while desk.claim().passed or desk.claim().deliveries:
        pass
    desk.submit("b1", "b2", more=of("b", rate_limit="10/s"))

    starts = []
    for _ in range(6):
        clock.go_on(0.1)
        desk.broker.admit()
        starts += [delivery.id for delivery in desk.claim(count=9).deliveries]

    assert starts.index("b1") <= 2
    assert starts.index("b2") <= 4


# ---- when nothing limits them any more ------------------------------------------------------------


@pytest.mark.parametrize("end", ["resume", "clear"])
def test_who_is_let_go_comes_to_its_tenants_turn_and_before_nobody(desk: Desk, end: str) -> None:
    limits = desk.app.limits
    limits.pause_task("add") if end == "resume" else limits.set_task("add", rate="1/d")
    if end == "clear":
        desk.submit("first")
    desk.submit(*(f"a{number}" for number in range(1, 61)), more=of("a"))
    while (claimed := desk.claim()).passed or claimed.deliveries:
        pass
    desk.submit("b1", "b2", "b3", name="other", more=of("b"))

    limits.resume_task("add") if end == "resume" else limits.clear_task("add")
    while desk.broker.admit() == 0:
        pass

    desk.lawful()
    starts = [delivery.id for _ in range(70) for delivery in desk.claim().deliveries if delivery.id != "first"]
    assert starts[:6] == ["b1", "a1", "b2", "a2", "b3", "a3"]
    assert starts[6:] == [f"a{number}" for number in range(4, 61)]
    assert desk.app.clients.commands.keys(f"{desk.app.keys.prefix}room*") == []
    desk.lawful()


def test_who_is_let_go_is_not_stopped_again_as_others_are_not_let_go_yet(desk: Desk) -> None:
    desk.app.limits.pause_task("add")
    desk.submit("p1")
    desk.submit(*(f"a{number}" for number in range(1, 121)), more=of("a"))
    while desk.claim().passed:
        pass
    desk.app.limits.resume_task("add")
    desk.broker.admit()
    assert desk.app.clients.commands.zcard(desk.app.keys.waiting("task/add")) > 0

    claims = [desk.claim() for _ in range(3)]

    assert [delivery.id for claim in claims for delivery in claim.deliveries] == ["p1", "a1", "a2"]
    assert [claim.passed for claim in claims] == [0, 0, 0]
    desk.lawful()


def test_what_has_no_tenant_is_the_next_one_when_it_is_let_go(desk: Desk) -> None:
    desk.app.limits.pause_task("add")
    desk.submit("p1")
    desk.submit("a1", "a2", more=of("a"))
    while desk.claim().passed:
        pass
    desk.submit("q", name="other")

    desk.app.limits.resume_task("add")
    desk.broker.admit()

    assert [delivery.id for _ in range(9) for delivery in desk.claim().deliveries] == ["p1", "q", "a1", "a2"]
    desk.lawful()
