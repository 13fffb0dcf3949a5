"""Whether a task costs the same however much waits, in however many queues, for however many workers."""

import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle

from minicelery import MiniCelery
from minicelery.dispatch import BATCH
from minicelery.message import Message

from ..contender import OURS
from ..ideal import AT_ONCE, LEASE, enqueued, pour
from ..scenario import Column, Figures, Scenario
from ..spending import PROGRAM, Spending, StubWorker
from ..trial import Failed, Trial

#: So often: as many tasks are sent as are then worked off one by one and by fifties together. So about the same wait.
ROUNDS, QUICK_ROUNDS = 4, 1
SENT, SINGLY, IN_FIFTIES = 1_000, 500, 500
CHUNK = 20_000


@dataclass(frozen=True)
class Condition:
    """So many tasks in so many queues; each claim is for the next one of the queues, or for all of them."""

    waiting: int = 1_000
    queues: int = 1
    workers: int = 1
    serves_all: bool = False


CONDITIONS = {
    "few": (Condition(), "1,000 waiting in one queue, one worker"),
    "many": (Condition(waiting=1_000_000), "1,000,000 waiting in one queue"),
    "queues": (Condition(waiting=100_000, queues=1_000), "100,000 waiting in 1,000 queues, a worker of one of them"),
    "all": (Condition(waiting=100_000, queues=1_000, serves_all=True), "the same, a worker of all 1,000 queues"),
    "workers": (Condition(workers=100), "100 workers of one queue, in turn"),
}


def growth(trial: Trial) -> Figures:
    """Redis's time for a task and the time until its answer is here, under each condition on an empty server."""
    app = MiniCelery("growth", redis_url=trial.stage.url)
    figures: dict[str, float] = {}
    with closing(app.clients):
        app.scripts.load_all()
        for name, (condition, _) in CONDITIONS.items():
            trial.stage.client.flushall()
            if trial.quick:
                condition = replace(condition, waiting=1_500, queues=min(condition.queues, 10))
            ground = Ground(app, trial, condition)
            figures |= {f"{name}_{figure}": value for figure, value in ground.measured().items()}
    return figures


class Ground:
    """Our broker on a server with such a condition, and workers that exist in Redis only."""

    def __init__(self, app: MiniCelery, trial: Trial, condition: Condition) -> None:
        self._broker = app.broker
        self._spending = Spending(trial.stage.client)
        self._rounds = QUICK_ROUNDS if trial.quick else ROUNDS
        queues = [f"queue-{number}" for number in range(condition.queues)]
        self._lines = cycle(queues)
        self._served = cycle([tuple(queues)] if condition.serves_all else [(queue,) for queue in queues])
        self._workers = [StubWorker(app.broker, f"worker-{number}") for number in range(condition.workers)]
        self._fill(app, trial.stage.url, condition.waiting + len(self._workers) * (1 + AT_ONCE))
        app.broker.beat({worker.name: "{}" for worker in self._workers}, LEASE)

    def measured(self) -> dict[str, float]:
        for worker in self._workers * 2:  # from now on each has something to record; and what is cold gets warm
            self._trade(worker, AT_ONCE if worker.holds(1) else 1)
        workers = cycle(self._workers)
        for _ in range(self._rounds):
            messages = iter(self._messages(SENT))
            self._spending.on("send", SENT, lambda: self._broker.enqueue([next(messages)]))  # noqa: B023  # used at once
            self._spending.on("one", SINGLY, lambda: self._trade(next(workers), 1))
            fifties = IN_FIFTIES // AT_ONCE
            self._spending.on("fifty", fifties, lambda: self._trade(next(workers), AT_ONCE), AT_ONCE)
        return self._spending.figures()

    def _fill(self, app: MiniCelery, url: str, count: int) -> None:
        for begun in range(0, count, CHUNK):
            pour(url, enqueued(app.keys, self._messages(min(CHUNK, count - begun)), BATCH))

    def _messages(self, count: int) -> list[Message]:
        return [Message(str(uuid.uuid4()), PROGRAM, "[]", "{}", next(self._lines), 3) for _ in range(count)]

    def _trade(self, worker: StubWorker, at_once: int) -> None:
        claimed = worker.trade(next(self._served), at_once)
        if len(claimed.deliveries) != at_once:
            raise Failed(f"a claim of {at_once} tasks brought {len(claimed.deliveries)}")


SCENARIOS = (
    Scenario(
        "growth",
        "What a task costs with little and with much in Redis",
        (
            Column("send_redis", "enqueue: µs of Redis a task"),
            Column("send_trip", "µs a call"),
            Column("one_redis", "settle and claim one: µs of Redis a task"),
            Column("one_trip", "µs a call"),
            Column("fifty_redis", f"settle and claim {AT_ONCE}: µs of Redis a task"),
            Column("fifty_trip", "µs a call"),
        ),
        growth,
        one_setting=True,
        once=True,  # each condition has rounds of its own
        names=(OURS,),
        conditions=tuple((name, words) for name, (_, words) in CONDITIONS.items()),
    ),
)
