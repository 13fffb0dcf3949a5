"""The caller's handle on a submitted task."""

from typing import Any, Generic, Protocol, TypeVar, cast

from .errors import InvalidInput, ResultTimeout, TaskCancelled, TaskExpired, TaskFailed
from .record import TaskRecord
from .states import FINISHED, UNSUCCESSFUL, Status
from .why import Explanation

R = TypeVar("R")


class ResultSource(Protocol):
    """Where handles read from."""

    def task(self, task_id: str) -> TaskRecord: ...

    def wait(self, task_id: str, timeout: float | None) -> TaskRecord: ...

    def forget(self, task_id: str) -> Status | None: ...

    def why(self, task_id: str) -> Explanation: ...

    def cancel(self, task_id: str, *, interrupt: bool) -> Status: ...


class AsyncResult(Generic[R]):
    """A task by its id. Every property asks Redis anew; ``TaskNotFound`` where there is no such task.

    ``duplicate``: the call that gave this handle was the same as an earlier one, whose task it is, see ``unique_for``.
    """

    __slots__ = ("_source", "duplicate", "id")

    def __init__(self, task_id: str, source: ResultSource, duplicate: bool = False) -> None:
        self.id = task_id
        self.duplicate = duplicate
        self._source = source

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def record(self) -> TaskRecord:
        """Everything that is stored about the task."""
        return self._source.task(self.id)

    @property
    def status(self) -> Status:
        return self.record.status

    def ready(self) -> bool:
        """Whether the task has finished, one way or the other."""
        return self.status in FINISHED

    def successful(self) -> bool:
        return self.status is Status.SUCCESS

    def failed(self) -> bool:
        """Whether it is FAILED. What was cancelled or has expired is neither failed nor successful, as in Celery."""
        return self.status is Status.FAILED

    def get(self, timeout: float | None = None) -> R:
        """The result, waiting at most ``timeout`` seconds for it (None: for ever).

        Raises ``TaskFailed`` with the worker's traceback, ``TaskCancelled``, ``TaskExpired``, or ``ResultTimeout``,
        where the task itself goes on. ``TaskNotFound`` if it is deleted, ``RedisUnavailable`` if Redis is away for
        longer than the patience.
        """
        if timeout is not None and not isinstance(timeout, (int, float)):
            raise InvalidInput(
                f"{timeout!r:.80} is not a number of seconds; give one, or None to wait for ever", "/timeout"
            )
        record = self._source.wait(self.id, timeout)
        if not record.finished:
            raise ResultTimeout(f"Task {self.id} is {record.status} after {timeout} s; it goes on, ask again later.")
        if record.status is Status.CANCELLED:
            raise TaskCancelled(self.id)
        if record.status is Status.EXPIRED:
            raise TaskExpired(self.id)
        if record.status in UNSUCCESSFUL:
            raise TaskFailed(self.id, record.error or {})
        return cast(R, record.result)

    def cancel(self, *, interrupt: bool = False) -> bool:
        """Cancel the task: if it waits it never begins; if it runs it is told (``self.cancelled``), and with
        ``interrupt`` a ``TaskCancelled`` is raised in it. It is CANCELLED from now on, whatever its run still does.

        False if it had finished before. Raises ``TaskNotFound``.
        """
        return self._source.cancel(self.id, interrupt=interrupt) is Status.CANCELLED

    def why(self) -> Explanation:
        """Why the task has not begun yet, in sentences. Raises ``TaskNotFound``."""
        return self._source.why(self.id)

    def forget(self) -> None:
        """Delete the finished task and its result. Does nothing if it is gone already."""
        status: Any = self._source.forget(self.id)
        if status is not None and status not in FINISHED:
            raise InvalidInput(f"task {self.id} is {status}; only a finished task can be forgotten")
