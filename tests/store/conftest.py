"""Drives the scripts by hand: who claims what, and where everything is afterwards."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.handover import Answer, Claim, Claimed, Kept, Settlement
from minicelery.message import Delivery, Message
from minicelery.options import more_of
from minicelery.states import Status
from tests.store.clock import Clock, install
from tests.store.edits import edit

#: The name of all tasks of the desk, as one known to be short.
SHORT = {"add": 1}


class Desk:
    """The broker, with the numbers filled in."""

    def __init__(self, app: MiniCelery) -> None:
        self.app = app
        self.broker = app.broker
        self._claims = itertools.count(1)

    def message(self, task_id: str, queue: str = "default", *, name: str = "add", **more: Any) -> Message:
        """A message; what it has ``more`` than others by the names of ``CallOptions``, or as enqueue.lua takes it."""
        named = {option: more.pop(option) for option in ("priority", "expires", "tags") if option in more}
        if "more" not in more:
            more["more"] = more_of(named)
        return Message(task_id, name, "[1,2]", "{}", queue, 3, **more)

    def submit(self, *task_ids: str, queue: str = "default", **more: Any) -> list[Answer]:
        return self.broker.enqueue([self.message(task_id, queue, **more) for task_id in task_ids])

    def hire(self, *workers: str, lease: float = 60.0) -> None:
        self.broker.beat(dict.fromkeys(workers, "{}"), lease)

    def claim(self, worker: str = "w", count: int = 1, queues: tuple[str, ...] = ("default",), **more: Any) -> Claimed:
        """Up to ``count`` tasks; unless said otherwise, all of them count as short."""
        number = next(self._claims)
        more = {"budget": count, "costs": SHORT, **more}
        return self.broker.claim(Claim(worker, 0, number, f"nonce{number:06}", queues, count, **more))

    def take(self, worker: str = "w") -> Delivery:
        [delivery] = self.claim(worker).deliveries
        return delivery

    def settle(
        self, delivery: Delivery, status: Status = Status.SUCCESS, body: str = "3", delay: float = 0, worker: str = "w"
    ) -> Kept:
        [kept] = self.broker.settle(worker, [Settlement(delivery.id, delivery.token, status, body, delay)])
        return kept

    def fail(self, delivery: Delivery, worker: str = "w") -> Kept:
        body = '{"type":"E","message":"m","traceback":"t"}'
        return self.settle(delivery, Status.FAILED, body, worker=worker)

    def cancel(self, task_id: str) -> Status | None:
        [state] = self.broker.cancel([task_id])
        return state

    def let_expire(self, task_id: str) -> None:
        """As if it was too late for a task by now."""
        commands, keys = self.app.clients.commands, self.app.keys
        commands.hset(keys.task(task_id), "expires", "1.000")
        commands.zadd(keys.expiring, {task_id: 1})

    def life(self, task_id: str) -> float:
        """The seconds that a task is kept yet; -1: for ever."""
        return float(self.app.clients.commands.ttl(self.app.keys.task(task_id)))

    def where(self, task_id: str) -> list[str]:
        """The state of a task and every place that holds its id."""
        keys = self.app.keys
        locate = [keys.task(task_id), keys.delayed, keys.dead_letter, keys.workers]
        return list(self.app.scripts.run("locate", locate, [task_id]))

    def fields(self, task_id: str) -> set[str]:
        """The names of all that Redis keeps of a task."""
        return set(self.app.clients.commands.hkeys(self.app.keys.task(task_id)))

    def lawful(self) -> None:
        assert [str(violation) for violation in self.app.doctor.violations()] == []


def staffed(app: MiniCelery, lease: float = 1e6) -> Desk:
    """A desk with a worker whose lease outlasts all that a test lets happen."""
    desk = Desk(app)
    desk.hire("w", lease=lease)
    return desk


def wipe(app: MiniCelery) -> None:
    """Take away all that an application has in Redis. The server of the tests has much else: it is looked through in
    large steps."""
    commands = app.clients.commands
    if keys := list(commands.scan_iter(f"{app.keys.prefix}*", count=10_000)):
        commands.delete(*keys)


@pytest.fixture
def desk(app: MiniCelery) -> Desk:
    return Desk(app)


@pytest.fixture
def clock(app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> Clock:
    install(monkeypatch)
    return Clock(app)


@pytest.fixture
def long_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready lists of more than three ids count as so long that nothing is taken out of them."""
    edit(monkeypatch, lambda text: text.replace("local looks = 100000\n", "local looks = 3\n"))


@pytest.fixture
def heard(app: MiniCelery) -> Iterator[Callable[[], list[str]]]:
    """Listens to the events of the task "t" from now on; called, it gives those published so far."""
    channel = app.clients.commands.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(app.keys.events("t"))
    texts: list[str] = []

    def so_far() -> list[str]:
        while (message := channel.get_message(timeout=0.05)) is not None or channel.connection.can_read(0):
            if message:
                texts.append(message["data"])
        return texts

    channel.get_message(timeout=1)
    yield so_far
    channel.close()
