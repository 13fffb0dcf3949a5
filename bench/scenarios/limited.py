"""Whether a task with a priority and a rate costs the same however many of them wait, ready or for their limits."""

import functools
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import cycle, islice

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.dispatch import BATCH
from minicelery.message import Message

from ..contender import OURS
from ..ideal import AT_ONCE, LEASE, Packed, enqueued, pour
from ..scenario import Column, Figures, Scenario
from ..spending import PROGRAM, Spending, StubWorker
from ..stage import Stage
from ..trial import Failed, Trial

FEW, MANY, QUICK_MANY = 1_000, 1_000_000, 3_000
PRIORITIES, KEYS = 10, 1_000
#: So often: as many are sent as are then started.
ROUNDS, QUICK_ROUNDS = 4, 1
SENT, SINGLY, IN_FIFTIES = 1_000, 500, 500
HELD_BACK, WARMING = 500, 100
#: Of each key: more than are started here; and fewer, so that who is next waits for the one in front, but of 1,000 keys
#: together more than can be started one by one.
AMPLE, SCARCE = "100/s", "4/s"
CHUNK = 20_000
#: How many tasks one claim puts into their rooms.
PUT_ASIDE = 100
_LONGEST_WAIT, _MOST_LOOKS = 0.1, 1_000
_QUEUES = ("default",)


