"""Runs tasks in processes of their own: a pool that is as large as it had to be at once, and stays warm."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import TaskCrashed
from ..executor import Demand, Ending
from ..interrupt import Run
from ..world import World
from .warden import Cellblock, NotBegun, Warden

_TRIES = 3
_MIB = 1 << 20


class Isolation:
    """Processes for isolated tasks, a cell each. A thread of the child waits for each run, so there are at most as many
    as it has threads. The first starts when the first such task comes; who ended last runs the next.

    ``max_runs``: tasks after which a cell is replaced; 0: it is not.
    """

    def __init__(self, app: str, settings: dict[str, object], world: World, max_runs: int = 0) -> None:
        self._block = Cellblock(str(Path.cwd()), app, settings)
        self._world = world
        self._max_runs = max_runs
        self._at_rest: list[Warden] = []
        self._at_work: dict[Run, Warden] = {}
        self._lock = threading.Lock()
        # The kernel ends a cell with the thread that has started it, so that is one which lives as long as we do.
        self._nursery = ThreadPoolExecutor(1, thread_name_prefix="nursery")

    def run(self, demand: Demand) -> Ending:
        """Run a task in a cell. It ends with an error if the cell did not outlive it, or none can be started."""
        for _ in range(_TRIES):
            try:
                warden = self._take(demand)
            except (TaskCrashed, OSError) as error:
                return error if isinstance(error, TaskCrashed) else TaskCrashed(f"no process can be started: {error}")
            try:
                return self._run(warden, demand)
            except NotBegun:
                continue
        return TaskCrashed(f"{_TRIES} processes have ended before the task began")

    def kill(self, run: Run, verdict: Exception) -> bool:
        """End the cell of a run, which ends by that error. False if there is no such run now."""
        with self._lock:
            warden = self._at_work.get(run)
            if warden:
                warden.kill(verdict)
            return warden is not None

    def close(self) -> None:
        """End all cells."""
        self._nursery.shutdown()
        with self._lock:
            for warden in self._at_work.values():
                warden.kill(TaskCrashed("the worker was ended"))
        while self._at_rest:
            self._at_rest.pop().close()

    def _take(self, demand: Demand) -> Warden:
        while self._at_rest:
            try:
                warden = self._at_rest.pop()
            except IndexError:  # another thread was faster
                break
            if warden.is_fit and not _is_overgrown(warden, demand.max_memory_mb):
                return warden
            warden.close()
        warden = self._nursery.submit(Warden, self._block, self._world).result()
        warden.welcome()
        return warden

    def _run(self, warden: Warden, demand: Demand) -> Ending:
        run = (demand.delivery.id, demand.delivery.token)
        self._at_work[run] = warden
        is_over = False
        try:
            ending = warden.run(demand)
            is_over = True
            return ending
        finally:
            with self._lock:
                del self._at_work[run]
            if is_over and warden.is_fit and not 0 < self._max_runs <= warden.runs:
                self._at_rest.append(warden)
            else:
                warden.close()


def _is_overgrown(warden: Warden, most_mb: int | None) -> bool:
    """Whether earlier tasks have left so much in the memory of a cell that less than half of the room is there for one
    with a limit."""
    if most_mb is None:
        return False
    return 2 * (warden.memory - warden.at_rest) > most_mb * _MIB - warden.at_rest
