"""What a task takes of Redis's memory is what docs/guarantees.md says."""

import pytest

from minicelery.message import Message
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
