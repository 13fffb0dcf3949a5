"""Limits: who has to wait, who is put forward when, and that nobody else is held up."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from minicelery import MiniCelery
from minicelery.connection import Clients
from minicelery.errors import ForeignData
from minicelery.message import Delivery, Message
from minicelery.options import task_settings
from minicelery.states import FINISHED, Status
from tests.conftest import make_app
from tests.store.clock import Clock, install
from tests.store.conftest import Desk, staffed, wipe
from tests.store.edits import edit

Limited = Callable[..., None]


@pytest.fixture
def desk(app: MiniCelery, clock: Clock) -> Desk:
    return staffed(app)


def more(key: str = "", **options: Any) -> str:
    """What a message has more than others, whose task has these limits and, if one is given, this key."""
    keys = {"rate_limit": "rate_key", "concurrency": "concurrency_key"}
    options |= {keys[name]: (lambda *_: key) for name in [*options] if key and name in keys}
    gates = task_settings("add", options).limits.gates((), {})
    return '{"gates":' + _quoted(gates) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def ids(desk: Desk, count: int = 10, **options: Any) -> list[str]:
    return [delivery.id for delivery in desk.claim(count=count, **options).deliveries]


# ---- rates --------------------------------------------------------------------------------------


def test_a_task_above_the_rate_waits_until_the_next_may_begin(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more(rate_limit="1/s"))

    assert ids(desk, count=1) == ["a"]
    assert ids(desk) == []
    assert desk.where("b") == ["WAITING", "waiting"]
    desk.lawful()

    clock.go_on(0.999)
    assert desk.broker.admit() == pytest.approx(0.001)
    assert ids(desk) == []

    clock.go_on(0.001)
    desk.broker.admit()
    assert desk.where("b") == ["PENDING", "ready"]
    desk.lawful()
    assert ids(desk) == ["b"]
    desk.lawful()


def test_what_waits_for_its_rate_holds_nobody_up(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more(rate_limit="1/s"))
    desk.submit("c")

    assert ids(desk) == ["a", "c"]


def test_a_task_that_has_waited_is_the_next_one(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more(rate_limit="1/s"))
    assert ids(desk) == ["a"]
    desk.submit("c", "d")

    clock.go_on(1)
    desk.broker.admit()

    assert ids(desk) == ["b", "c", "d"]


def test_those_who_wait_keep_their_order_and_priorities_go_first(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", "c", more=more(rate_limit="1/s"))
    assert ids(desk) == ["a"]
    desk.submit("d", more=more(rate_limit="1/s")[:-1] + ',"priority":"9"}')
    assert ids(desk) == []

    order = []
    for _ in range(3):
        clock.go_on(1)
        desk.broker.admit()
        order += ids(desk)

    assert order == ["d", "b", "c"]


def test_who_comes_later_stands_behind_those_who_wait(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more(rate_limit="1/s"))
    assert ids(desk) == ["a"]
    assert ids(desk) == []
    clock.go_on(1)  # one may begin now, and the first to come is not the first who has come
    desk.submit("c", more=more(rate_limit="1/s"))

    assert ids(desk) == []
    desk.broker.admit()
    assert ids(desk) == ["b"]


def test_each_key_has_a_rate_of_its_own(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more("acme", rate_limit="1/s"))
    desk.submit("c", "d", more=more("other", rate_limit="1/s"))

    assert ids(desk) == ["a", "c"]


def test_a_late_start_is_made_up_for_by_one_that_is_early(desk: Desk, clock: Clock) -> None:
    """Or no rate could be held: each start is late by the way to the worker."""
    desk.submit("a", "b", "c", more=more(rate_limit="10/s"))
    assert ids(desk) == ["a"]
    ids(desk)

    clock.go_on(0.15)
    desk.broker.admit()
    assert ids(desk) == ["b"]
    clock.go_on(0.05)
    desk.broker.admit()

    assert ids(desk) == ["c"]


def test_after_a_quiet_time_the_rate_holds_from_the_first_task_on(desk: Desk, clock: Clock) -> None:
    desk.submit("a", more=more(rate_limit="1/s"))
    assert ids(desk) == ["a"]
    clock.go_on(100)
    desk.submit("b", "c", more=more(rate_limit="1/s"))

    assert ids(desk) == ["b"]
    assert ids(desk) == []


@pytest.mark.parametrize(("rate", "step"), [(300, 0.03), (3000, 0.003)])
def test_a_rate_is_held_whose_interval_is_no_whole_number_of_milliseconds(
    desk: Desk, clock: Clock, rate: int, step: float
) -> None:
    desk.submit(*(f"t{number}" for number in range(60)), more=more(rate_limit=f"{rate}/s"))
    begun = len(ids(desk, count=1))

    for _ in range(5):
        ids(desk, count=1)  # the rest is put aside
        clock.go_on(step)
        desk.broker.admit()
        while ids(desk, count=1):
            begun += 1

    assert begun == pytest.approx(5 * step * rate + 1, abs=1)


def test_a_rate_that_opens_within_a_millisecond_is_looked_at_in_the_next(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", more=more(rate_limit="300/s"))
    assert ids(desk, count=1) == ["a"]
    assert ids(desk) == []

    clock.go_on(0.003)
    assert desk.broker.admit() == pytest.approx(0.001)
    clock.go_on(0.001)
    desk.broker.admit()

    assert ids(desk) == ["b"]


@pytest.mark.parametrize("has_looked", [True, False])
def test_after_a_jump_back_a_rate_goes_on_an_interval_later(desk: Desk, clock: Clock, has_looked: bool) -> None:
    desk.submit("a", "b", "c", more=more(rate_limit="1/s"))
    assert ids(desk, count=1) == ["a"]
    assert ids(desk) == []
    if has_looked:
        desk.broker.admit()

    clock.go_on(-3600)
    assert desk.broker.admit() == 1
    clock.go_on(0.999)
    desk.broker.admit()
    assert ids(desk) == []

    for task in ("b", "c"):
        clock.go_on(1)
        desk.broker.admit()
        assert ids(desk) == [task]


def test_after_a_jump_back_who_comes_waits_for_an_interval_at_most(desk: Desk, clock: Clock) -> None:
    desk.submit("a", more=more(rate_limit="1/s"))
    assert ids(desk) == ["a"]

    clock.go_on(-3600)
    desk.submit("b", more=more(rate_limit="1/s"))
    assert ids(desk) == []
    clock.go_on(1)
    desk.broker.admit()

    assert ids(desk) == ["b"]


# ---- concurrency --------------------------------------------------------------------------------


def test_no_more_run_than_may_and_the_next_begins_when_one_has_ended(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", "c", "d", more=more(concurrency=2))
    first = desk.claim(count=10)
    assert [one.id for one in first.deliveries] == ["a", "b"]
    assert ids(desk) == []
    desk.lawful()

    desk.settle(first.deliveries[0])

    assert desk.where("c") == ["PENDING", "ready"]
    assert desk.where("d") == ["WAITING", "waiting"]
    assert desk.app.clients.commands.llen(desk.app.keys.bell("default")) > 0
    assert ids(desk) == ["c"]
    desk.lawful()


@pytest.mark.parametrize("end", ["settle", "fail", "retry", "release", "recover", "pass_on", "cancel"])
def test_whatever_ends_a_run_frees_its_slot(desk: Desk, clock: Clock, end: str) -> None:
    desk.submit("a", "b", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)

    match end:
        case "settle":
            desk.settle(delivery)
        case "fail":
            desk.fail(delivery)
        case "retry":
            desk.settle(delivery, Status.RETRYING, '{"type":"E","message":"m","traceback":""}', delay=100)
        case "release":
            desk.broker.release("w", [(delivery.id, delivery.token)])
        case "recover":
            desk.broker.recover("w", ["a"])
            desk.hire("w", lease=1e6)
        case "pass_on":
            desk.broker.pass_on("w", delivery.id, delivery.token, "{}")
        case "cancel":
            desk.broker.cancel(["a"])
            assert ids(desk) == []  # its run still goes on
            desk.settle(delivery)

    assert sorted(set(ids(desk))) in (["b"], ["a"])
    desk.lawful()


def test_a_run_that_is_told_of_twice_frees_one_slot(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", "c", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)

    desk.settle(delivery)
    desk.settle(delivery)

    assert ids(desk) == ["b"]
    assert ids(desk) == []


def test_both_limits_of_a_task_hold(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", "c", more=more(rate_limit="1/s", concurrency=1))
    delivery = desk.take()
    ids(desk)
    clock.go_on(1)
    desk.broker.admit()
    assert ids(desk) == []

    desk.settle(delivery)
    assert ids(desk) == ["b"]


# ---- those who are gone while they wait -----------------------------------------------------------


@pytest.mark.parametrize("who", ["b", "c"])
def test_who_is_cancelled_while_it_waits_or_is_put_forward_holds_up_nobody(desk: Desk, clock: Clock, who: str) -> None:
    desk.submit("a", "b", "c", "d", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)
    desk.settle(delivery)
    assert desk.where("b") == ["PENDING", "ready"]

    assert desk.broker.cancel([who]) == [Status.CANCELLED]

    desk.lawful()
    assert ids(desk) == [{"b": "c", "c": "b"}[who]]
    desk.lawful()


def test_who_expires_when_it_is_put_forward_holds_up_nobody(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "c", more=more(concurrency=1))
    delivery = desk.take()
    desk.submit("b", more=more(concurrency=1)[:-1] + ',"expires_in":"5","priority":"9"}')
    ids(desk)
    desk.settle(delivery)
    assert desk.where("b") == ["PENDING", "ready"]

    clock.go_on(6)

    assert ids(desk) == []
    assert desk.where("b") == ["EXPIRED"]
    assert ids(desk) == ["c"]


def test_what_a_foreign_hand_has_left_in_the_slots_is_given_back(desk: Desk, clock: Clock) -> None:
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.zadd(keys.slots("slots/add"), {"nobody": 1})
    desk.submit("a", more=more(concurrency=1))
    assert ids(desk) == []

    clock.go_on(5)
    desk.broker.admit()

    assert ids(desk) == ["a"]


def test_a_batch_that_ends_the_one_in_front_and_the_next_lets_the_others_go_on(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", "c", "d", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)
    desk.settle(delivery)
    assert desk.where("b") == ["PENDING", "ready"]

    assert desk.broker.cancel(["b", "c"]) == [Status.CANCELLED] * 2

    desk.lawful()
    assert ids(desk) == ["d"]


def test_a_batch_that_expires_lets_the_others_go_on(desk: Desk, clock: Clock) -> None:
    late = more(concurrency=1)[:-1] + ',"expires_in":"5"}'
    desk.submit("a", more=more(concurrency=1))
    desk.submit("b", "c", more=late)
    desk.submit("d", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)
    desk.settle(delivery)

    clock.go_on(6)
    assert desk.broker.expire()[0] == 2

    desk.lawful()
    assert ids(desk) == ["d"]


def _put_forward_into_a_paused_queue(desk: Desk) -> None:
    """Task b is, and c waits behind it, which goes to another queue."""
    desk.submit("a", "b", more=more(concurrency=1))
    delivery = desk.take()
    desk.submit("c", queue="other", more=more(concurrency=1))
    desk.claim(count=5, queues=("default", "other"))
    desk.app.limits.pause_queue("default")
    desk.settle(delivery)


def test_who_was_put_forward_into_a_paused_queue_keeps_nobody_back_for_long(desk: Desk, clock: Clock) -> None:
    _put_forward_into_a_paused_queue(desk)
    assert desk.where("b") == ["PENDING", "ready"]

    clock.go_on(5)
    desk.broker.admit()

    assert ids(desk, queues=("default", "other")) == ["c"]
    desk.lawful()


def test_after_a_jump_back_who_was_put_forward_keeps_nobody_back_for_long(desk: Desk, clock: Clock) -> None:
    _put_forward_into_a_paused_queue(desk)
    desk.broker.admit()

    clock.go_on(-3600)
    desk.broker.admit()

    assert ids(desk, queues=("default", "other")) == ["c"]


def test_who_was_put_forward_and_is_gone_is_not_waited_for(desk: Desk, clock: Clock) -> None:
    desk.submit("a", "b", "c", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)
    desk.settle(delivery)
    desk.app.clients.commands.delete(desk.app.keys.task("b"))

    clock.go_on(5)
    desk.broker.admit()

    assert ids(desk) == ["c"]


# ---- keys of other programs ---------------------------------------------------------------------

FOREIGN = (
    "slots:slots/add",
    "rooms:slots/add",
    "room:slots/add",
    "waiting:slots/add",
    "gates",
    "gates:looked",
    "controls",
)


@pytest.mark.parametrize("where", FOREIGN)
@pytest.mark.parametrize("end", ["settle", "release", "recover", "cancel", "admit", "purge", "claim"])
def test_a_key_that_another_program_has_taken_loses_no_task(desk: Desk, clock: Clock, where: str, end: str) -> None:
    desk.submit("a", "b", "c", more=more(concurrency=1))
    delivery = desk.take()
    ids(desk)
    desk.submit("plain", name="other")
    if end not in ("settle", "release", "recover"):
        desk.settle(delivery)
    commands, key = desk.app.clients.commands, f"{desk.app.keys.prefix}{where}"
    commands.delete(key)
    commands.set(key, "of another program")

    with suppress(ForeignData):
        match end:
            case "settle":
                assert desk.settle(delivery)
            case "release":
                assert desk.broker.release("w", [(delivery.id, delivery.token)]) == [True]
            case "recover":
                assert desk.broker.recover("w", ["a"]).ready == 1
            case "cancel":
                assert desk.broker.cancel(["b"]) == [Status.CANCELLED]
            case "purge":
                desk.broker.purge("default", 5)
            case "admit":
                clock.go_on(5)
                desk.broker.admit()
            case "claim":
                desk.claim(count=9)
    if end == "recover":
        desk.hire("w", lease=1e6)

    assert commands.get(key) == "of another program"
    states = {task: desk.where(task) for task in ("a", "b", "c", "plain")}
    lost = {task: found for task, found in states.items() if found[0] == "PENDING" and "ready" not in found}
    assert lost == {}
    commands.delete(key)  # whoever put it there has taken it away again
    list(desk.app.doctor.repair(0))
    desk.lawful()
    taken = desk.claim(count=9, costs={"add": 1, "other": 1}, budget=99).deliveries
    assert "plain" in [one.id for one in taken] or desk.where("plain") == ["CANCELLED"]


def test_what_the_doctor_makes_ready_holds_no_slot(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_queue("default", concurrency=1)
    desk.submit("a")
    desk.take()
    desk.app.clients.commands.delete(desk.app.keys.claimed("w"))

    assert [str(done.done) for done in desk.app.doctor.repair(0)] == ["made ready at the head of its queue"]

    assert ids(desk) == ["a"]


def test_a_slot_of_a_queue_whose_task_is_gone_is_given_back(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_queue("default", concurrency=1)
    desk.submit("a", "b")
    desk.take()
    desk.app.clients.commands.delete(desk.app.keys.task("a"))
    assert ids(desk) == []

    desk.broker.admit()

    assert ids(desk) == ["b"]


# ---- what operators set ---------------------------------------------------------------------------


def test_a_limit_set_at_run_time_goes_before_that_of_the_code(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_task("add", concurrency=2)
    desk.submit("a", "b", "c", more=more(concurrency=1))

    assert ids(desk) == ["a", "b"]


def test_a_limit_can_be_set_for_a_name_that_has_none(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_task("add", rate="1/s")
    desk.submit("a", "b")

    assert ids(desk) == ["a"]
    clock.go_on(1)
    desk.broker.admit()
    assert ids(desk) == ["b"]


@pytest.mark.parametrize("key", ["", "acme"])
def test_a_rate_that_is_raised_holds_for_who_waits_already(desk: Desk, clock: Clock, key: str) -> None:
    desk.submit("a", "b", more=more(key, rate_limit="1/d"))
    assert ids(desk) == ["a"]

    desk.app.limits.set_task("add", rate="1/s")
    assert desk.broker.admit() == 1
    clock.go_on(1)
    desk.broker.admit()

    assert ids(desk) == ["b"]


def test_a_rate_that_is_raised_holds_though_the_first_who_waited_is_cancelled(desk: Desk, clock: Clock) -> None:
    x, y = (more(rate_limit="1/d", concurrency=1, concurrency_key=lambda *_, key=key: key) for key in "xy")
    desk.submit("a", "b", more=x)
    desk.submit("c", more=y)
    assert ids(desk, count=1) == ["a"]
    assert ids(desk) == []
    desk.broker.cancel(["b"])

    desk.app.limits.set_task("add", rate="1/s")
    desk.broker.admit()
    clock.go_on(1)
    desk.broker.admit()

    assert ids(desk) == ["c"]


def test_a_rate_that_is_taken_away_holds_nobody_any_more(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_task("add", rate="1/d")
    desk.submit("a", "b")
    assert ids(desk) == ["a"]

    desk.app.limits.clear_task("add")
    desk.broker.admit()

    assert ids(desk) == ["b"]


def test_a_limit_that_is_taken_away_lets_all_go_on(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_task("add", concurrency=1)
    desk.submit(*"abcd")
    assert ids(desk) == ["a"]
    assert ids(desk) == []

    desk.app.limits.clear_task("add")
    desk.broker.admit()

    assert ids(desk) == ["b", "c", "d"]
    desk.lawful()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call puts some 20 tasks forward at most, instead of some 500."""
    edit(monkeypatch, lambda text: text.replace("MOST_MOVED = 5, 100, 50, 500\n", "MOST_MOVED = 5, 100, 50, 20\n"))


