"""How fast workers empty a queue that was full before they started, and what a task of it costs Redis."""

import functools
import time

from ..contender import Contender
from ..scenario import Column, Figures, Scenario
from ..trial import Trial

SECONDS = {"noop": 3.0, "nap": 2.5, "spin": 2.5}
QUICK = 0.3
PATIENCE = 60.0
SAMPLES = 0.03
#: The middle of the backlog: workers that still boot or already idle count neither way.
FROM, TO = 0.1, 0.9


def drain(trial: Trial, *, task: str) -> Figures:
    """The rate over the middle of the backlog, and the processor time of Redis over the whole of it."""
    count = backlog(trial.contender, task, QUICK if trial.quick else SECONDS[task])
    trial.fill(task, count)
    nap = _nap() if task == "nap" else 0.0
    samples: list[tuple[float, int]] = []

    def is_empty() -> bool:
        left = trial.waiting()
        samples.append((time.monotonic(), count - left))
        return left == 0

    before = trial.stage.reading()
    with trial.workers():
        trial.until(is_empty, PATIENCE, f"draining {count} tasks", every=SAMPLES)
        cpu = trial.stage.reading().cpu - before.cpu
    rate = rate_of(samples, count)
    figures = {"rate": rate, "cpu": 1e6 * cpu / count}
    return {**figures, "share": 100 * rate * nap / trial.contender.slots} if task == "nap" else figures


def _nap() -> float:
    """How long a sleep of a millisecond takes here, with the slack that the kernel adds to it by default."""
    begun = time.perf_counter()
    for _ in range(200):
        time.sleep(0.001)
    return (time.perf_counter() - begun) / 200


def backlog(contender: Contender, task: str, seconds: float) -> int:
    """About as many tasks as are done in that time."""
    most = {"noop": contender.pace, "nap": contender.slots * 900, "spin": 1_600}[task]
    return max(200, int(min(contender.pace, most) * seconds))


def rate_of(samples: list[tuple[float, int]], count: int) -> float:
    """Tasks a second between the first sample behind each edge of the middle."""
    first = next(sample for sample in samples if sample[1] >= FROM * count)
    last = next(sample for sample in samples if sample[1] >= TO * count)
    if last[0] <= first[0]:  # quicker than we look: from the sample before
        first = samples[max(0, samples.index(first) - 1)]
    return (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else float("nan")


def _scenario(name: str, title: str, task: str) -> Scenario:
    columns = [Column("rate", "tasks a second", more_is_better=True), Column("cpu", "µs of Redis a task")]
    if task == "nap":
        columns.append(Column("share", "% of what its slots could do"))
    measure = functools.partial(drain, task=task)
    return Scenario(name, title, tuple(columns), measure, one_setting=task != "noop")


SCENARIOS = (
    _scenario("drain", "Drain: a task that does nothing", "noop"),
    _scenario("drain-nap", "Drain: a task that waits 1 ms", "nap"),
    _scenario("drain-spin", "Drain: a task that computes for 1 ms", "spin"),
)
