"""Waits for a task to finish, by its events."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from .connection import Client, translated
from .errors import RedisUnavailable
from .events import FINAL, Event, ended, parse
from .inspector import Inspector
from .keys import Keys
from .record import TaskRecord
from .world import World

#: Seconds after which the state is read again although no event came, in case the connection is silently dead.
_RECHECK = 2.0
_PAUSE = 0.5
#: Seconds for Redis to say that it has heard of a subscription.
_CONFIRM = 2.0
#: Connections that are kept for those who wait next. Making one takes longer than a short task.
_MOST_KEPT = 16


class Watch:
    """Waits by Pub/Sub: subscribes first and reads the state second, so that no event falls in between."""

    def __init__(self, client: Client, keys: Keys, inspector: Inspector, world: World) -> None:
        self._client = client
        self._keys = keys
        self._inspector = inspector
        self._world = world
        self._kept: deque[_Ear] = deque()

    def wait(self, task_id: str, timeout: float | None, patience: float) -> TaskRecord:
        """The record once the task has finished, or as it is after ``timeout`` seconds (None: no limit).

        If the end is told while we wait, its event says it, and nothing is read again: of what is not in the event
        (worker, deliveries and the like) the record has what was read before.

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
        channel, now = self._keys.events(task_id), self._world.monotonic
        ear = self._kept_ear(channel)
        if ear is None:  # no connection is made for what has finished already
            record = read()
            if record.finished or now() >= deadline:
                return record
            ear = _Ear(self._client)
        with self._keeping(ear):
            ear.turn_to(channel)
            while True:
                record = read()
                left = deadline - now()
                if record.finished or left <= 0:
                    ear.turn_away()
                    return record
                event = self._final_event(ear, min(left, _RECHECK))
                if event and (found := ended(record, event)):
                    ear.turn_away()
                    return found

    def _final_event(self, ear: "_Ear", timeout: float) -> Event | None:
        deadline = self._world.monotonic() + timeout
        while (left := deadline - self._world.monotonic()) > 0:
            event = parse(ear.hear(left) or "")
            if event and event.name in FINAL:
                return event
        return None

    @contextmanager
    def _keeping(self, ear: "_Ear") -> Iterator[None]:
        """Keep the ear for the next one, unless something goes wrong."""
        try:
            yield
        except BaseException:
            ear.close()
            raise
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(ear)
        else:
            ear.close()

    def _kept_ear(self, channel: str) -> "_Ear | None":
        """One from before, if there is one whose connection still stands."""
        while True:
            try:
                ear = self._kept.pop()
            except IndexError:
                return None
            try:
                if ear.is_ours():
                    ear.turn_to(channel)
                    return ear
            except redis.RedisError:
                ear.close()


class _Ear:
    """A connection that listens to one channel at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client.pubsub()
        self._pid = os.getpid()
        self._channel = ""

    def is_ours(self) -> bool:
        """Whether it was made in this process; after a fork it is the parent's."""
        return self._pid == os.getpid()

    def turn_to(self, channel: str) -> None:
        """Listen, from the return of this on: without Redis's word for it, a read over another connection may overtake.

        Does nothing if it listens there already.
        """
        if self._channel == channel:
            return
        self._channel = channel
        self._client.subscribe(channel)
        while True:
            message = self._client.get_message(timeout=_CONFIRM)
            if message is None:
                raise redis.TimeoutError(f"no answer to a subscription within {_CONFIRM:g} s")
            if message["type"] == "subscribe" and message["channel"] == channel:
                return

    def hear(self, seconds: float) -> str | None:
        """The next event of the channel, if one comes in time."""
        message = self._client.get_message(timeout=seconds)
        is_event = message and message["type"] == "message" and message["channel"] == self._channel
        return message["data"] if is_event else None

    def turn_away(self) -> None:
        """Nobody waits for the answer: it is passed over when the ear is turned to another channel."""
        self._client.unsubscribe(self._channel)
        self._channel = ""

    def close(self) -> None:
        self._client.close()