def _put_aside(desk: Desk, **limits: Any) -> None:
    """Of six keys six tasks each."""
    for key in range(6):
        desk.submit(*(f"k{key}t{number}" for number in range(6)), more=more(f"k{key}", **limits))
    while desk.claim(count=6).may_be_more:
        pass


def _admitted(desk: Desk) -> list[int]:
    """How many tasks are put forward by each call until the last of the calls that are to come at once."""
    commands, ready, counts = desk.app.clients.commands, desk.app.keys.queue("default"), []
    wait: float | None = 0.0
    while wait == 0:
        before = commands.llen(ready)
        wait = desk.broker.admit()
        counts.append(commands.llen(ready) - before)
    return counts


def test_when_a_limit_of_many_keys_is_raised_one_call_puts_some_forward(
    desk: Desk, clock: Clock, small_steps: None
) -> None:
    _put_aside(desk, rate_limit="1/d")
    desk.app.limits.set_task("add", rate="10000/s")
    desk.broker.admit()
    clock.go_on(1)

    counts = _admitted(desk)

    assert counts == [20, 10]
    desk.lawful()


def test_when_a_paused_name_goes_on_one_call_puts_some_forward(desk: Desk, clock: Clock, small_steps: None) -> None:
    desk.app.limits.pause_task("add")
    _put_aside(desk, concurrency=100)
    desk.app.limits.resume_task("add")

    counts = _admitted(desk)

    assert counts == [24, 12]
    desk.lawful()


