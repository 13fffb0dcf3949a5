"""What waits in a simulation, where nothing comes while one waits but the end of what lives for a while."""

from .errors import SimulationError
from .lock_store import Request
from .locks import Locks
from .record import TaskRecord
from .watch import Watch

#: Looks for one lock, each when it was to end, after which it is clear that it is renewed until it is given back.
_MOST_LOOKS = 100


class SimulatedLocks(Locks):
    """Each wait goes on to the moment in which a holder ends or the caller's time is over."""

    _waiting, _looks = "", 0

    def _wait(self, request: Request, wait: float, left: float) -> None:
        if request.nonce != self._waiting:
            self._waiting, self._looks = request.nonce, 0
        self._looks += 1
        if self._looks > _MOST_LOOKS and left == float("inf"):
            raise SimulationError(
                f"this waits for the lock '{request.name}', which nobody gives back meanwhile; perhaps its own caller "
                "has it: in a simulation one thing is done after the other. Give it back before, or wait with a timeout"
            )
        self._wait_for_bell(request, left if self._looks > _MOST_LOOKS else min(wait, left))


class Glance(Watch):
    """Waits for no result, as none would come."""

    def wait(self, task_id: str, timeout: float | None, patience: float) -> TaskRecord:
        record = self._inspector.task(task_id)
        if record.finished or (timeout is not None and timeout <= 0):
            return record
        raise SimulationError(
            f"task {task_id} is {record.status}, and nothing runs in a simulation while one waits: let it run by "
            "sim.run() or sim.advance(...) first, or look by get(timeout=0)"
        )
