"""What a child hears of its tasks, without processes."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.connection import Clients
from minicelery.message import Delivery
from minicelery.trouble import Trouble
from minicelery.worker import cancellations as module
from minicelery.worker.cancellations import Cancellations, Pair, _log
from tests.conftest import make_app
from tests.stack import wait_until
from tests.store.conftest import Desk

Listen = Callable[[], Cancellations]


def _delivery(task_id: str, token: str) -> Delivery:
    return Delivery(task_id, token, "add", "[]", "{}", "default", 0, 3, 0.0)


@pytest.fixture
def hand() -> list[Pair]:
    """What the child has in hand."""
    return []


@pytest.fixture
def runs() -> "Runs":
    return Runs()


@pytest.fixture
def listen(fake_app: MiniCelery, hand: list[Pair], runs: "Runs", monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    """Starts the listener of the worker "w", and returns when it listens."""
    monkeypatch.setattr(module, "_TICK", 0.05)
    made: list[Cancellations] = []

    def start() -> Cancellations:
        one = _make(fake_app, hand, runs)
        made.append(one)
        one.start()
        subscribers = lambda: fake_app.clients.commands.pubsub_numsub(fake_app.keys.orders("w"))[0][1]  # noqa: E731
        wait_until(subscribers, what="the subscription")
        return one

    yield start
    for one in made:
        one.stop()
        one._thread.join(5)


class Runs:
    """Runs that are inside their functions, and those that were interrupted there."""

    def __init__(self) -> None:
        self.inside: set[Pair] = set()
        self.asked = 0
        self.interrupted: list[Pair] = []

    def interrupt(self, run: Pair) -> bool:
        self.asked += 1
        if run in self.inside:
            self.interrupted.append(run)
        return run in self.inside


def _make(app: MiniCelery, hand: list[Pair], runs: Runs) -> Cancellations:
    trouble, orders = Trouble(_log, app.world), app.keys.orders("w")
    return Cancellations(
        orders, app.clients.blocking, app.inspector, app.world, trouble, lambda: [*hand], runs.interrupt
    )


@pytest.fixture
def running(fake_app: MiniCelery) -> Delivery:
    desk = Desk(fake_app)
    desk.hire("w")
    desk.submit("t")
    return desk.take()


def test_what_is_cancelled_is_known_by_its_token(listen: Listen, fake_app: MiniCelery, running: Delivery) -> None:
    heard = listen()
    assert not heard.has(running)

    fake_app.cancel(["t"])

    wait_until(lambda: heard.has(running), what="the word")
    assert not heard.has(_delivery("t", "2.later"))
    assert not heard.has(_delivery("u", running.token))


def test_what_was_cancelled_before_it_listened_is_asked_for(
    listen: Listen, fake_app: MiniCelery, running: Delivery, hand: list[Pair]
) -> None:
    hand.append((running.id, running.token))
    fake_app.cancel(["t"])

    heard = listen()

    wait_until(lambda: heard.has(running), what="the answer")


def test_what_nobody_said_is_asked_for_now_and_then(
    listen: Listen, fake_app: MiniCelery, running: Delivery, hand: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECHECK", 0.05)
    heard = listen()

    fake_app.clients.commands.hset(fake_app.keys.task("t"), mapping={"status": "CANCELLED", "order": "cancel"})
    hand.append((running.id, running.token))

    wait_until(lambda: heard.has(running), what="the answer")


@pytest.mark.parametrize("text", ["", "cancel", "cancel t", "x" * 10_000, "cancel t 1.other more", "\n\0"])
def test_rubbish_on_the_channel_cancels_nothing(
    listen: Listen, fake_app: MiniCelery, running: Delivery, text: str
) -> None:
    heard = listen()

    fake_app.clients.commands.publish(fake_app.keys.orders("w"), text)
    fake_app.cancel(["t"])

    wait_until(lambda: heard.has(running), what="the word behind it")
    assert not heard.has(_delivery("t", "1.x"))


def test_so_many_are_remembered_and_the_first_forgotten(fake_app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    heard = _make(fake_app, [], Runs())

    for number in range(3):
        heard._take(f"cancel t{number} 1.n")

    assert [heard.has(_delivery(f"t{number}", "1.n")) for number in range(3)] == [False, True, True]


def test_after_an_error_it_listens_on(
    fake_clients: Clients, namespace: str, running: Delivery, fake_app: MiniCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([RuntimeError("ours"), ConnectionError("redis is away")])
    over = threading.Event()

    class Client:
        def pubsub(self) -> Any:
            for error in calls:
                raise error
            over.set()
            return fake_clients.blocking.pubsub()

    app = make_app(Clients(fake_clients.commands, Client()), namespace)
    heard = _make(app, [(running.id, running.token)], Runs())
    fake_app.cancel(["t"])
    monkeypatch.setattr(heard._stopping, "wait", lambda seconds: False)

    heard.start()

    wait_until(lambda: heard.has(running), what="the answer")
    assert over.is_set()
    heard.stop()
    heard._thread.join(5)


def test_only_what_is_to_be_interrupted_is(
    listen: Listen, fake_app: MiniCelery, running: Delivery, hand: list[Pair], runs: Runs
) -> None:
    heard, run = listen(), (running.id, running.token)
    hand.append(run)
    runs.inside.add(run)

    fake_app.cancel(["t"])
    wait_until(lambda: heard.has(running), what="the word")
    assert runs.interrupted == []

    fake_app.cancel(["t"], interrupt=True)
    wait_until(lambda: runs.interrupted, what="the interruption")
    assert runs.interrupted == [run]


def test_a_run_that_is_about_to_begin_is_interrupted_when_it_has(
    listen: Listen, fake_app: MiniCelery, running: Delivery, hand: list[Pair], runs: Runs
) -> None:
    listen()
    run = (running.id, running.token)
    hand.append(run)

    fake_app.cancel(["t"], interrupt=True)
    wait_until(lambda: runs.asked > 1, what="another try")
    runs.inside.add(run)

    wait_until(lambda: runs.interrupted == [run], what="the interruption")


def test_a_run_that_has_ended_is_not_waited_for(
    listen: Listen, fake_app: MiniCelery, running: Delivery, runs: Runs
) -> None:
    heard = listen()

    fake_app.cancel(["t"], interrupt=True)
    wait_until(lambda: runs.asked, what="the word")

    wait_until(lambda: not heard._to_interrupt, what="that nobody asks again")
    assert runs.interrupted == []


def test_an_interruption_whose_word_was_lost_is_asked_for(
    listen: Listen,
    fake_app: MiniCelery,
    running: Delivery,
    hand: list[Pair],
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RECHECK", 0.05)
    heard, run = listen(), (running.id, running.token)
    hand.append(run)
    runs.inside.add(run)
    fake_app.cancel(["t"])
    wait_until(lambda: heard.has(running), what="the first word")

    fake_app.clients.commands.hset(fake_app.keys.task("t"), "order", "interrupt")

    wait_until(lambda: runs.interrupted == [run], what="the interruption")
