"""Waits for a task to finish, by its events."""

from collections.abc import Callable
from contextlib import closing

from .connection import Client, translated
from .errors import RedisUnavailable
from .events import FINAL, parse
from .inspector import Inspector
from .keys import Keys
from .record import TaskRecord
from .world import World

#: Seconds after which the state is read again although no event came, in case the connection is silently dead.
_RECHECK = 2.0
_PAUSE = 0.5


class Watch:
    """Waits by Pub/Sub: subscribes first and reads the state second, so that no event falls in between."""

    def __init__(self, client: Client, keys: Keys, inspector: Inspector, world: World) -> None:
        self._client = client
        self._keys = keys
        self._inspector = inspector
        self._world = world

    def wait(self, task_id: str, timeout: float | None, patience: float) -> TaskRecord:
        """The record once the task has finished, or as it is after ``timeout`` seconds (None: no limit).

        A lost connection is taken up again; after ``patience`` seconds without Redis, ``RedisUnavailable``.
        """
        now = self._world.monotonic
        deadline = float("inf") if timeout is None else now() + timeout
        answered = now()

        def read() -> TaskRecord:
            nonlocal answered
            record = self._inspector.task(task_id)
            answered = now()
            return record

        while True:
            try:
                with translated(f"waiting for task {task_id}"):
                    return self._wait_connected(task_id, read, deadline)
            except RedisUnavailable as error:
                if now() >= min(deadline, answered + patience):
                    raise RedisUnavailable(f"Redis can't be reached to wait for task {task_id}: {error}") from error
                self._world.sleep(_PAUSE * self._world.random())

    def _wait_connected(self, task_id: str, read: Callable[[], TaskRecord], deadline: float) -> TaskRecord:
        record = read()
        if record.finished or self._world.monotonic() >= deadline:
            return record
        with closing(self._client.pubsub(ignore_subscribe_messages=True)) as channel:
            channel.subscribe(self._keys.events(task_id))
            while True:
                record = read()
                left = deadline - self._world.monotonic()
                if record.finished or left <= 0:
                    return record
                self._until_final(channel, min(left, _RECHECK))

    def _until_final(self, channel: Client, timeout: float) -> None:
        deadline = self._world.monotonic() + timeout
        while (left := deadline - self._world.monotonic()) > 0:
            message = channel.get_message(timeout=left)
            event = parse(message["data"]) if message else None
            if event and event.name in FINAL:
                return