def test_the_tasks_of_a_paused_name_wait_and_the_others_run(desk: Desk, clock: Clock) -> None:
    desk.app.limits.pause_task("add", by="ops", reason="the mail server is down")
    desk.submit("a", "b")
    desk.submit("c", name="other")

    assert ids(desk) == ["c"]
    assert desk.where("a") == ["WAITING", "waiting"]
    desk.lawful()

    assert desk.app.limits.resume_task("add")
    assert desk.broker.admit() is None
    assert ids(desk) == ["a", "b"]
    assert not desk.app.limits.resume_task("add")


def test_a_paused_queue_gives_nothing_and_rings_when_it_goes_on(desk: Desk, clock: Clock) -> None:
    desk.submit("a", more='{"priority":"9"}')
    desk.submit("b")
    desk.submit("c", queue="other")
    desk.app.limits.pause_queue("default")
    bell = desk.app.keys.bell("default")

    assert ids(desk, queues=("default", "other")) == ["c"]
    assert desk.where("a") == ["PENDING", "ready"]
    desk.claim(queues=("default",), woken=True)
    assert desk.app.clients.commands.llen(bell) == 0
    desk.lawful()

    assert desk.app.limits.resume_queue("default")
    assert desk.app.clients.commands.llen(bell) > 0
    assert ids(desk, queues=("default", "other")) == ["a", "b"]


