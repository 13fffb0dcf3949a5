"""Schedules in random order against a model: changes, pauses, releases, clock jumps, lost replies and slow workers.

After every step each due time that was to be fired is one task, and every schedule stands where it should.
"""

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from minicelery import MiniCelery
from minicelery.connection import Clients
from minicelery.cron import Rule
from minicelery.errors import ScheduleExists, ScheduleFromCode, ScheduleNotFound
from minicelery.firing import Clockwork
from minicelery.message import Message
from minicelery.schedule import Missed, Origin, Schedule, made_of, task_id_of
from minicelery.slots import plan
from minicelery.timetable import Firing
from tests.conftest import make_app
from tests.store.clock import Clock, install
from tests.store.conftest import wipe
from tests.tapped import Tapped

NAMES = ("a", "b", "code")
#: The one whose task is unique until it ends.
UNIQUE = "b"
#: Shortly before the clocks of Vienna go forward.
BEGIN = 1_774_745_000.0
WORKERS = ("w1", "w2")
RULES = (Rule(every=10), Rule(every=7), Rule(cron="*/2 * * * *", timezone="Europe/Vienna"))
#: The definitions that two releases of the code have under one name.
RELEASES = {"old": RULES[0], "new": RULES[2]}
_runs = itertools.count()


class Clocked(Tapped):
    """A client that loses all replies of a call of scripts now and then, and tells the time of ours."""

    lose_next = False
    clock: Clock

    def send_packed_command(self, command: Any) -> None:
        calls = b"".join(command).count(b"EVALSHA")
        if self.lose_next and calls:
            self.lose_next = False
            super().send_packed_command(command)
            for _ in range(calls):
                self.read_response()
        super().send_packed_command(command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def time(self) -> tuple[int, int]:
        return int(self.clock.now), 0


@dataclass
class Entry:
    """What Redis should hold of a schedule."""

    rule: Rule
    version: str
    missed: Missed = Missed.ONCE
    stands_at: int | None = None
    paused: bool = False
    is_code: bool = False
    replaced: set[str] = field(default_factory=set)
    undeclared: float | None = None
    kept: int | None = None


class Machine(RuleBasedStateMachine):
    clients: Clients

    def __init__(self) -> None:
        super().__init__()
        self.wire = Clocked(self.clients.commands)
        self.app: MiniCelery = make_app(Clients(self.wire, self.clients.blocking), f"schedules{next(_runs)}")
        self.clock = self.wire.clock = Clock(self.app)
        self.clock.go_on(BEGIN - self.clock.now)
        self.call = self.app.task(_work).s()
        self.unique_call = self.call.set(unique_for=1e6)
        self.app.scripts.load_all()
        self.clockwork = Clockwork(self.app.timetable, self.app.agenda, self.app.world)
        self.entries: dict[str, Entry] = {}
        self.declared: dict[str, str] = {}
        self.fired: set[str] = set()
        self.over: set[str] = set()
        self.holder = ""
        self.slow: list[Firing] = []

    def teardown(self) -> None:
        wipe(self.app)

    @rule()
    def lose_the_next_reply(self) -> None:
        self.wire.lose_next = True

    @rule(seconds=st.sampled_from([1, 7, 25, 90, 3700]))
    def time_goes_on(self, seconds: int) -> None:
        self.clock.go_on(seconds)

    @rule()
    def the_clock_jumps_back(self) -> None:
        self.clock.go_on(-100)

    # ---- by people ------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES[:2]), rule=st.sampled_from(RULES), missed=st.sampled_from(Missed))
    def add(self, name: str, rule: Rule, missed: Missed) -> None:
        try:
            call = self.unique_call if name == UNIQUE else self.call
            record = self.app.schedules.add(name, call, missed=missed.value, **_options(rule))
        except ScheduleExists:
            assert name in self.entries
            return
        assert name not in self.entries
        self.entries[name] = Entry(rule, record.schedule.version, missed, rule.after(self.clock.now))

    @rule(name=st.sampled_from(NAMES), rule=st.sampled_from(RULES))
    def change(self, name: str, rule: Rule) -> None:
        entry = self.entries.get(name)
        if entry is None or entry.is_code:
            with pytest.raises(ScheduleFromCode if entry else ScheduleNotFound):
                self.app.schedules.change(name, **_options(rule))
            return
        record = self.app.schedules.change(name, **_options(rule))
        if entry.rule != rule and not entry.paused:
            entry.stands_at = rule.after(self.clock.now)
        entry.rule, entry.version = rule, record.schedule.version

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def pause_or_resume(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.entries)))
        entry = self.entries[name]
        if not entry.paused:
            self.app.schedules.pause(name)
            entry.paused, entry.stands_at = True, None
            return
        self.app.schedules.resume(name)
        entry.paused, entry.kept = False, None
        if entry.undeclared is None:
            entry.stands_at = entry.rule.after(self.clock.now)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        entry = self.entries.get(name)
        if entry is None or (entry.is_code and self._is_declared(entry)):
            with pytest.raises(ScheduleFromCode if entry else ScheduleNotFound):
                self.app.schedules.delete(name)
            return
        self.app.schedules.delete(name)
        del self.entries[name]

    # ---- by workers -----------------------------------------------------------------------------

    @rule(worker=st.sampled_from(WORKERS), release=st.sampled_from([*RELEASES, ""]))
    def start(self, worker: str, release: str) -> None:
        """A worker of a release; one has no schedules in its code."""
        self.declared[worker] = release
        self.app.broker.beat({worker: json.dumps({"schedules": [f"code {release}"] if release else []})}, 1e9)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        self.declared.pop(worker, None)
        self.app.broker.beat({worker: "{}"}, -1)

    @rule(worker=st.sampled_from(WORKERS))
    def declare(self, worker: str) -> None:
        release = self.declared.get(worker)
        if not release:
            return
        self.clockwork.declared = [_of_code(release)]
        self.clockwork.declare()
        entry = self.entries.get("code")
        if entry is None:
            rule = RELEASES[release]
            self.entries["code"] = Entry(rule, release, stands_at=rule.after(self.clock.now), is_code=True)
            return
        if entry.version == release and entry.undeclared is None:
            return
        if entry.version != release and release in entry.replaced and self._is_declared(entry):
            return
        if entry.version != release:
            entry.replaced = (entry.replaced | {entry.version}) - {release}
            entry.kept = None
        elif entry.undeclared is not None and self.clock.now - entry.undeclared >= 3600:
            entry.kept = None
        entry.rule, entry.version = RELEASES[release], release
        if not entry.paused:
            entry.stands_at = entry.rule.after(self.clock.now) if entry.kept is None else entry.kept
        entry.undeclared = entry.kept = None

    def _is_declared(self, entry: Entry) -> bool:
        return not entry.is_code or entry.version in self.declared.values()

    @rule()
    def fire(self) -> None:
        while self.clockwork.fire() == 0.0:
            pass
        for name, entry in self.entries.items():
            while entry.stands_at is not None and entry.stands_at <= self.clock.now:
                planned = plan(entry.rule, entry.missed, 1000, entry.stands_at, self.clock.now)
                self._apply(Firing(name, entry.version, str(entry.stands_at), planned.slots, planned.next))

    @rule()
    def the_unique_task_ends(self) -> None:
        if self.holder:
            self.app.cancel([self.holder])
            self.over.add(self.holder)
            self.holder = ""

    @rule()
    def a_slow_worker_looks(self) -> None:
        """What it finds due it will fire later, whatever happens in between."""
        now, _, found = self.app.timetable.due()
        self.slow = [firing for firing in (self.clockwork._plan(one, now) for one in found) if firing]

    @rule()
    def a_slow_worker_fires(self) -> None:
        for firing in self.slow:
            self.app.timetable.fire([firing])
            self._apply(firing)

    def _apply(self, firing: Firing) -> None:
        entry = self.entries.get(firing.name)
        if not entry or entry.stands_at != int(float(firing.due)) or entry.version != firing.version:
            return
        if not self._is_declared(entry):
            entry.undeclared, entry.kept, entry.stands_at = self.clock.now, entry.stands_at, None
            return
        entry.stands_at = firing.next
        for task_id in (task_id_of(firing.name, slot) for slot in firing.slots):
            if firing.name != UNIQUE:
                self.fired.add(task_id)
            elif not self.holder and task_id not in self.fired:
                self.fired.add(task_id)
                self.holder = task_id

    # ---- what must hold -------------------------------------------------------------------------

    @invariant()
    def each_due_time_is_one_task(self) -> None:
        commands, keys = self.clients.commands, self.app.keys
        waiting = commands.lrange(keys.queue("default"), 0, -1)
        assert sorted(waiting) == sorted(self.fired - self.over)
        assert {key.removeprefix(keys.task("")) for key in commands.scan_iter(keys.task("*"), count=1000)} == self.fired

    @invariant()
    def every_schedule_stands_where_it_should(self) -> None:
        scores = self.clients.commands.zrange(self.app.keys.schedules, 0, -1, withscores=True)
        found = {name: None if score == float("inf") else score for name, score in scores}
        assert found == {name: entry.stands_at for name, entry in self.entries.items()}


def _work() -> None: ...


_work.__name__ = "work"


def _options(rule: Rule) -> dict[str, Any]:
    return {"cron": rule.cron, "timezone": rule.timezone} if rule.cron else {"every": rule.every}


def _of_code(release: str) -> Schedule:
    message = Message("", "work", "[]", "{}", "default", 3)
    return replace(made_of("code", message, RELEASES[release], Missed.ONCE, 1000), origin=Origin.CODE, version=release)


def test_each_due_time_is_fired_once_whatever_happens(real_clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    monkeypatch.setattr(Machine, "clients", real_clients, raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            phases=(Phase.generate,),
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
