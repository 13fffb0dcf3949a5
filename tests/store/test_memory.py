"""What a task takes of Redis's memory is what docs/guarantees.md says."""

import json

import pytest

from minicelery import MiniCelery
from minicelery.message import Idempotency, Message
from tests.store.conftest import Desk

#: As long as ids and workers' names are in real life.
TASK = "6ec8846c-8780-4a04-bf4d-2df751942ee1"
WORKER = "host.example-12345-a1b2c3"


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_a_small_task_takes_as_little_memory_as_is_said(desk: Desk) -> None:
    commands, task = desk.app.clients.commands, desk.app.keys.task(TASK)
    desk.hire(WORKER)

    desk.submit(TASK)
    waiting = commands.memory_usage(task)
    desk.settle(desk.take(WORKER), worker=WORKER)

    assert waiting <= 330
    assert commands.memory_usage(task) <= 430


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_arguments_of_some_hundred_bytes_take_what_they_are_long_and_little_more(desk: Desk) -> None:
    commands, body = desk.app.clients.commands, f'["{"x" * 500}"]'

    desk.broker.enqueue([Message(TASK, "add", body, "{}", "default", 3)])

    assert commands.memory_usage(desk.app.keys.task(TASK)) <= 330 + 1.3 * len(body)


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_keys_of_uniqueness_and_of_requests_take_as_little_memory_as_is_said(app: MiniCelery) -> None:
    @app.task
    def add(x: int, y: int) -> None: ...

    add.apply_async((1, 2), unique_for=60)
    add.apply_async((1, 2), debounce=60)
    add.apply_async((1, 2), debounce=60)
    sent = [add.message((1, number), {}, {}) for number in range(200)]
    app.sender.send_once(sent[:1], Idempotency("k" * 40, "r" * 40, 60))
    app.sender.send_once(sent, Idempotency("l" * 40, "r" * 40, 60))

    found = {
        key.removeprefix(app.keys.prefix).split(":")[0] + key[-1]: app.clients.commands.memory_usage(key)
        for key in app.clients.commands.scan_iter(f"{app.keys.prefix}*")
    }
    sizes = {name[:-1]: size for name, size in found.items()}
    assert max(sizes["unique"], sizes["debounce"], sizes["debounced"]) <= 180
    assert found["idempotencyk"] <= 240
    assert found["idempotencyl"] <= 200 * 60


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_a_lock_takes_as_little_memory_as_is_said(app: MiniCelery) -> None:
    def used() -> int:
        return sum(app.clients.commands.memory_usage(key) for key in app.clients.commands.keys(f"{app.keys.prefix}*"))

    with app.lock("invoice:42"):
        assert used() <= 120 + 152 + 30
    assert used() <= 104 + 72 + 30


def all_used(app: MiniCelery) -> int:
    """The bytes of all that is there, each list and set counted to its last entry."""
    commands = app.clients.commands
    return sum(commands.memory_usage(key, samples=0) for key in commands.scan_iter(f"{app.keys.prefix}*", count=5000))


def more_for_each(desk: Desk, count: int, tenant: str) -> float:
    """The bytes that a task with a fair key takes more than one without; ``tenant`` may have its number in it."""
    desk.hire(WORKER)
    sizes = [all_used(desk.app)]
    for queue, key in (("plain", None), ("fair", tenant)):
        more = [json.dumps({"fair": key.format(number)}) if key else "" for number in range(count)]
        ids = [f"{TASK[:-5]}{number:05}" for number in range(len(sizes) * count, (len(sizes) + 1) * count)]
        desk.broker.enqueue(
            [Message(one, "add", "[1,2]", "{}", queue, 3, more=text) for one, text in zip(ids, more, strict=True)]
        )
        sizes.append(all_used(desk.app))
    nothing, plain, fair = sizes
    return ((fair - plain) - (plain - nothing)) / count


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_a_task_that_waits_for_its_tenants_turn_takes_as_little_more_as_is_said(desk: Desk) -> None:
    assert more_for_each(desk, 1000, "tenant-1") <= 210


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_a_tenant_with_a_task_in_line_takes_as_little_as_is_said(desk: Desk) -> None:
    assert more_for_each(desk, 1000, "tenant-{}") <= 260


@pytest.mark.parametrize("clients", ["embedded", "redis-server"], indirect=True)
def test_what_the_code_says_of_queues_takes_as_little_memory_as_is_said(desk: Desk) -> None:
    def used(queues: int) -> int:
        desk.broker.beat({WORKER: "{}"}, 60, {f"queue-{number:03}": "3:60.000" for number in range(queues)})
        return int(desk.app.clients.commands.memory_usage(desk.app.keys.queue_settings))

    assert used(1) <= 110
    assert used(50) <= 110 + 49 * 30