def test_a_queue_gives_no_more_than_may_run_and_rings_when_one_has_ended(desk: Desk, clock: Clock) -> None:
    desk.app.limits.set_queue("default", concurrency=2)
    desk.submit(*"abc")
    desk.submit("d", queue="other")
    first = desk.claim(count=10, queues=("default", "other")).deliveries
    assert [one.id for one in first] == ["a", "b", "d"]
    assert desk.where("c") == ["PENDING", "ready"]
    assert ids(desk) == []

    desk.settle(first[0])

    assert desk.app.clients.commands.llen(desk.app.keys.bell("default")) > 0
    assert ids(desk) == ["c"]


def test_what_is_set_is_shown(desk: Desk, clock: Clock) -> None:
    limits = desk.app.limits
    limits.set_task("add", rate="100/m", concurrency=3)
    limits.pause_task("add", by="ops")
    limits.set_queue("mail", concurrency=2)

    queue, task = limits.all()

    assert (queue.kind, queue.name, queue.concurrency, queue.pause) == ("queue", "mail", 2, None)
    assert (task.kind, task.name, task.rate, task.concurrency) == ("task", "add", "100/m", 3)
    assert task.pause
    assert (task.pause.by, task.pause.since) == ("ops", clock.now)


# ---- all of it in random order --------------------------------------------------------------------

