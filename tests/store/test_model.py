"""The scripts in random order against a model: several workers, clock jumps, lost and late replies.

The law that every task is in exactly one place is checked after every step, and so is every place's content.
"""

import hashlib
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from minicelery import MiniCelery, scripts
from minicelery.connection import Clients
from minicelery.handover import Claim, Recovery, Settlement
from minicelery.message import Delivery, Message
from minicelery.states import FINISHED, Status
from tests.conftest import make_app
from tests.tapped import Tapped

IDS = ("a", "b", "c", "d", "e")
WORKERS = ("w1", "w2", "w3")
QUEUES = ("high", "low")
ERROR = '{"type":"E","message":"m","traceback":""}'
#: What claims know of the run times of tasks, in microseconds: one name is long.
COSTS = {"add": 2, "mul": 3}
NAMES = (*COSTS, "long")
#: One of the workers knows the names of the tasks; the others can only pass them on to it.
INFO = {
    "w1": '{"queues":["high","low"],"tasks":["add","mul","long"]}',
    "w2": "{}",
    "w3": '{"queues":["high"],"tasks":[]}',
}
LINES = tuple((queue, quarantine) for queue in QUEUES for quarantine in (False, True))
LEASE = 15.0
_runs = itertools.count()


@dataclass
class Model:
    """What Redis should hold."""

    now: float = 1_000_000.0
    status: dict[str, Status] = field(default_factory=dict)
    queue: dict[str, str] = field(default_factory=dict)
    name: dict[str, str] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    crashes: Counter[str] = field(default_factory=Counter)
    solo_crashes: Counter[str] = field(default_factory=Counter)
    passed_on: Counter[str] = field(default_factory=Counter)
    quarantined: set[str] = field(default_factory=set)
    ready: dict[tuple[str, bool], list[str]] = field(default_factory=lambda: {line: [] for line in LINES})
    delayed: dict[str, float] = field(default_factory=dict)
    claimed: dict[str, dict[str, str]] = field(default_factory=lambda: {worker: {} for worker in WORKERS})
    leases: dict[str, float] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)

    def holds(self, worker: str, delivery: Delivery) -> bool:
        return self.claimed[worker].get(delivery.id) == delivery.token

    def line(self, task: str) -> tuple[str, bool]:
        return self.queue[task], task in self.quarantined

    def make_ready(self, task: str, *, at_the_head: bool = False) -> None:
        self.status[task] = Status.PENDING
        line = self.ready[self.line(task)]
        line.insert(0 if at_the_head else len(line), task)

    def next_batch(self, claim: Claim) -> list[str]:
        """What a claim should get."""
        batch: list[str] = []
        for queue in claim.queues:
            waiting = self.ready[queue, claim.quarantine]
            for task in waiting[: max(1, -(-len(waiting) // claim.share))]:
                costs = [claim.costs.get(self.name[each], claim.budget + 1) for each in (*batch, task)]
                if batch and (len(batch) == claim.count or sum(costs) > claim.budget):
                    return batch
                batch.append(task)
        return batch

    def begin_anew(self, task: str) -> None:
        self.quarantined.discard(task)
        for counter in (self.crashes, self.solo_crashes):
            counter.pop(task, None)

    def crash(self, task: str, *, alone: bool) -> bool:
        """Count a crash; True if the task is a dead letter by now."""
        self.crashes[task] += 1
        if task in self.quarantined:
            self.solo_crashes[task] += alone
            return self.solo_crashes[task] >= 3 or self.crashes[task] >= 10
        if self.crashes[task] >= 2:
            self.quarantined.add(task)
        return False

    def knows_another(self, worker: str) -> bool:
        return worker != "w1" and self.leases.get("w1", 0) > self.now


class Twice(Tapped):
    """A client that loses the first reply of a call now and then, so that it is sent again."""

    lose_next = False

    def send_packed_command(self, command: Any) -> None:
        if self.lose_next:
            self.lose_next = False
            super().send_packed_command(command)
            self.read_response()
        super().send_packed_command(command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


class Machine(RuleBasedStateMachine):
    clients: Clients
    deliveries = Bundle("deliveries")

    def __init__(self) -> None:
        super().__init__()
        self.wire = Twice(self.clients.commands)
        self.app: MiniCelery = make_app(Clients(self.wire, self.clients.blocking), f"model{next(_runs)}")
        self.app.scripts.load_all()
        self.broker = self.app.broker
        self.model = Model()
        self.numbers = itertools.count(1)
        self.sent: list[Claim] = []
        self.settled: dict[str, str] = {}
        self.released: dict[str, str] = {}
        self._set_clock()

    def teardown(self) -> None:
        commands = self.clients.commands
        if keys := list(commands.scan_iter(f"{self.app.keys.prefix}*")):
            commands.delete(*keys)

    def _set_clock(self) -> None:
        self.clients.commands.set(f"{self.app.keys.prefix}clock", f"{self.model.now:.3f}")

    # ---- what can happen ----------------------------------------------------------------------

    @rule(lose=st.booleans())
    def lose_the_next_reply(self, lose: bool) -> None:
        self.wire.lose_next = lose

    @rule(seconds=st.sampled_from([-3600.0, -5.0, 1.0, 10.0, 16.0, 3600.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.model.now += seconds
        self._set_clock()

    @rule(
        ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3),
        queue=st.sampled_from(QUEUES),
        name=st.sampled_from(NAMES),
        delay=st.sampled_from([None, 5.0]),
    )
    def submit(self, ids: list[str], queue: str, name: str, delay: float | None) -> None:
        model = self.model
        answers = self.broker.enqueue([Message(task, name, "[]", "{}", queue, 3, delay) for task in ids])
        for task, answer in zip(ids, answers, strict=True):
            if task not in model.status:
                model.queue[task], model.name[task], model.retries[task] = queue, name, 0
                model.begin_anew(task)
                model.passed_on.pop(task, None)
                if delay is None:
                    model.make_ready(task)
                else:
                    model.status[task] = Status.SCHEDULED
                    model.delayed[task] = model.now + delay
            is_same = model.queue[task] == queue and model.name[task] == name
            assert answer == (model.status[task] if is_same else None)

    @rule(worker=st.sampled_from(WORKERS))
    def beat(self, worker: str) -> None:
        known = self.broker.beat({worker: INFO[worker]}, LEASE)
        if not self.wire.lose_next:
            self.model.leases[worker] = self.model.now + LEASE
        assert set(known) == {worker}

    @rule(
        target=deliveries,
        worker=st.sampled_from(WORKERS),
        count=st.integers(1, 3),
        reverse=st.booleans(),
        quarantine=st.sampled_from([False, False, True]),
        share=st.sampled_from([1, 1, 2]),
        budget=st.sampled_from([0, 5, 100]),
        woken=st.booleans(),
        least_lease=st.sampled_from([0.0, 0.0, 8.0]),
    )
    def claim(self, worker: str, reverse: bool, **limits: Any) -> Any:
        model, number = self.model, next(self.numbers)
        queues = QUEUES[::-1] if reverse else QUEUES
        claim = Claim(worker, 0, number, f"n{number:08}", queues, costs=COSTS, **limits)
        claimed = self.broker.claim(claim)
        self.sent.append(claim)
        if model.leases.get(worker, 0) <= model.now + claim.least_lease:
            assert not claimed.leased
            return multiple()
        if worker in model.stopped:
            assert (claimed.leased, claimed.deliveries) == (True, ())
            return multiple()
        assert sorted(delivery.id for delivery in claimed.deliveries) == sorted(model.next_batch(claim))
        for delivery in claimed.deliveries:
            model.ready[model.line(delivery.id)].remove(delivery.id)
            model.status[delivery.id] = Status.RUNNING
            model.claimed[worker][delivery.id] = delivery.token
            assert delivery.retry_count == model.retries[delivery.id]
        assert claimed.dropped == ()
        return multiple(*((worker, delivery) for delivery in claimed.deliveries))

    @rule(worker=st.sampled_from(WORKERS))
    def a_claim_arrives_after_another_has_taken_its_place(self, worker: str) -> None:
        number = next(self.numbers)
        for queues in ((), QUEUES):
            claim = Claim(worker, 0, number, f"n{number:08}", queues, costs=COSTS)
            assert self.broker.claim(claim).deliveries == ()
            self.sent.append(claim)

    @rule()
    def a_worker_is_woken_up_to_stop(self) -> None:
        """The third one, so that two go on."""
        worker = WORKERS[2]
        self.broker.wake(worker, 1)
        if any(claim.worker == worker for claim in self.sent):
            self.model.stopped.add(worker)

    @rule(data=st.data())
    def an_old_claim_arrives_late(self, data: st.DataObject) -> None:
        if self.sent:
            claim = data.draw(st.sampled_from(self.sent))
            for delivery in self.broker.claim(claim).deliveries:
                assert self.model.holds(claim.worker, delivery)

    @rule(
        held=deliveries,
        status=st.sampled_from([Status.SUCCESS, Status.FAILED, Status.RETRYING]),
        delay=st.sampled_from([0.0, 5.0]),
    )
    def settle(self, held: tuple[str, Delivery], status: Status, delay: float) -> None:
        model, (worker, delivery) = self.model, held
        current = model.holds(worker, delivery)
        [kept] = self.broker.settle(worker, [Settlement(delivery.id, delivery.token, status, "{}", delay)])
        if not current:
            assert kept == (self.settled.get(delivery.id) == delivery.token)
            return
        assert kept
        self.settled[delivery.id] = delivery.token
        del model.claimed[worker][delivery.id]
        model.status[delivery.id] = status
        if status is Status.FAILED:
            model.dead.insert(0, delivery.id)
        elif status is Status.RETRYING:
            model.retries[delivery.id] += 1
            model.delayed[delivery.id] = model.now + delay

    @rule(held=deliveries)
    def release(self, held: tuple[str, Delivery]) -> None:
        model, (worker, delivery) = self.model, held
        current = model.holds(worker, delivery)
        [given] = self.broker.release(worker, [(delivery.id, delivery.token)])
        assert given == (current or self.released.get(delivery.id) == delivery.token)
        if current:
            self.released[delivery.id] = delivery.token
            del model.claimed[worker][delivery.id]
            model.passed_on[delivery.id] += 1
            model.make_ready(delivery.id, at_the_head=True)

    @rule(held=deliveries)
    def pass_on(self, held: tuple[str, Delivery]) -> None:
        model, (worker, delivery) = self.model, held
        current, known = model.holds(worker, delivery), model.knows_another(worker)
        answer = self.broker.pass_on(worker, delivery.id, delivery.token, ERROR)
        if not current:
            was_settled = self.settled.get(delivery.id) == delivery.token
            was_released = self.released.get(delivery.id) == delivery.token
            assert answer == (Status.FAILED if was_settled else Status.SCHEDULED if was_released else None)
            return
        del model.claimed[worker][delivery.id]
        model.status[delivery.id] = Status.SCHEDULED if known else Status.FAILED
        assert answer == model.status[delivery.id]
        if known:
            self.released[delivery.id] = delivery.token
            model.delayed[delivery.id] = model.now + min(2, 0.25 * 2 ** model.passed_on[delivery.id])
            model.passed_on[delivery.id] += 1
        else:
            self.settled[delivery.id] = delivery.token
            model.dead.insert(0, delivery.id)

    @rule(held=deliveries)
    def progress(self, held: tuple[str, Delivery]) -> None:
        worker, delivery = held
        assert self.broker.progress(delivery.id, delivery.token, '"done":1') == self.model.holds(worker, delivery)

    @rule(worker=st.sampled_from(WORKERS), expired=st.booleans(), begun=st.booleans())
    def recover(self, worker: str, expired: bool, begun: bool) -> None:
        model = self.model
        lost = list(model.claimed[worker])
        moved = self.broker.recover(worker, lost if begun else [], expired=expired)
        if expired and not (worker in model.leases and model.leases[worker] <= model.now):
            assert moved == Recovery()
            return
        model.claimed[worker].clear()
        model.leases.pop(worker, None)
        buried = [task for task in lost if (begun or expired) and model.crash(task, alone=not expired)]
        self._adopt_order([task for task in lost if task not in buried], buried)

    def _adopt_order(self, recovered: list[str], buried: list[str]) -> None:
        """Recovered tasks stand at the head of their queues; in which order among themselves is not promised."""
        for line, tasks in self.model.ready.items():
            mine = {task for task in recovered if self.model.line(task) == line}
            actual = self._line(*line)
            assert set(actual[: len(mine)]) == mine
            tasks[:0] = actual[: len(mine)]
        actual = self.clients.commands.lrange(self.app.keys.dead_letter, 0, len(buried) - 1) if buried else []
        assert set(actual) == set(buried)
        self.model.dead[:0] = actual
        for task in buried:
            self.model.status[task] = Status.FAILED
        for task in recovered:
            self.model.status[task] = Status.PENDING

    @rule(early=st.booleans())
    def promote(self, early: bool) -> None:
        model = self.model
        due = sorted((when, task) for task, when in model.delayed.items() if early or when <= model.now)
        moved, wait = self.broker.promote(early=early)
        for _, task in due:
            del model.delayed[task]
            model.make_ready(task)
        assert wait == (max(0.0, min(model.delayed.values()) - model.now) if model.delayed else None)
        assert moved in (len(due), 0)  # 0: the reply was lost, and the second call found nothing

    @rule(task=st.sampled_from(IDS))
    def revive(self, task: str) -> None:
        dead = self.model.status.get(task) is Status.FAILED
        assert self.broker.revive([task], f"r{next(self.numbers)}") == [dead]
        if dead:
            self.model.dead.remove(task)
            self.model.retries[task] = 0
            self.model.begin_anew(task)
            self.model.make_ready(task)

    @rule(task=st.sampled_from(IDS))
    def forget(self, task: str) -> None:
        before = self.model.status.get(task)
        assert self.broker.forget(task, FINISHED, f"f{next(self.numbers)}") == before
        if self.model.status.get(task) in FINISHED:
            del self.model.status[task]
            self.settled.pop(task, None)
            self.released.pop(task, None)
            if task in self.model.dead:
                self.model.dead.remove(task)

    # ---- what must hold -----------------------------------------------------------------------

    def _line(self, queue: str, quarantine: bool) -> list[str]:
        key = (self.app.keys.quarantine if quarantine else self.app.keys.queue)(queue)
        return list(self.clients.commands.lrange(key, 0, -1))[::-1]

    @invariant()
    def every_task_is_in_exactly_one_place(self) -> None:
        lost, self.wire.lose_next = self.wire.lose_next, False
        assert [str(violation) for violation in self.app.doctor.violations()] == []
        self.wire.lose_next = lost

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        model, commands, keys = self.model, self.clients.commands, self.app.keys
        assert {line: self._line(*line) for line in LINES} == model.ready
        assert dict(commands.zrange(keys.delayed, 0, -1, withscores=True)) == pytest.approx(model.delayed)
        assert commands.lrange(keys.dead_letter, 0, -1) == model.dead
        assert {worker: commands.hgetall(keys.claimed(worker)) for worker in WORKERS} == model.claimed
        stored = {task: commands.hmget(keys.task(task), "status", "retry_count") for task in IDS}
        assert stored == {
            task: [model.status[task], str(model.retries[task])] if task in model.status else [None, None]
            for task in IDS
        }


def test_the_law_holds_after_every_step(real_clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    original = scripts.load

    def with_a_clock_of_ours(name: str) -> scripts.Script:
        text = original(name).text
        clock = "local function now() return tonumber(redis.call('GET', prefix .. 'clock')) end"
        start = text.find("local function now()")
        if start < 0:
            return original(name)
        end = text.index("\nend\n", start) + len("\nend\n")
        text = f"{text[:start]}{clock}\n{text[end:]}"
        return scripts.Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    monkeypatch.setattr(scripts, "load", with_a_clock_of_ours)
    monkeypatch.setattr(Machine, "clients", real_clients, raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=120,
            stateful_step_count=40,
            phases=(Phase.generate,),  # a failure is shown as found; making it shorter takes minutes
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
