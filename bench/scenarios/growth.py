"""Whether a task costs the same however much waits, in however many queues, for however many workers."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import cycle

from minicelery import MiniCelery
from minicelery.dispatch import BATCH
from minicelery.handover import Claim, Settlement
from minicelery.message import Message
from minicelery.states import Status

from ..contender import OURS
from ..figures import share
from ..ideal import AT_ONCE, LEASE, enqueued, pour
from ..scenario import Column, Figures, Scenario
from ..trial import Failed, Trial

#: So often: as many tasks are sent as are then worked off one by one and by fifties together. So about the same wait.
ROUNDS, QUICK_ROUNDS = 4, 1
SENT, SINGLY, IN_FIFTIES = 1_000, 500, 500
CHUNK = 20_000
PROGRAM = "noop"


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


@dataclass
class Spent:
    """On so many tasks: Redis's seconds of processor time, and the seconds of each call."""

    tasks: int = 0
    cpu: float = 0.0
    trips: list[float] = field(default_factory=list)


class Ground:
    """Our broker on a server with such a condition, and workers that exist in Redis only."""

    def __init__(self, app: MiniCelery, trial: Trial, condition: Condition) -> None:
        self._broker = app.broker
        self._client = trial.stage.client
        self._rounds = QUICK_ROUNDS if trial.quick else ROUNDS
        queues = [f"queue-{number}" for number in range(condition.queues)]
        self._lines = cycle(queues)
        self._served = cycle([tuple(queues)] if condition.serves_all else [(queue,) for queue in queues])
        self._workers = [f"worker-{number}" for number in range(condition.workers)]
        self._held: dict[tuple[str, int], Sequence[Settlement]] = {}
        self._number = 0
        self._fill(app, trial.stage.url, condition.waiting + len(self._workers) * (1 + AT_ONCE))
        app.broker.beat(dict.fromkeys(self._workers, "{}"), LEASE)

    def measured(self) -> dict[str, float]:
        spent = {name: Spent() for name in ("send", "one", "fifty")}
        for worker in self._workers * 2:  # from now on each has something to record; and what is cold gets warm
            self._trade(worker, 1 if (worker, 1) not in self._held else AT_ONCE)
        workers = cycle(self._workers)
        for _ in range(self._rounds):
            messages = iter(self._messages(SENT))
            self._spend(spent["send"], SENT, 1, lambda: self._broker.enqueue([next(messages)]))  # noqa: B023  # used at once
            self._spend(spent["one"], SINGLY, 1, lambda: self._trade(next(workers), 1))
            self._spend(spent["fifty"], IN_FIFTIES, AT_ONCE, lambda: self._trade(next(workers), AT_ONCE))
        figures = {f"{name}_redis": 1e6 * one.cpu / one.tasks for name, one in spent.items()}
        return figures | {f"{name}_trip": 1e6 * share(one.trips, 0.5) for name, one in spent.items()}

    def _fill(self, app: MiniCelery, url: str, count: int) -> None:
        for begun in range(0, count, CHUNK):
            pour(url, enqueued(app.keys, self._messages(min(CHUNK, count - begun)), BATCH))

    def _messages(self, count: int) -> list[Message]:
        return [Message(str(uuid.uuid4()), PROGRAM, "[]", "{}", next(self._lines), 3) for _ in range(count)]

    def _trade(self, worker: str, at_once: int) -> None:
        """Record what this worker's last claim of as many brought, and claim again."""
        self._number += 1
        nonce = f"{self._number:012x}"
        claim = Claim(worker, 0, self._number, nonce, next(self._served), at_once, budget=10**9, costs={PROGRAM: 1})
        _, claimed = self._broker.exchange(worker, self._held.get((worker, at_once), ()), lambda: claim)
        if len(claimed.deliveries) != at_once:
            raise Failed(f"a claim of {at_once} tasks brought {len(claimed.deliveries)}")
        done = [Settlement(one.id, one.token, Status.SUCCESS, "1") for one in claimed.deliveries]
        self._held[worker, at_once] = done

    def _spend(self, spent: Spent, count: int, at_once: int, act: Callable[[], object]) -> None:
        before = self._cpu()
        for _ in range(count // at_once):
            begun = time.perf_counter()
            act()
            spent.trips.append(time.perf_counter() - begun)
        spent.cpu += self._cpu() - before
        spent.tasks += count

    def _cpu(self) -> float:
        """Not the time that Redis counts for each script: that goes on while others have the processor."""
        facts = self._client.info("cpu")
        return float(facts["used_cpu_user"] + facts["used_cpu_sys"])


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
