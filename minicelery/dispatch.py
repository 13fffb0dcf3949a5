"""The way from an app to Redis: sends messages, and answers the questions of result handles."""

from collections.abc import Iterable
from typing import Any

from .broker import Broker
from .errors import RedisUnavailable, TaskIdTaken
from .inspector import Inspector
from .message import Message
from .record import TaskRecord
from .result import AsyncResult
from .states import FINISHED, Status
from .watch import Watch
from .world import World

BATCH = 200


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
            raise _taken([message.id])
        return AsyncResult(message.id, self), status

    def send_many(self, messages: Iterable[Message]) -> list[tuple[AsyncResult[Any], Status]]:
        """Submit messages in batches, a round trip each.

        Raises ``TaskIdTaken`` where an id belongs to another task; all others of its batch are submitted. A
        ``RedisUnavailable`` has the handles of what was submitted before it in ``submitted``.
        """
        sent: list[tuple[AsyncResult[Any], Status]] = []
        waiting = list(messages)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            try:
                statuses = self._broker.enqueue(batch)
            except RedisUnavailable as error:
                error.submitted = [result for result, _ in sent]
                error.task_id = waiting[0].id if len(waiting) == 1 else None
                raise
            taken = [message.id for message, status in zip(batch, statuses, strict=True) if status is None]
            if taken:
                raise _taken(taken)
            sent += [(AsyncResult(m.id, self), s) for m, s in zip(batch, statuses, strict=True) if s is not None]
        return sent

    def task(self, task_id: str) -> TaskRecord:
        return self._inspector.task(task_id)

    def wait(self, task_id: str, timeout: float | None) -> TaskRecord:
        return self._watch.wait(task_id, timeout, self._patience)

    def forget(self, task_id: str) -> Status | None:
        return self._broker.forget(task_id, FINISHED, self._world.nonce())


def _taken(task_ids: list[str]) -> TaskIdTaken:
    return TaskIdTaken(f"another task already has the id {', '.join(task_ids)}; use a fresh one", "/task_id")