NAMES = ("a", "b")
KEYS = ("x", "y")
INTERVAL, SLOTS = 1.0, 2
_runs = itertools.count()


@dataclass
class Seen:
    """What a test has seen, by key: when tasks began, and which run."""

    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    running: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Machine(RuleBasedStateMachine):
    """Limited and other tasks come and go; no limit is ever passed, nobody passes another one of the same
    kind, and in the end nothing is stuck."""

    clients: Clients
    covered: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.app = make_app(self.clients, f"gates{next(_runs)}")
        self.clock = Clock(self.app)
        self.elapsed = 0.0  # whatever the clock says
        self.desk = Desk(self.app)
        self.desk.hire("w", "v", lease=1e9)
        self.seen = Seen()
        self.kinds: dict[str, tuple[str, str]] = {}
        self.held: dict[str, tuple[str, Delivery]] = {}
        self.numbers = itertools.count(1)
        self.in_order: dict[str, tuple[str, ...]] = {}

    def teardown(self) -> None:
        try:
            self._drain()
        finally:
            wipe(self.app)

    def _drain(self) -> None:
        for name in NAMES:
            if self.app.limits.of("task", name).pause:  # it looks at all gates of the name
                self.app.limits.resume_task(name)
        for queue in ("default", "other"):
            self.app.limits.resume_queue(queue)
        for _ in range(300):
            self._go_on(1)
            for task in [*self.held]:
                self._end(task, Status.SUCCESS)
            self.desk.broker.admit()
            self.desk.broker.promote(early=True)
            self.claim("w", 3, quarantine=False)
            self.claim("w", 3, quarantine=True)
            if not self.held and not self._unfinished():
                return
        raise AssertionError(f"stuck: {self._unfinished()}")

    def _go_on(self, seconds: float) -> None:
        self.clock.go_on(seconds)
        self.elapsed += seconds

    def _unfinished(self) -> list[str]:
        records = self.app.inspector.tasks([*self.kinds])
        return [record.id for record in records if record and record.status not in FINISHED]

    @initialize(queue=st.sampled_from(["default", "other"]), priority=st.sampled_from(["", ',"priority":"9"']))
    def tenants_have_tasks(self, queue: str, priority: str) -> None:
        for tenant in (',"fair":"t"', ',"fair":"u"'):
            for delay, expires in ((None, ""), (0.4, ""), (None, ',"expires_in":"1.500"'), (2.0, ""), (None, "")):
                self.submit("a", "x", "free", queue, priority, tenant, 1, delay, expires)
        self.claim("w", 2, quarantine=False)
        self._end(min(self.held), Status.FAILED)
        self.claim("v", 1, quarantine=False)

    @initialize(
        kind=st.sampled_from(["rate", "slots", "both"]),
        queue=st.sampled_from(["default", "other"]),
        priority=st.sampled_from(["", ',"priority":"9"']),
    )
    def alike_tasks_wait_for_a_limit(self, kind: str, queue: str, priority: str) -> None:
        self.submit("b", "y", kind, queue, priority, "", 4, None, "")
        self.submit("b", "y", kind, "other", priority, "", 1, None, "")
        self.claim("v", 12, quarantine=False)
        self.time_goes_on(2.5)

    @rule(
        name=st.sampled_from(NAMES),
        key=st.sampled_from(KEYS),
        kind=st.sampled_from(["rate", "slots", "both", "free"]),
        queue=st.sampled_from(["default", "other"]),
        priority=st.sampled_from(["", ',"priority":"9"', ',"priority":"0"']),
        tenant=st.sampled_from(["", ',"fair":"t"', ',"fair":"u"']),
        count=st.integers(1, 4),
        delay=st.sampled_from([None, None, None, 0.4, 2.0]),
        expires=st.sampled_from(["", "", "", ',"expires_in":"1.500"']),
    )
    def submit(
        self,
        name: str,
        key: str,
        kind: str,
        queue: str,
        priority: str,
        tenant: str,
        count: int,
        delay: float | None,
        expires: str,
    ) -> None:
        options: dict[str, Any] = {}
        if kind in ("rate", "both"):
            options["rate_limit"] = f"{1 / INTERVAL:g}/s"
        if kind in ("slots", "both"):
            options["concurrency"] = SLOTS
        text = more(key, **options)[:-1] + priority + tenant + expires + "}"
        for _ in range(count):
            task = f"t{next(self.numbers)}"
            self.kinds[task] = (kind, f"{name}/{key}")
            if not tenant and not delay and not expires:
                self.in_order[task] = (kind, name, key, queue, priority)
            self.desk.broker.enqueue([Message(task, name, "[]", "{}", queue, 3, delay, more=text)])

    @rule(worker=st.sampled_from(["w", "v"]), count=st.integers(1, 5), quarantine=st.sampled_from([False, False, True]))
    def claim(self, worker: str, count: int, quarantine: bool) -> None:
        options: dict[str, Any] = {"costs": {"a": 1, "b": 1}, "budget": 100, "quarantine": quarantine}
        claimed = self.desk.claim(worker, count, ("default", "other"), **options)
        assert claimed.dropped == ()
        self._nobody_was_passed([delivery.id for delivery in claimed.deliveries])
        for delivery in claimed.deliveries:
            kind, key = self.kinds[delivery.id]
            self.held[delivery.id] = (worker, delivery)
            if kind in ("rate", "both"):
                self.seen.starts[key].append(self.elapsed)
            if kind in ("slots", "both"):
                self.seen.running[key].add(delivery.id)

    def _nobody_was_passed(self, begun: Sequence[str]) -> None:
        """Of those that are alike, have no tenant and were never anywhere else, the first to come begins first."""
        passed = []
        for task in begun:
            if alike := self.in_order.pop(task, None):
                earlier = [one for one in self.in_order if self.in_order[one] == alike and int(one[1:]) < int(task[1:])]
                passed += [(record, task) for record in self.app.inspector.tasks(earlier)]
        assert [(one.id, task) for one, task in passed if one and one.status not in FINISHED] == []

    def _end(self, task: str, status: Status, delay: float = 0.0) -> None:
        worker, delivery = self.held.pop(task)
        body = "1" if status is Status.SUCCESS else '{"type":"E","message":"m","traceback":""}'
        self.desk.settle(delivery, status, body, delay, worker)
        for running in self.seen.running.values():
            running.discard(task)

    @rule(
        data=st.data(),
        status=st.sampled_from([Status.SUCCESS, Status.SUCCESS, Status.FAILED, Status.RETRYING]),
        delay=st.sampled_from([0.0, 1.0]),
    )
    def settle(self, data: st.DataObject, status: Status, delay: float) -> None:
        if self.held:
            self._end(data.draw(st.sampled_from(sorted(self.held))), status, delay * (status is Status.RETRYING))

    @rule(data=st.data())
    def dead_letters_are_revived(self, data: st.DataObject) -> None:
        if dead := self.clients.commands.lrange(self.app.keys.dead_letter, 0, -1):
            some = data.draw(st.lists(st.sampled_from(sorted(dead)), min_size=1, max_size=4, unique=True))
            with self._covering("revived", some):
                assert all(self.desk.broker.revive(some, f"revival{next(self.numbers)}"))

    @rule(data=st.data(), is_followed=st.booleans())
    def a_front_is_deleted(self, data: st.DataObject, is_followed: bool) -> None:
        """By a foreign hand; the next of its tenant comes into line by the next submission, or as the upkeep has it."""
        records = self.app.inspector.tasks(self._unfinished())
        passes = {
            one.id: self.clients.commands.hget(self.app.keys.task(one.id), "pass") or "" for one in records if one
        }
        fronts = [one for one in records if one and one.status == "PENDING" and passes[one.id].startswith("fair/")]
        if not fronts:
            return
        front = data.draw(st.sampled_from(fronts))
        _, priority, queue, tenant = passes[front.id].split("/")
        self.clients.commands.delete(self.app.keys.task(front.id))
        self.clients.commands.lrem(self.app.keys.priority(queue, int(priority)), 0, front.id)
        waiting = self.clients.commands.zrange(self.app.keys.waiting(passes[front.id]), 0, -1)
        with self._covering("healed", waiting):
            if is_followed:
                self.submit("a", "x", "free", queue, f',"priority":"{priority}"', f',"fair":"{tenant}"', 1, None, "")
            else:
                self.desk.broker.turn([passes[front.id]])

    @contextmanager
    def _covering(self, step: str, ids: Sequence[str]) -> Iterator[None]:
        """Count for how many tasks of tenants the step has changed the state, by the step and the new state."""
        before = {one.id: one.status for one in self.app.inspector.tasks(ids) if one}
        yield
        after = [one for one in self.app.inspector.tasks(ids) if one]
        self.covered.update(f"{step}: {one.status}" for one in after if one.fair_key and one.status != before[one.id])

    @rule(worker=st.sampled_from(["w", "v"]))
    def a_worker_is_lost(self, worker: str) -> None:
        lost = [task for task, (who, _) in self.held.items() if who == worker]
        with self._covering("recovered", lost):
            self.desk.broker.recover(worker, ["*"])
        for task in lost:
            del self.held[task]
            for running in self.seen.running.values():
                running.discard(task)
        self.desk.hire(worker, lease=1e9)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [task for task in self._unfinished() if task not in self.held]
        if waiting:
            some = st.lists(st.sampled_from(sorted(waiting)), min_size=1, max_size=4, unique=True)
            self.desk.broker.cancel(data.draw(some))

    @rule(data=st.data())
    def a_run_is_given_back(self, data: st.DataObject) -> None:
        if self.held:
            worker, delivery = self.held.pop(data.draw(st.sampled_from(sorted(self.held))))
            self.desk.broker.release(worker, [(delivery.id, delivery.token)])
            for running in self.seen.running.values():
                running.discard(delivery.id)

    @rule(source=st.sampled_from(["default", "other"]), priority=st.sampled_from([5, 9]))
    def a_list_is_purged(self, source: str, priority: int) -> None:
        self.desk.broker.purge(source, priority)

    @rule(source=st.sampled_from(["default", "other"]))
    def a_queue_is_moved(self, source: str) -> None:
        self.in_order = {task: alike for task, alike in self.in_order.items() if source not in alike}
        self.app.limits.move(source, "other" if source == "default" else "default")

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.5, 6.0]))
    def time_goes_on(self, seconds: float) -> None:
        self._go_on(seconds)
        self.desk.broker.admit()
        unfinished = self._unfinished()
        with self._covering("expired", unfinished):
            self.desk.broker.expire()
        with self._covering("promoted", unfinished):
            self.desk.broker.promote()

    @rule(key=st.sampled_from(KEYS), seconds=st.sampled_from([0.4, 1000.0]))
    def the_clock_is_set_back_while_some_wait(self, key: str, seconds: float) -> None:
        self.submit("b", key, "rate", "default", "", "", 3, None, "")
        self.claim("w", 5, quarantine=False)
        self.clock.go_on(-seconds)

    @rule(queue=st.sampled_from(["default", "other"]), tenant=st.sampled_from(["t", "u"]))
    def a_tenant_waits_for_too_long(self, queue: str, tenant: str) -> None:
        self.submit("a", "x", "slots", queue, "", f',"fair":"{tenant}"', 2, None, ',"expires_in":"1.500"')
        self.time_goes_on(2.5)

    @rule()
    def delayed_tasks_come(self) -> None:
        self.desk.broker.promote(early=True)

    @rule(name=st.sampled_from(NAMES), on=st.booleans())
    def a_name_is_paused(self, name: str, on: bool) -> None:
        if on:
            self.app.limits.pause_task(name)
        else:
            self.app.limits.resume_task(name)

    @rule(queue=st.sampled_from(["default", "other"]), on=st.booleans())
    def a_queue_is_paused(self, queue: str, on: bool) -> None:
        if on:
            self.app.limits.pause_queue(queue)
        else:
            self.app.limits.resume_queue(queue)

    @rule(queue=st.sampled_from(["default", "other"]), seconds=st.sampled_from([0.0, 1.0, 100.0]))
    def a_queue_has_ageing(self, queue: str, seconds: float) -> None:
        if seconds:
            self.app.limits.set_queue(queue, ageing=seconds)
        else:
            self.app.limits.clear_queue(queue)

    @invariant()
    def no_limit_is_passed(self) -> None:
        for key, running in self.seen.running.items():
            assert len(running) <= SLOTS, key
        for key, starts in self.seen.starts.items():
            for first, last in itertools.combinations(range(len(starts)), 2):
                most = (starts[last] - starts[first] + 1) / INTERVAL + 1
                assert last - first + 1 <= most + 1e-6, (key, starts)

    @invariant()
    def nobody_has_two_turns_in_a_round(self) -> None:
        keys, pipe = self.app.keys, self.clients.commands.pipeline(transaction=False)
        places = [*itertools.product(("default", "other"), (5, 9))]
        for queue, priority in places:
            pipe.lrange(keys.priority(queue, priority), 0, -1)
            pipe.zrange(keys.tenants(queue, priority), 0, -1, withscores=True)
            for tenant in "tu":
                pipe.zcard(keys.waiting(f"fair/{priority}/{queue}/{tenant}"))
        answers = pipe.execute()
        for ids, counted, *waiting in zip(*[iter(answers)] * 4, strict=True):
            assert [int(count) for _, count in sorted(counted)] == [count for count in waiting if count]
            for task in ids:
                pipe.hmget(keys.task(task), "status", "pass")
            standing = pipe.execute()
            fronts = [room for status, room in standing if status == "PENDING" and room and room.startswith("fair/")]
            assert len(fronts) == len(set(fronts)), fronts

    @invariant()
    def every_task_is_in_exactly_one_place(self) -> None:
        assert [str(violation) for violation in self.app.doctor.violations()] == []


def test_no_limit_is_passed_and_nothing_is_stuck(real_clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    monkeypatch.setattr(Machine, "clients", real_clients, raising=False)
    monkeypatch.setattr(Machine, "covered", Counter(), raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=30,
            phases=(Phase.generate,),
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    steps = {step.partition(":")[0] for step in Machine.covered}
    wanted = {"promoted", "expired", "recovered", "revived", "healed"}
    assert steps == wanted, f"what tenants' tasks have gone through: {Machine.covered}"
