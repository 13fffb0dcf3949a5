"""Unique tasks in random order: whoever has a key deserves it, and whoever deserves one has it."""

import itertools
import json

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from minicelery import MiniCelery
from minicelery.connection import Clients
from minicelery.handover import Accepted
from minicelery.message import Delivery
from minicelery.states import FINISHED, Status
from tests.conftest import make_app
from tests.store.conftest import Desk, wipe
from tests.store.test_model import Twice

KEYS = ("k", "l")
ERROR = '{"type":"E","message":"m","traceback":""}'
_runs = itertools.count()


class Machine(RuleBasedStateMachine):
    clients: Clients

    def __init__(self) -> None:
        super().__init__()
        self.wire = Twice(self.clients.commands)
        self.app: MiniCelery = make_app(Clients(self.wire, self.clients.blocking), f"unique{next(_runs)}")
        self.app.scripts.load_all()
        self.desk, self.broker = Desk(self.app), self.app.broker
        self.numbers = itertools.count()
        #: The tasks that were given a key, and until when: while it is here, a task is to have it.
        self.until: dict[str, tuple[str, str]] = {}
        self.held: list[Delivery] = []
        self.desk.hire("w")

    def teardown(self) -> None:
        wipe(self.app)

    @rule()
    def lose_the_next_reply(self) -> None:
        self.wire.lose_next = True

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3),
        until=st.sampled_from(["finish", "start"]),
        delay=st.sampled_from([None, None, 60.0]),
        expires=st.sampled_from([{}, {}, {"expires": "1"}]),
    )
    def submit(self, keys: list[str], until: str, delay: float | None, expires: dict[str, str]) -> None:
        messages = []
        for key in keys:
            more = {"once": until, "once_key": f"add:{key}", "hold": "3600000", **expires}
            messages.append(self.desk.message(f"t{next(self.numbers)}", delay=delay, more=json.dumps(more)))
        for key, message, answer in zip(keys, messages, self.broker.enqueue(messages), strict=True):
            holders = [task for task, (mine, _) in self.until.items() if mine == key]
            if isinstance(answer, Accepted):
                assert holders == [answer.id]
            else:
                assert holders == []
                self.until[message.id] = key, until

    @rule()
    def claim(self) -> None:
        claimed = self.desk.claim().deliveries
        self.held += claimed
        for delivery in claimed:
            if self.until.get(delivery.id, ("", ""))[1] == "start":
                del self.until[delivery.id]

    @rule(data=st.data(), status=st.sampled_from([Status.SUCCESS, Status.FAILED, Status.RETRYING]))
    def settle(self, data: st.DataObject, status: Status) -> None:
        if self.held:
            self.desk.settle(data.draw(st.sampled_from(self.held)), status, ERROR, 0.0)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.held:
            delivery = data.draw(st.sampled_from(self.held))
            self.broker.release("w", [(delivery.id, delivery.token)])

    @rule(data=st.data())
    def pass_on(self, data: st.DataObject) -> None:
        if self.held:
            delivery = data.draw(st.sampled_from(self.held))
            self.broker.pass_on("w", delivery.id, delivery.token, ERROR)

    @rule(begun=st.booleans())
    def recover(self, begun: bool) -> None:
        self.broker.recover("w", [delivery.id for delivery in self.held] if begun else [])
        self.desk.hire("w")

    @rule(early=st.booleans())
    def promote(self, early: bool) -> None:
        self.broker.promote(early=early)

    @rule()
    def expire(self) -> None:
        self.broker.expire()

    @rule(data=st.data(), how=st.sampled_from(["cancel", "revive", "forget"]))
    def reach_for(self, data: st.DataObject, how: str) -> None:
        if not (ids := sorted(self.app.inspector.task_ids())):
            return
        task, nonce = data.draw(st.sampled_from(ids)), f"n{next(self.numbers)}"
        if how == "cancel":
            self.broker.cancel([task])
        elif how == "revive":
            self.broker.revive([task], nonce)
        else:
            self.broker.forget(task, FINISHED, nonce)

    @invariant()
    def who_has_a_key_deserves_it_and_who_deserves_one_has_it(self) -> None:
        lost, self.wire.lose_next = self.wire.lose_next, False
        claimed = self.clients.commands.hgetall(self.app.keys.claimed("w"))
        for task in list(self.until):
            state = (self.app.inspector.tasks([task])[0] or None) and self.app.inspector.task(task).status
            if state is None or (state in FINISHED and task not in claimed):
                del self.until[task]
        there = {key: self.clients.commands.get(self.app.keys.unique(f"add:{key}")) for key in KEYS}
        assert {key: task for key, task in there.items() if task} == {
            key: task for task, (key, _) in self.until.items()
        }
        self.desk.lawful()
        self.wire.lose_next = lost


def test_after_every_step_the_keys_are_with_those_who_deserve_them(
    real_clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "clients", real_clients, raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            phases=(Phase.generate,),
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
