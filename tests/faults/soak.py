"""``python -m tests.faults.soak --minutes 5``: everything goes wrong at once, and one verdict is given.

The figures stand above the last line, which begins with VERDICT. Exit code 0 if it is good, 1 if not.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions
from minicelery.record import TaskRecord

from .chaos import Chaos, Doses, Stage
from .conftest import declare
from .crowd import CrowdOptions, Tree, crowd
from .history import ends_recorded, keep_history
from .plan import Planned, make_plan
from .proxy import FaultProxy
from .submitter import Submitter
from .verdict import Evidence, Verdict, judge

NAMESPACE = "soak"
#: The queue is what is tried here, not the disk.
MEMORY = Path("/dev/shm")
_SLICE = 500
_QUIET = 60.0  #: seconds without any task's end after which the rest is given up


@dataclass(frozen=True, kw_only=True)
class SoakOptions:
    """How long and how hard. ``lost_replies``: as many at least have to be lost, of scripts."""

    seconds: float
    tasks: int
    doses: Doses
    lost_replies: int
    poison: int = 0
    seed: int = 1
    crowd: CrowdOptions = field(default_factory=lambda: CrowdOptions(namespace=NAMESPACE))

    @classmethod
    def for_minutes(cls, minutes: float, tasks: int, poison: int, seed: int) -> "SoakOptions":
        lost = int(5000 * min(minutes / 5, tasks / 20_000))
        doses = Doses.for_minutes(minutes)
        return cls(seconds=minutes * 60, tasks=tasks, doses=doses, lost_replies=lost, poison=poison, seed=seed)


def soak(options: SoakOptions, folder: Path) -> Verdict:
    """Run one soak, with the server's data and the workers' logs in the folder."""
    plan = make_plan(options.tasks, options.poison, options.seed)
    data = folder / "data"
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(ServerOptions(data=data)))
        app = stack.enter_context(_app(server.url, patience=30.0))
        keep_history(app.clients.commands)
        trees = stack.enter_context(crowd(server.port, options.crowd, folder, options.seed))
        gate = stack.enter_context(FaultProxy(server.port, options.seed + 1000))
        gate.set(drop_replies=options.crowd.loss, only=b"EVAL")
        sending = stack.enter_context(_app(gate.url, patience=0.5))
        submitter = Submitter(sending, plan, options.seconds * 0.95, options.seed)
        proxies = [*(tree.proxy for tree in trees), gate]
        stage = Stage(server, app.clients.commands, app.inspector, trees, proxies)
        chaos = Chaos(stage, options.doses, options.seed)
        started = time.monotonic()

        submitter.start()
        chaos.run(options.seconds)
        _calm(stage, chaos.done)
        submitter.join(options.seconds + 60)
        chaos_seconds = time.monotonic() - started
        records = _until_finished(app, plan)
        violations = [str(violation) for violation in app.doctor.violations()]

        counts = _figures(chaos.done, trees, proxies, submitter)
        counts |= {"seconds of chaos": round(chaos_seconds), "seconds until all finished": _since(started, records)}
        shortcomings = list(_shortcomings(options, chaos, counts, submitter))
    evidence = Evidence(plan, records, ends_recorded(data, f"{NAMESPACE}:"), violations)
    return judge(evidence, counts, shortcomings)


@contextmanager
def _app(url: str, patience: float) -> Iterator[MiniCelery]:
    config = Config(redis_url=url, namespace=NAMESPACE, patience=patience, redis_timeout=1.0)
    app = declare(MiniCelery("soak", config=config, clients=connect(config)))
    try:
        yield app
    finally:
        app.clients.close()


def _calm(stage: Stage, done: Counter[str]) -> None:
    """No faults any more, and everybody at work."""
    for proxy in stage.proxies:
        proxy.heal()
    for tree in stage.trees:
        tree.wake()
        done["ended by themselves"] += tree.has_ended_by_itself()


def _until_finished(app: MiniCelery, plan: Sequence[Planned]) -> dict[str, TaskRecord | None]:
    """The records of all tasks, when all have finished, or none has for a long time."""
    records: dict[str, TaskRecord | None] = {}
    left = [one.id for one in plan]
    last = time.monotonic()
    while left and time.monotonic() < last + _QUIET:
        before = len(left)
        for start in range(0, before, _SLICE):
            ids = left[start : start + _SLICE]
            records.update(zip(ids, app.inspector.tasks(ids), strict=True))
        left = [one for one in left if not ((record := records[one]) and record.finished)]
        if len(left) < before:
            last = time.monotonic()
        time.sleep(0.1)
    return records


def _since(started: float, records: Mapping[str, TaskRecord | None]) -> float:
    """Seconds from the start of the chaos until the last end of a task, by the clock of the records."""
    begun = time.time() - (time.monotonic() - started)
    return round(max((record.updated_at for record in records.values() if record), default=begun) - begun)


def _figures(
    done: Counter[str], trees: Sequence[Tree], proxies: Sequence[FaultProxy], submitter: Submitter
) -> dict[str, int | float]:
    return {
        **{name.replace("_", " "): count for name, count in sorted(done.items())},
        "worker kills": done["child_kills"] + done["tree_kills"] + done["killed in their sleep"],
        "lost replies of scripts": sum(proxy.counts.scripts_lost for proxy in proxies),
        "lost replies": sum(proxy.counts.replies_lost for proxy in proxies),
        "connections made": sum(proxy.counts.connections for proxy in proxies),
        "connections cut": sum(proxy.counts.cuts for proxy in proxies),
        "requests": sum(proxy.counts.requests for proxy in proxies),
        "submissions repeated": submitter.repeats,
        "late writes refused": sum(tree.lines("lost its lease after") for tree in trees),
    }


def _shortcomings(
    options: SoakOptions, chaos: Chaos, figures: Mapping[str, int | float], submitter: Submitter
) -> Iterator[str]:
    yield from chaos.shortcomings()
    if (lost := figures["lost replies of scripts"]) < options.lost_replies:
        yield f"{lost} lost replies of {options.lost_replies}"
    if left := options.tasks - len(submitter.accepted):
        yield f"{left} tasks not accepted"
    if ended := chaos.done["ended by themselves"]:
        yield f"{ended} workers ended by themselves"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--poison", type=int, default=5, help="tasks that kill their process in every run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where data and logs are kept; default: nowhere")
    given = parser.parse_args()
    options = SoakOptions.for_minutes(given.minutes, given.tasks, given.poison, given.seed)
    if given.folder:
        given.folder.mkdir(parents=True)
        verdict = soak(options, given.folder)
    else:
        place = str(MEMORY) if MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(prefix="minicelery-soak-", dir=place) as folder:
            verdict = soak(options, Path(folder))
    print("\n".join(verdict.lines()))
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
