"""The doctor: what it finds, what it lets pass, and what it costs."""

from typing import Any

import pytest
import redis.client

from minicelery import MiniCelery
from minicelery.states import Status
from tests.store.conftest import Desk


def _found(desk: Desk) -> set[str]:
    return {str(violation) for violation in desk.app.doctor.violations()}


def test_a_task_in_a_second_queue_is_found(desk: Desk) -> None:
    desk.submit("t")
    desk.app.clients.commands.lpush(desk.app.keys.queue("other"), "t", "t")

    assert _found(desk) == {"t: is PENDING and in ready and queue other and queue other, but belongs in ready"}


def test_a_task_twice_in_its_queue_is_found(desk: Desk) -> None:
    desk.submit("t")
    desk.app.clients.commands.lpush(desk.app.keys.queue("default"), "t")

    assert _found(desk) == {"t: is PENDING and in ready and ready, but belongs in ready"}


def test_a_task_in_the_hands_of_two_workers_is_found(desk: Desk) -> None:
    desk.hire("w", "w2")
    desk.submit("t")
    token = desk.take("w").token
    desk.app.clients.commands.hset(desk.app.keys.claimed("w2"), "t", token)

    assert _found(desk) == {"t: is RUNNING and in claimed and claimed by w2, but belongs in claimed"}


def test_a_claim_with_another_token_than_the_tasks_is_found(desk: Desk) -> None:
    desk.hire("w")
    desk.submit("t")
    desk.take("w")
    desk.app.clients.commands.hset(desk.app.keys.claimed("w"), "t", "0.another")

    assert _found(desk) == {"t: is RUNNING and in claimed by w, but belongs in claimed"}


def test_an_id_without_a_task_is_found_wherever_it_is(desk: Desk) -> None:
    desk.hire("w")
    commands, keys = desk.app.clients.commands, desk.app.keys
    commands.lpush(keys.queue("a"), "ghost")
    commands.zadd(keys.delayed, {"ghost": 1})
    commands.lpush(keys.dead_letter, "ghost")
    commands.hset(keys.claimed("w"), "ghost", "1.x")

    assert _found(desk) == {"ghost: is in delayed and dead and a and claimed by w, but there is no such task"}


def test_a_task_that_moves_at_every_look_is_not_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.hire("w")
    desk.submit("t")
    taken: list[Any] = []
    moves = iter([lambda: taken.append(desk.take()), lambda: desk.fail(taken[0])])
    read = redis.client.Pipeline.pttl

    def read_after_a_move(self: Any, key: str) -> Any:
        next(moves)()
        return read(self, key)

    monkeypatch.setattr(redis.client.Pipeline, "pttl", read_after_a_move)

    assert list(desk.app.doctor.violations()) == []

    assert desk.where("t") == ["FAILED", "dead"]
    assert list(moves) == []


@pytest.fixture
def sent(fake_app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of every command that the app sends from now on, a pipeline counting as one."""
    names: list[str] = []
    commands = fake_app.clients.commands
    send, execute = commands.execute_command, redis.client.Pipeline.execute

    def counted(*args: Any, **options: Any) -> Any:
        names.append(args[0])
        return send(*args, **options)

    def counted_pipeline(self: Any, *args: Any, **options: Any) -> Any:
        names.append("pipeline")
        return execute(self, *args, **options)

    monkeypatch.setattr(commands, "execute_command", counted)
    monkeypatch.setattr(redis.client.Pipeline, "execute", counted_pipeline)
    return names


def test_a_thousand_lawful_tasks_cost_some_round_trips_and_no_script(fake_app: MiniCelery, sent: list[str]) -> None:
    desk = Desk(fake_app)
    desk.hire("w")
    desk.submit(*(f"t{number}" for number in range(900)))
    desk.submit(*(f"d{number}" for number in range(100)), due=4e9)
    for delivery in desk.claim(count=300).deliveries[:200]:
        desk.settle(delivery, Status.SUCCESS)
    sent.clear()

    assert _found(desk) == set()

    assert {"SCAN", "LRANGE", "pipeline"} <= set(sent)
    assert not {"EVAL", "EVALSHA", "LPOS", "HMGET"} & set(sent)
    assert len(sent) <= 25, sent
