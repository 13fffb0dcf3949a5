"""What a bound task gets as ``self``: who it is, and how it reports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from . import codec
from .errors import LeaseLost, TaskCancelled
from .message import Delivery
from .outcome import Retry

#: Stores progress: (task id, token, members of a JSON object) → whether the delivery is still the current one; None
#: where the task was cancelled.
Report = Callable[[str, str, str], bool | None]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The running task, from inside. ``token`` names this delivery: a second run of the same task has another."""

    id: str
    name: str
    queue: str
    token: str
    retry_count: int
    max_retries: int
    report: Report
    is_cancelled: Callable[[], bool] = _never

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell watchers how far the task is. One round trip to Redis; if Redis is away the report is left out.

        Raises ``LeaseLost`` when another worker has the task by now: whatever this run still does is in vain; and
        ``TaskCancelled`` if it was cancelled.
        """
        members = codec.encode({"done": done, "total": total, "message": message}, "/progress")[1:-1]
        is_current = self.report(self.id, self.token, members)
        if is_current is None:
            raise TaskCancelled(self.id)
        if not is_current:
            raise LeaseLost(f"Task {self.id} was given to another worker; this run's outcome will not be recorded.")

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled the task; known within 100 ms, without a round trip. What it returns is not
        recorded then, so it may as well end."""
        return self.is_cancelled()

    def check_cancelled(self) -> None:
        """Raise ``TaskCancelled`` if somebody has cancelled the task. To be called now and then in a long loop."""
        if self.is_cancelled():
            raise TaskCancelled(self.id)

    def retry(
        self,
        countdown: float | None = None,
        reason: str = "the task asked for a retry",
        exc: BaseException | None = None,
    ) -> NoReturn:
        """End this run and try again after ``countdown`` seconds, or by the task's policy if it is None.

        Counts against ``max_retries``; after the last one the task is FAILED with ``exc``, or the error being handled.
        """
        raise Retry(countdown, reason) from exc


def context_of(delivery: Delivery, report: Report, is_cancelled: Callable[[], bool] = _never) -> TaskContext:
    return TaskContext(
        delivery.id,
        delivery.name,
        delivery.queue,
        delivery.token,
        delivery.retry_count,
        delivery.max_retries,
        report,
        is_cancelled,
    )
