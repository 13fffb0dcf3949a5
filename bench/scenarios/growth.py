"""Whether sending and claiming cost the same however much waits, in however many queues, for however many workers."""

import time
from collections.abc import Callable, Iterator

from minicelery import MiniCelery
from minicelery.broker import Claim

from ..figures import share
from ..scenario import Column, Figures, Scenario
from ..trial import Trial

CALLS = 1_000
CHUNK = 10_000
LEASE = 600.0


def growth(trial: Trial) -> Figures:
    """Redis's time for a script call and the round trip, each with little and with much of one thing."""
    few, many, calls = (10, 1_000, 50) if trial.quick else (1_000, 1_000_000, CALLS)
    ground = Ground(trial, calls)
    figures: dict[str, float] = {}
    ground.fill(few, queues=1)
    figures |= ground.measured("few", queues=1, workers=1)
    ground.fill(few, queues=len(QUEUES))
    figures |= ground.measured("queues", queues=len(QUEUES), workers=1)
    figures |= ground.measured("workers", queues=1, workers=100)
    ground.fill(many - few, queues=1)
    figures |= ground.measured("many", queues=1, workers=1)
    return figures


QUEUES = tuple(f"q{number}" for number in range(1_000))


class Ground:
    """Our broker, on the server of a trial, with workers that exist only in Redis."""

    def __init__(self, trial: Trial, calls: int) -> None:
        self._client = trial.stage.client
        self._calls = calls
        self._numbers: Iterator[int] = iter(range(1, 1 << 60))
        self._app = MiniCelery("growth", redis_url=trial.stage.url, worker_concurrency=1)
        self._task = self._app.task(name="noop")(_noop)

    def fill(self, count: int, *, queues: int) -> None:
        """Tasks in so many queues, evenly."""
        for begun in range(0, count, CHUNK):
            numbers = range(begun, min(begun + CHUNK, count))
            self._app.submit_many(self._task.s().set(queue=QUEUES[number % queues]) for number in numbers)

    def measured(self, name: str, *, queues: int, workers: int) -> dict[str, float]:
        """Sends as many as it claims, so that what waits stays the same. Each claim is for one task of one queue."""
        names = [f"{name}-{number}" for number in range(workers)]
        self._app.broker.beat(dict.fromkeys(names, "{}"), LEASE)

        def send(number: int) -> None:
            self._task.apply_async(queue=QUEUES[number % queues])

        def claim(number: int) -> None:
            at = next(self._numbers)
            queue = QUEUES[number % queues]
            taken = self._app.broker.claim(Claim(names[number % workers], 0, at, f"{at:016x}", (queue,)))
            assert taken.deliveries, "the queue was empty"

        return {**self._cost(f"{name}_enqueue", send), **self._cost(f"{name}_claim", claim)}

    def _cost(self, name: str, act: Callable[[int], None]) -> dict[str, float]:
        act(0)
        before = self._script_time()
        trips = []
        for number in range(self._calls):
            begun = time.perf_counter()
            act(number)
            trips.append(time.perf_counter() - begun)
        in_redis = (self._script_time() - before) / self._calls
        return {f"{name}_redis": in_redis, f"{name}_trip": share(trips, 0.5) * 1e6}

    def _script_time(self) -> float:
        stats = self._client.info("commandstats")
        return float(stats["cmdstat_evalsha"]["usec"])


def _noop() -> int:
    return 1


SCENARIOS = (
    Scenario(
        "growth",
        "Growth: what a call of ours costs with little and with much in Redis",
        (
            Column("enqueue_redis", "enqueue: µs of Redis"),
            Column("enqueue_trip", "enqueue: µs until answered"),
            Column("claim_redis", "claim of one: µs of Redis"),
            Column("claim_trip", "claim of one: µs until answered"),
        ),
        growth,
        one_setting=True,
        names=("minicelery",),
        conditions=(
            ("few", "1,000 waiting in one queue, one worker"),
            ("many", "1,000,000 waiting in one queue"),
            ("queues", "1,000 waiting in 1,000 queues"),
            ("workers", "100 workers"),
        ),
    ),
)