class Backlog:
    """Tasks of one name on a server of their own, over all priorities and 1,000 keys, each with its rate; and a worker
    that exists in Redis only."""

    def __init__(self, stage: Stage, rate: str) -> None:
        self._app = MiniCelery("limited", redis_url=stage.url)
        self._stage = stage
        self._spending = Spending(stage.client)
        self._worker = StubWorker(self._app.broker, "worker")
        self._bytes = 0.0

        @self._app.task(name=PROGRAM, rate_limit=rate, rate_key=lambda key: key)
        def noop(key: str) -> int:
            return 1

        # Neighbours are of different keys and priorities, and each key has tasks of all priorities.
        pairs = [
            (f"key-{number % KEYS}", (number + number // KEYS) % PRIORITIES) for number in range(PRIORITIES * KEYS)
        ]
        self._calls = cycle([noop.message([key], {}, {"priority": priority}) for key, priority in pairs])
        self._app.scripts.load_all()
        self._app.broker.beat({self._worker.name: "{}"}, LEASE)

    def close(self) -> None:
        self._app.clients.close()

    def be_ready(self, count: int) -> None:
        """So many tasks stand in the ready lists, and the worker holds some."""
        self._fill(count)
        for at_once in (1, AT_ONCE):
            self._trade(at_once)

    def be_put_aside(self, count: int) -> None:
        """So many tasks have come to a limit, and wait in the rooms of their keys."""
        self._app.limits.pause_task(PROGRAM)
        self._fill(count)
        claims = Packed(self._app.keys)
        broker = Broker(claims, self._app.keys, self._app.config.result_ttl)
        for _ in range(0, count, PUT_ASIDE):
            broker.claim(self._worker.claim(_QUEUES, AT_ONCE))
        pour(self._stage.url, claims.calls)
        self._bytes = self._used(count)
        self._app.limits.resume_task(PROGRAM)
        for _ in range(WARMING):
            self._start()

    def pass_some(self) -> None:
        """Send tasks, and claim as many that pass their gates at once."""
        self._send(SENT)
        self._spending.on("one", SINGLY, lambda: self._trade(1))
        self._spending.on("fifty", IN_FIFTIES // AT_ONCE, lambda: self._trade(AT_ONCE), AT_ONCE)

    def let_some_in(self) -> None:
        """Send tasks, let them meet a closed limit, and start as many of those that wait longest."""
        self._app.limits.pause_task(PROGRAM)
        while self._worker.trade(_QUEUES, AT_ONCE).passed:
            pass  # who was in front goes back to the others
        self._send(HELD_BACK)
        self._spending.on("aside", HELD_BACK // PUT_ASIDE, self._put_aside, PUT_ASIDE)
        self._app.limits.resume_task(PROGRAM)
        self._spending.on("one", HELD_BACK, self._start)

    def figures(self) -> dict[str, float]:
        return {**self._spending.figures(), "bytes": self._bytes}

    def _send(self, count: int) -> None:
        messages = iter(self._messages(count))
        self._spending.on("send", count, lambda: self._app.broker.enqueue([next(messages)]))

    def _trade(self, at_once: int) -> None:
        claimed = self._worker.trade(_QUEUES, at_once)
        if len(claimed.deliveries) != at_once:
            raise Failed(f"a claim of {at_once} tasks brought {len(claimed.deliveries)}")

    def _put_aside(self) -> None:
        passed = self._worker.trade(_QUEUES, AT_ONCE).passed
        if passed != PUT_ASIDE:
            raise Failed(f"a claim put {passed} tasks aside, not {PUT_ASIDE}")

    def _start(self) -> None:
        """Claim until something comes. Where nothing does, limits are looked at, as the upkeep of a worker does it."""
        for _ in range(_MOST_LOOKS):
            if self._worker.trade(_QUEUES, 1).deliveries:
                return
            time.sleep(min(self._app.broker.admit() or 0.0, _LONGEST_WAIT))
        raise Failed("no task passes its limit")

    def _fill(self, count: int) -> None:
        self._empty = self._stage.reading().memory
        for begun in range(0, count, CHUNK):
            pour(self._stage.url, enqueued(self._app.keys, self._messages(min(CHUNK, count - begun)), BATCH))
        self._bytes = self._used(count)

    def _used(self, count: int) -> float:
        """Redis's bytes a task since the filling began."""
        return (self._stage.reading().memory - self._empty) / count

    def _messages(self, count: int) -> list[Message]:
        return [call._replace(id=str(uuid.uuid4())) for call in islice(self._calls, count)]


def side_by_side(
    trial: Trial, rate: str, prepare: Callable[[Backlog, int], None], measure: Callable[[Backlog], None]
) -> Figures:
    """Few and many tasks, each on a server of its own, measured in turn."""
    with ExitStack() as stack:
        stages = (trial.stage, stack.enter_context(Stage()))
        few, many = (stack.enter_context(closing(Backlog(stage, rate))) for stage in stages)
        prepare(few, FEW)
        prepare(many, QUICK_MANY if trial.quick else MANY)
        for _ in range(QUICK_ROUNDS if trial.quick else ROUNDS):
            measure(few)
            measure(many)
        both = {"few": few.figures(), "many": many.figures()}
    return {f"{name}_{figure}": value for name, figures in both.items() for figure, value in figures.items()}


_SEND = (Column("send_redis", "enqueue: µs of Redis a task"), Column("send_trip", "µs a call"))
_ONE = (Column("one_redis", "settle and claim one: µs of Redis a task"), Column("one_trip", "µs a call"))
_ASIDE = Column("aside_redis", "put aside: µs of Redis a task")
_IN = (Column("one_redis", "settle, put forward and claim one: µs of Redis a task"), Column("one_trip", "µs a call"))
_FIFTY = (Column("fifty_redis", f"settle and claim {AT_ONCE}: µs of Redis a task"), Column("fifty_trip", "µs a call"))
_BYTES = Column("bytes", "bytes of Redis a task that waits")
_scenario = functools.partial(Scenario, one_setting=True, once=True, names=(OURS,))

SCENARIOS = (
    _scenario(
        "limits-ready",
        "Ten priorities and 1,000 rate keys: tasks that pass at once",
        (*_SEND, *_ONE, *_FIFTY, _BYTES),
        functools.partial(side_by_side, rate=AMPLE, prepare=Backlog.be_ready, measure=Backlog.pass_some),
        conditions=(("few", "1,000 ready"), ("many", "1,000,000 ready")),
    ),
    _scenario(
        "limits-waiting",
        "Ten priorities and 1,000 rate keys: tasks that wait for their rates",
        (*_SEND, _ASIDE, *_IN, _BYTES),
        functools.partial(side_by_side, rate=SCARCE, prepare=Backlog.be_put_aside, measure=Backlog.let_some_in),
        conditions=(("few", "1,000 put aside"), ("many", "1,000,000 put aside")),
    ),
)
