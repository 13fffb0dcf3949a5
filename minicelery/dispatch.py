"""The way from an app to Redis: sends messages, and answers the questions of result handles."""

from collections.abc import Iterable, Sequence
from typing import Any

from .broker import Broker
from .errors import RedisUnavailable, TaskIdTaken, TaskNotFound
from .inspector import Inspector
from .message import Message
from .record import TaskRecord
from .result import AsyncResult
from .states import FINISHED, Status
from .watch import Watch
from .world import World

BATCH = 200
_MOST_SHOWN = 20


class Dispatch:
    """Sends through the broker and reads through the inspector. What has been answered is in Redis."""

    def __init__(self, broker: Broker, inspector: Inspector, watch: Watch, world: World, patience: float) -> None:
        self._broker = broker
        self._inspector = inspector
        self._watch = watch
        self._world = world
        self._patience = patience

    def send(self, message: Message) -> tuple[AsyncResult[Any], Status]:
        """Submit one message: its handle, and the state it is in now."""
        try:
            [status] = self._broker.enqueue((message,))
        except RedisUnavailable as error:
            error.task_id = message.id
            raise
        if status is None:
            raise TaskIdTaken(_taken_words([message.id]), "/task_id")
        return AsyncResult(message.id, self), status

    def send_many(self, messages: Iterable[Message]) -> list[tuple[AsyncResult[Any], Status]]:
        """Submit messages in batches, each on its way before the one in front of it is answered.

        Raises ``TaskIdTaken`` where ids belong to other tasks; all others are submitted. A ``RedisUnavailable`` has the
        handles of what was submitted before it in ``submitted``: of the batch that it met, and of the next one, all may
        be there or none, and of those behind them nothing is. Where a batch has to be sent again, the next one may
        come before it.
        """
        waiting = list(messages)
        batches = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
        sent: list[tuple[AsyncResult[Any], Status]] = []
        taken: list[int] = []
        try:
            for statuses, batch in zip(self._broker.enqueue_each(batches), batches, strict=True):
                for message, status in zip(batch, statuses, strict=True):
                    if status is None:
                        taken.append(len(sent) + len(taken))
                    else:
                        sent.append((AsyncResult(message.id, self), status))
        except RedisUnavailable as away:
            away.submitted = [result for result, _ in sent]
            away.task_ids = [message.id for message in waiting]
            away.task_id = waiting[0].id if len(waiting) == 1 else None
            raise
        if taken:
            words = _taken_words([waiting[place].id for place in taken])
            error = TaskIdTaken(f"{words}. All other calls are submitted" if sent else words, "/task_id")
            error.places, error.task_ids = taken, [message.id for message in waiting]
            raise error
        return sent

    def task(self, task_id: str) -> TaskRecord:
        return self._inspector.task(task_id)

    def wait(self, task_id: str, timeout: float | None) -> TaskRecord:
        return self._watch.wait(task_id, timeout, self._patience)

    def cancel(self, task_id: str, *, interrupt: bool) -> Status:
        """Cancel one task: its state now. Raises ``TaskNotFound``."""
        [status] = self._broker.cancel([task_id], interrupt=interrupt)
        if status is None:
            raise TaskNotFound(task_id)
        return status

    def forget(self, task_id: str) -> Status | None:
        return self._broker.forget(task_id, FINISHED, self._world.nonce())


def _taken_words(task_ids: Sequence[str]) -> str:
    more = f" and {len(task_ids) - _MOST_SHOWN:,} more" if len(task_ids) > _MOST_SHOWN else ""
    return f"another task already has the id {', '.join(task_ids[:_MOST_SHOWN])}{more}; use a fresh one"
