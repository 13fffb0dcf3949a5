"""The scripts in random order against a model: several workers, clock jumps, lost and late replies.

The law that every task is in exactly one place is checked after every step, and so is every place's content.
"""

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

from minicelery import MiniCelery
from minicelery.bulk import Verb
from minicelery.connection import Clients
from minicelery.handover import Claim, Recovery, Settlement
from minicelery.letters import Selection
from minicelery.message import Delivery, Message
from minicelery.options import more_of
from minicelery.states import FINISHED, Status
from tests.conftest import make_app
from tests.store.clock import install
from tests.store.conftest import wipe
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
VERBS: tuple[Verb, ...] = ("retry", "delete")
QUARANTINE = "quarantine"
#: The lists of a queue in the order in which they are served, and that of its quarantine.
LANES = ("9", "5", "0")
LINES = tuple((queue, lane) for queue in QUEUES for lane in (*LANES, QUARANTINE))
#: A minute after which a running task that may not begin any more is looked at again.
PAUSE = 60.0
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
    priority: dict[str, str] = field(default_factory=dict)
    expires: dict[str, float] = field(default_factory=dict)
    expiring: dict[str, float] = field(default_factory=dict)
    tagged: set[str] = field(default_factory=set)
    token: dict[str, str] = field(default_factory=dict)
    ready: dict[tuple[str, str], list[str]] = field(default_factory=lambda: {line: [] for line in LINES})
    delayed: dict[str, float] = field(default_factory=dict)
    claimed: dict[str, dict[str, str]] = field(default_factory=lambda: {worker: {} for worker in WORKERS})
    leases: dict[str, float] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)

    def holds(self, worker: str, delivery: Delivery) -> bool:
        return self.claimed[worker].get(delivery.id) == delivery.token

    def is_cancelled(self, delivery: Delivery) -> bool:
        """Whether it was the last delivery of a task that is cancelled."""
        is_last = self.token.get(delivery.id) == delivery.token
        return is_last and self.status.get(delivery.id) is Status.CANCELLED

    def line(self, task: str) -> tuple[str, str]:
        return self.queue[task], QUARANTINE if task in self.quarantined else self.priority[task]

    def make_ready(self, task: str, *, at_the_head: bool = False) -> None:
        self.status[task] = Status.PENDING
        line = self.ready[self.line(task)]
        line.insert(0 if at_the_head else len(line), task)

    def next_batch(self, claim: Claim) -> tuple[list[str], list[str]]:
        """What a claim should get, and what it should pass by, as it is too late for it."""
        batch: list[str] = []
        late: list[str] = []
        spent, is_full = 0, False
        for line in [
            (queue, lane) for queue in claim.queues for lane in ((QUARANTINE,) if claim.quarantine else LANES)
        ]:
            waiting, looked_at = self.ready[line], 0
            most = min(claim.count, len(batch) + max(1, -(-len(waiting) // claim.share)))
            for task in waiting:
                if is_full or len(batch) >= most:
                    break
                if self.expires.get(task, self.now + 1) <= self.now:
                    late.append(task)
                else:
                    together = spent + claim.costs.get(self.name[task], 10**9)
                    if batch and together > claim.budget:
                        break
                    spent = together
                    batch.append(task)
                    is_full = spent >= claim.budget
                looked_at += 1
            if is_full or looked_at < len(waiting) or len(batch) >= claim.count:
                break
        return batch, late

    def end(self, task: str, status: Status) -> None:
        """A task that waits is over, or a run is that has succeeded."""
        self.status[task] = status
        self.delayed.pop(task, None)
        self.leave_indexes(task)
        for waiting in self.ready.values():
            if task in waiting:
                waiting.remove(task)

    def leave_indexes(self, task: str) -> None:
        self.tagged.discard(task)
        self.expiring.pop(task, None)

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
        wipe(self.app)

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
        delay=st.sampled_from([None, None, 5.0]),
        priority=st.sampled_from([5, 5, 9, 0]),
        expires=st.sampled_from([None, None, 4.0, 12.0]),
        tags=st.sampled_from([(), ("x",)]),
    )
    def submit(
        self,
        ids: list[str],
        queue: str,
        name: str,
        delay: float | None,
        priority: int,
        expires: float | None,
        tags: Any,
    ) -> None:
        model = self.model
        more = more_of({"priority": priority, "expires": expires, "tags": tags})
        answers = self.broker.enqueue([Message(task, name, "[]", "{}", queue, 3, delay, None, more) for task in ids])
        for task, answer in zip(ids, answers, strict=True):
            if task not in model.status:
                model.queue[task], model.name[task], model.retries[task] = queue, name, 0
                model.begin_anew(task)
                model.passed_on.pop(task, None)
                model.priority[task] = str(priority)
                if tags:
                    model.tagged.add(task)
                if expires is not None:
                    model.expires[task] = model.expiring[task] = model.now + expires
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
        batch, late = model.next_batch(claim)
        assert sorted(delivery.id for delivery in claimed.deliveries) == sorted(batch)
        assert claimed.passed in (len(late), 0)  # 0: the reply was lost, and the second call is a repeat
        for task in late:
            model.end(task, Status.EXPIRED)
        for delivery in claimed.deliveries:
            model.ready[model.line(delivery.id)].remove(delivery.id)
            model.status[delivery.id] = Status.RUNNING
            model.claimed[worker][delivery.id] = model.token[delivery.id] = delivery.token
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
        if not self.sent:
            return
        model, claim = self.model, data.draw(st.sampled_from(self.sent))
        has_lease = model.leases.get(claim.worker, 0) > model.now + claim.least_lease
        is_last = claim.number == max(sent.number for sent in self.sent if sent.worker == claim.worker)
        for delivery in self.broker.claim(claim).deliveries:
            assert model.holds(claim.worker, delivery)
        held = model.claimed[claim.worker]
        for task, token in [*held.items()]:
            is_over = token.endswith(claim.nonce) and model.status[task] is Status.CANCELLED
            if is_over and has_lease and is_last:
                del held[task]

    @rule(
        held=deliveries,
        status=st.sampled_from([Status.SUCCESS, Status.FAILED, Status.RETRYING]),
        delay=st.sampled_from([0.0, 5.0]),
    )
    def settle(self, held: tuple[str, Delivery], status: Status, delay: float) -> None:
        model, (worker, delivery) = self.model, held
        current = model.holds(worker, delivery)
        [kept] = self.broker.settle(worker, [Settlement(delivery.id, delivery.token, status, "{}", delay)])
        if model.is_cancelled(delivery) and self.settled.get(delivery.id) != delivery.token:
            assert kept is None
            model.claimed[worker].pop(delivery.id, None)
            return
        if not current:
            assert kept == (self.settled.get(delivery.id) == delivery.token)
            return
        assert kept
        self.settled[delivery.id] = delivery.token
        del model.claimed[worker][delivery.id]
        model.status[delivery.id] = status
        if status is Status.SUCCESS:
            model.leave_indexes(delivery.id)
        elif status is Status.FAILED:
            model.dead.insert(0, delivery.id)
        elif status is Status.RETRYING:
            model.retries[delivery.id] += 1
            model.delayed[delivery.id] = model.now + delay

    @rule(held=deliveries)
    def release(self, held: tuple[str, Delivery]) -> None:
        model, (worker, delivery) = self.model, held
        current = model.holds(worker, delivery)
        [given] = self.broker.release(worker, [(delivery.id, delivery.token)])
        noted = (self.settled.get(delivery.id), self.released.get(delivery.id))
        if model.is_cancelled(delivery) and delivery.token not in noted:
            assert given is None
            model.claimed[worker].pop(delivery.id, None)
            return
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
        if model.is_cancelled(delivery):
            assert answer is Status.CANCELLED
            model.claimed[worker].pop(delivery.id, None)
            return
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
        kept = self.broker.progress(delivery.id, delivery.token, '"done":1')
        assert kept == (None if self.model.is_cancelled(delivery) else self.model.holds(worker, delivery))

    @rule(worker=st.sampled_from(WORKERS), expired=st.booleans(), begun=st.booleans())
    def recover(self, worker: str, expired: bool, begun: bool) -> None:
        model = self.model
        lost = [task for task in model.claimed[worker] if model.status[task] is Status.RUNNING]
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
            self._is_revived(task)

    def _is_revived(self, task: str) -> None:
        self.model.dead.remove(task)
        self.model.retries[task] = 0
        self.model.expires.pop(task, None)
        self.model.expiring.pop(task, None)
        self.model.begin_anew(task)
        self.model.make_ready(task)

    @rule(
        verb=st.sampled_from(VERBS),
        queue=st.sampled_from((None, *QUEUES)),
        name=st.sampled_from((None, *NAMES)),
        look=st.integers(1, 3),
    )
    def walk_through_the_dead(self, verb: Verb, queue: str | None, name: str | None, look: int) -> None:
        model = self.model
        meant = [
            task
            for task in reversed(model.dead)
            if queue in (None, model.queue[task]) and name in (None, model.name[task])
        ]
        bulk = self.app.bulk
        steps = bulk.steps(verb, bulk.walk(Selection(queue=queue, name=name)), look)
        assert sum(step.done for step in steps) == len(meant)
        for task in meant:
            self._is_revived(task) if verb == "retry" else self._is_forgotten(task)

    @rule(task=st.sampled_from(IDS))
    def forget(self, task: str) -> None:
        is_held = any(task in held for held in self.model.claimed.values())
        before = Status.RUNNING if is_held else self.model.status.get(task)
        assert self.broker.forget(task, FINISHED, f"f{next(self.numbers)}") == before
        if self.model.status.get(task) in FINISHED and not is_held:
            self._is_forgotten(task)

    def _is_forgotten(self, task: str) -> None:
        del self.model.status[task]
        self.model.leave_indexes(task)
        for noted in (self.settled, self.released, self.model.token, self.model.expires):
            noted.pop(task, None)
        if task in self.model.dead:
            self.model.dead.remove(task)

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=2), interrupt=st.booleans())
    def cancel(self, ids: list[str], interrupt: bool) -> None:
        model = self.model
        answers = self.broker.cancel(ids, interrupt=interrupt)
        for task, answer in zip(ids, answers, strict=True):
            state = model.status.get(task)
            if state is Status.RUNNING:
                model.status[task] = Status.CANCELLED
                model.leave_indexes(task)
            elif state is not None and state not in FINISHED:
                model.end(task, Status.CANCELLED)
            assert answer == model.status.get(task)

    @rule()
    def expire(self) -> None:
        model = self.model
        late = [task for task, when in model.expiring.items() if when <= model.now]
        over = 0
        ended, wait = self.broker.expire()
        for task in late:
            if model.status[task] is Status.RUNNING:
                model.expiring[task] = max(model.expires[task], model.now + PAUSE)
            elif model.status[task] is Status.FAILED:
                del model.expiring[task]
            else:
                over += 1
                model.end(task, Status.EXPIRED)
        assert wait == (max(0.0, min(model.expiring.values()) - model.now) if model.expiring else None)
        assert ended in (over, 0)  # 0: the reply was lost, and the second call found nothing

    # ---- what must hold -----------------------------------------------------------------------

    def _line(self, queue: str, lane: str) -> list[str]:
        keys = self.app.keys
        key = keys.quarantine(queue) if lane == QUARANTINE else keys.priority(queue, int(lane))
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

    @invariant()
    def the_indexes_hold_what_the_model_holds(self) -> None:
        model, commands, keys = self.model, self.clients.commands, self.app.keys
        named = {queue: set(commands.zrange(keys.priorities(queue), 0, -1)) for queue in QUEUES}
        assert named == {
            queue: {lane for lane in LANES if lane != "5" and model.ready[queue, lane]} for queue in QUEUES
        }
        assert dict(commands.zrange(keys.expiring, 0, -1, withscores=True)) == pytest.approx(model.expiring)
        assert set(commands.zrange(keys.tag("x"), 0, -1)) == model.tagged
        kept = {task for task in IDS if commands.hexists(keys.task(task), "keep")}
        held = {task for held in model.claimed.values() for task in held}
        assert kept == {task for task in held if model.status[task] is Status.CANCELLED}


def test_the_law_holds_after_every_step(real_clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
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
