"""Many sockets on one hub: it works in slices, and lets others in between them."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wsproto.events import Ping

from minicelery import MiniCelery
from minicelery.events import connected, describe
from minicelery.web.fanout import SLICE
from minicelery.web.hub import Hub
from minicelery.web.loop import REST
from minicelery.web.watching import Arrival
from minicelery.world import World
from tests.watcher import GONE, PATIENCE, Client, TaskOnWire

MANY = 4 * SLICE


class CountedSocket(socket.socket):
    """Tells its crowd when something is sent."""

    crowd: "Crowd"

    def send(self, data: Any, *flags: int) -> int:
        self.crowd.sends += 1
        return super().send(data, *flags)


class Crowd:
    """Many sockets on one task. What the hub sends is counted, and how much it was at each of its rests."""

    def __init__(self, celery: MiniCelery) -> None:
        self.hub = Hub(celery.inspector, celery.clients, celery.keys, World(sleep=self.rest))
        self.loop = self.hub._running()
        self.task = TaskOnWire(celery)
        self.sends = 0
        self.slices: list[int] = []
        self.pauses: list[float] = []
        self.at_rest: Callable[[], object] = int
        record = celery.inspector.task(self.task.id)
        first = connected(record, describe(record))
        self.clients: list[Client] = []
        for _ in range(MANY):
            ours, theirs = socket.socketpair()
            counted = CountedSocket(fileno=ours.detach())
            counted.crowd = self
            self.hub.attach(self.hub.watch(self.task.id), Arrival(counted, b"", first, record.updated_at))
            self.clients.append(Client.of(theirs))
        assert all(client.names(1) == ["connected"] for client in self.clients)
        self.forget()

    def rest(self, seconds: float) -> None:
        """In the hub's thread."""
        self.pauses.append(seconds)
        self.forget()
        self.at_rest()

    def forget(self) -> None:
        self.slices.append(self.sends)
        self.sends = 0

    def close(self) -> None:
        self.hub.close_all()
        for client in self.clients:
            client.close()


@pytest.fixture
def crowd(real_app: MiniCelery) -> Iterator[Crowd]:
    crowd = Crowd(real_app)
    crowd.slices.clear()
    yield crowd
    crowd.close()


def test_between_two_slices_of_sends_the_hub_rests(crowd: Crowd) -> None:
    crowd.task.start()

    assert all(client.names(1) == ["started"] for client in crowd.clients)
    assert crowd.slices == [SLICE] * (MANY // SLICE - 1)
    assert set(crowd.pauses) == {REST}


def test_what_others_post_is_done_before_a_long_fan_out_has_ended(crowd: Crowd) -> None:
    done_after: list[int] = []

    def ask_once() -> None:
        crowd.at_rest = int
        crowd.loop.post(lambda: done_after.append(sum(crowd.slices)))

    crowd.at_rest = ask_once
    crowd.task.start()

    assert all(client.names(1) == ["started"] for client in crowd.clients)
    assert done_after == [SLICE]


def test_between_two_slices_of_what_peers_say_the_hub_rests(crowd: Crowd) -> None:
    is_held, all_said = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        all_said.wait(PATIENCE)

    crowd.loop.post(hold)
    assert is_held.wait(PATIENCE)
    for client in crowd.clients:
        client.say(Ping(b"hello"))
    all_said.set()

    assert all(client.next().payload == b"hello" for client in crowd.clients)  # type: ignore[attr-defined]
    assert max(crowd.slices) <= SLICE
    assert len(crowd.slices) >= MANY // SLICE - 1


def test_a_reader_too_slow_is_cut_off_while_the_crowd_is_told_all(crowd: Crowd) -> None:
    slow, *others = crowd.clients
    crowd.task.start()
    assert all(client.names(1) == ["started"] for client in others)

    for number in range(15):  # more than the kernel's buffers and ours can hold
        crowd.task.progress(number, "x" * 50_000)
        assert all(client.event()[1]["current"] == number for client in others)
    crowd.task.settle()

    assert all(client.names(1) == ["completed"] for client in others)
    assert slow.end() in (1013, GONE)
