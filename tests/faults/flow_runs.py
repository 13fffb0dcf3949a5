"""``python -m tests.faults.flow_runs``: schedules, limits and a lock at once, while workers are killed; one verdict.

Six workers do it all, in one queue, and three of them are killed with all their processes at random and started again.
20 schedules are due every second or every five; there are more tasks with a rate or a concurrency, each with two keys,
than may run; and further ones that all take one lock. What is checked is what tasks, Redis's events and its append-only
file have written down, and none of our own counters.
"""

import sys
from pathlib import Path

from .frame import RunOptions, Verdict, asked_for, run, told
from .limit_runs import Limits
from .lock_runs import Locks
from .schedule_runs import Schedules

MODULE = "tests.faults.flow_tasks"


def flow(options: RunOptions, folder: Path) -> Verdict:
    """One run of all three."""
    return run(MODULE, [Schedules(), Limits(options), Locks(options)], options, folder)


if __name__ == "__main__":
    options = asked_for(RunOptions, "flow_runs", __doc__)
    sys.exit(told(lambda folder: flow(options, folder)))
