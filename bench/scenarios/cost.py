"""What a task costs Redis from its sending to its result: commands, processor time, memory; and what idling costs."""

import time

from ..scenario import Column, Figures, Scenario
from ..stage import Meter
from ..trial import Trial, cpu_of, tree_of
from .latency import warm_up

TASKS = 5_000
QUICK = 200
IDLE = 5.0
PATIENCE = 60.0


def of_a_task(trial: Trial) -> Figures:
    """Sent one by one, then worked off. Commands within scripts count; those of our own looking do not.

    Workers have been there before, so that what they need once, whatever comes, counts for no task.
    """
    count = QUICK if trial.quick else TASKS
    with trial.workers():
        warm_up(trial)
    empty = _settled(trial)
    trial.ask("enqueue", task="noop", count=count)
    queued = _settled(trial)
    looks = 0

    def is_empty() -> bool:
        nonlocal looks
        looks += 1
        return trial.waiting() == 0

    with trial.workers():
        trial.until(is_empty, PATIENCE, f"{count} tasks")
    done = _settled(trial)
    return {
        "commands": (done.commands - empty.commands - looks) / count,
        "cpu_us": (done.cpu - empty.cpu) / count * 1e6,
        "queued_bytes": (queued.memory - empty.memory) / count,
        "finished_bytes": (done.memory - empty.memory) / count,
    }


def _settled(trial: Trial) -> Meter:
    """A reading after the server has given back the buffers of connections, which it looks at once a second."""
    time.sleep(0.1 if trial.quick else 1.2)
    return trial.stage.reading()


def of_idling(trial: Trial) -> Figures:
    """All processes of the workers, and Redis's commands, while there is nothing to do."""
    with trial.workers() as workers:
        warm_up(trial)
        time.sleep(0.2 if trial.quick else 2.0)
        seconds = 0.5 if trial.quick else IDLE
        tree = [process for worker in workers for process in tree_of(worker)]
        before, commands = cpu_of(tree), trial.stage.reading().commands
        time.sleep(seconds)
        cpu, commands = cpu_of(tree) - before, trial.stage.reading().commands - commands - 1
        memory = sum(process.memory_full_info().pss for process in tree)
    return {"cpu": cpu / seconds * 100, "commands": commands / seconds, "megabytes": memory / 1e6}


SCENARIOS = (
    Scenario(
        "cost",
        "What a task costs Redis, from its sending to its result",
        (
            Column("cpu_us", "processor time of Redis, µs"),
            Column("commands", "commands"),
            Column("queued_bytes", "bytes while queued"),
            Column("finished_bytes", "bytes when finished"),
        ),
        of_a_task,
        one_setting=True,
        once=True,
    ),
    Scenario(
        "idle",
        "What idle workers cost",
        (
            Column("cpu", "processor time, % of a core"),
            Column("commands", "Redis commands a second"),
            Column("megabytes", "memory of all processes, MB"),
        ),
        of_idling,
        one_setting=True,
        once=True,
    ),
)
