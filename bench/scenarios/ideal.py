"""What Redis alone does with our scripts, and how much of it our workers reach."""

from collections.abc import Sequence
from contextlib import closing

from minicelery import MiniCelery
from minicelery.dispatch import BATCH

from ..contender import OURS
from ..ideal import LEASE, WORKER, enqueued, pour, worked_off
from ..scenario import Column, Figures, Scenario
from ..trial import Failed, Trial
from .drain import drain

BULK, SINGLY = 80_000, 20_000
FEW = 1_000
QUEUE = "default"


def ideal(trial: Trial) -> Figures:
    """Bytes that are packed beforehand, poured into Redis; then the same work by our workers, on the same server."""
    count = FEW if trial.quick else BULK
    app = _app(trial)
    with closing(app.clients):
        messages = [app.message("noop") for _ in range(count)]
        calls = worked_off(app.keys, QUEUE, "noop", [one.id for one in messages], app.config.result_ttl)
        app.scripts.load_all()
        app.broker.beat({WORKER: "{}"}, LEASE)
        pour(trial.stage.url, enqueued(app.keys, messages, BATCH))
        figures = _poured(trial, "redis", calls, count)
        _check(trial, app, count)
    trial.stage.client.flushall()
    return {**figures, **_by_workers(trial)}


def ideal_enqueue(trial: Trial) -> Figures:
    """The same for sending: a task a call, and as many a call as ``submit_many`` sends."""
    count = FEW if trial.quick else SINGLY
    app = _app(trial)
    with closing(app.clients):
        app.scripts.load_all()
        one, many = ([app.message("noop") for _ in range(count)] for _ in range(2))
        figures = {
            **_poured(trial, "one", enqueued(app.keys, one, 1), count),
            **_poured(trial, "many", enqueued(app.keys, many, BATCH), count),
        }
        if (waiting := app.inspector.queue_length(QUEUE)) != 2 * count:
            raise Failed(f"{waiting} tasks wait where {2 * count} were sent")
    return figures


def _app(trial: Trial) -> MiniCelery:
    app = MiniCelery("bench", redis_url=trial.stage.url)
    app.task(noop)
    return app


def noop() -> int:
    return 1


def _poured(trial: Trial, name: str, calls: Sequence[bytes], count: int) -> dict[str, float]:
    before = trial.stage.reading()
    done = pour(trial.stage.url, calls)
    cpu = trial.stage.reading().cpu - before.cpu
    figures = {"rate": count / done.seconds, "cpu": 1e6 * cpu / count, "busy": 100 * cpu / done.seconds}
    figures["own"] = 100 * done.own / done.seconds
    return {f"{name}_{figure}": value for figure, value in figures.items()}


def _by_workers(trial: Trial) -> dict[str, float]:
    drained = drain(trial, task="noop")
    busy = drained["rate"] * drained["cpu"] / 1e4
    return {"ours_rate": drained["rate"], "ours_cpu": drained["cpu"], "ours_busy": busy}


def _check(trial: Trial, app: MiniCelery, count: int) -> None:
    """Whether the calls did what they were to do: every task is a success, nothing waits, and nothing is held."""
    client = trial.stage.client
    left = client.llen(app.keys.queue(QUEUE)) + client.hlen(app.keys.claimed(WORKER))
    succeeded = client.info("keyspace")["db0"]["expires"]
    if left or succeeded != count:
        raise Failed(f"of {count} tasks {succeeded} have succeeded and {left} are left")


_COLUMNS = (
    Column("rate", "tasks a second", more_is_better=True),
    Column("cpu", "µs of Redis a task"),
    Column("busy", "Redis's use of a core, %"),
    Column("own", "the driver's use of a core, %"),
)
SCENARIOS = (
    Scenario(
        "ideal",
        "Working off: what Redis alone can do",
        _COLUMNS,
        ideal,
        one_setting=True,
        names=(OURS,),
        conditions=(("redis", "Redis alone, 50 tasks a call"), ("ours", "our workers, 2×5 threads")),
    ),
    Scenario(
        "ideal-enqueue",
        "Sending: what Redis alone can do",
        _COLUMNS,
        ideal_enqueue,
        one_setting=True,
        names=(OURS,),
        conditions=(("one", "Redis alone, a task a call"), ("many", f"Redis alone, {BATCH} tasks a call")),
    ),
)
