"""What becomes of tasks whose workers are killed again and again."""

import time

from ..scenario import Column, Figures, Scenario
from ..trial import Trial

TASKS = 500
KILLS = 10
#: The next kill comes when so many more have run, or after so long without that.
STEP = TASKS // (KILLS + 1)
STALLED = 3.0
#: What is not back by then counts as lost.
PATIENCE = 30.0
LOOK = 0.01


def recovery(trial: Trial) -> Figures:
    """Tasks of 20 ms, ten times kill -9 for the whole tree of the workers; then they may finish in peace."""
    tasks, kills = (40, 2) if trial.quick else (TASKS, KILLS)
    trial.ask("mark", count=tasks)
    marks = Marks(trial)
    begun = time.monotonic()
    for number in range(1, kills + 1):
        with trial.workers() as workers:
            marks.wait_for(number * tasks // (kills + 1), STALLED)
            trial.kill_workers(workers)
    peace = time.monotonic()
    with trial.workers():
        marks.wait_for(tasks, PATIENCE)
    seen = marks.read()
    return {
        "lost": tasks - len(set(seen)),
        "again": len(seen) - len(set(seen)),
        "seconds": marks.last_at - begun,
        "peace": marks.last_at - peace,
    }


class Marks:
    """What the tasks left behind, one mark a run, and when the last new one came."""

    def __init__(self, trial: Trial) -> None:
        self._client = trial.stage.client
        self.last_at = time.monotonic()
        self._known = 0

    def read(self) -> list[bytes]:
        found: list[bytes] = list(self._client.lrange("bench:marks", 0, -1))  # type: ignore[arg-type]
        return found

    def wait_for(self, count: int, patience: float) -> None:
        """Until so many different tasks have run, or it took too long."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self._known < count:
            known = len(set(self.read()))
            if known > self._known:
                self._known, self.last_at = known, time.monotonic()
            time.sleep(LOOK)


SCENARIOS = (
    Scenario(
        "recovery",
        "500 tasks of 20 ms, and ten times kill -9 for all of the workers",
        (
            Column("lost", "not back within 30 s"),
            Column("again", "runs too many"),
            Column("seconds", "seconds from the first start"),
            Column("peace", "seconds after the last kill"),
        ),
        recovery,
        one_setting=True,
        reliable=True,
        once=True,
    ),
)
