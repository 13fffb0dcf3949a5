"""Waits for a task to finish, by its events."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import redis

from .connection import Client, translated
from .errors import RedisUnavailable
from .events import FINAL, Event, ended, parse
from .inspector import Inspector, is_foreign, record_of
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
        now = self._world.monotonic
        ear, answer = self._kept_ear(task_id)
        is_new = ear is None
        if ear is None:  # no connection is made for what has finished already
            record = read()
            if record.finished or now() >= deadline:
                return record
            ear = _Ear(self._client)
        with self._keeping(ear):
            if is_new:
                answer = self._listen(ear, task_id)
            record = read() if answer is None else record_of(task_id, answer)
            while True:
                left = deadline - now()
                if record.finished:  # nothing more is told of it, so the ear may listen until it is turned elsewhere
                    return record
                if left <= 0:
                    ear.turn_away()
                    return record
                event = self._final_event(ear, min(left, _RECHECK))
                record = (event and ended(record, event)) or read()

    def _listen(self, ear: "_Ear", task_id: str) -> Any:
        return ear.turn_to(self._keys.events(task_id), self._keys.task(task_id))

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

    def _kept_ear(self, task_id: str) -> "tuple[_Ear | None, Any]":
        """One from before that listens to the task now, if there is one whose connection still stands."""
        while True:
            try:
                ear = self._kept.pop()
            except IndexError:
                return None, None
            try:
                if ear.is_ours():
                    return ear, self._listen(ear, task_id)
            except redis.RedisError:
                ear.close()


class _Ear:
    """A connection that listens to one channel at a time."""

    def __init__(self, client: Client) -> None:
        self._pool = client.connection_pool
        self._connection = self._pool.get_connection()
        self._pid = os.getpid()
        self._channel = ""
        self._heard: deque[str] = deque()

    def is_ours(self) -> bool:
        """Whether it was made in this process; after a fork it is the parent's."""
        return self._pid == os.getpid()

    def turn_to(self, channel: str, key: str) -> Any:
        """Listen from now on, and read a hash behind that, so that no event falls in between. The answer to HGETALL.

        None if the server does not let one who listens ask; then it is to be read now, over another connection.
        """
        before = [("UNSUBSCRIBE", self._channel)] if self._channel else []
        self._channel = channel
        self._heard.clear()
        self._send(*before, ("SUBSCRIBE", channel), ("HGETALL", key))
        is_listening = False
        while True:
            answer = self._answer(_CONFIRM)
            if answer is None:
                raise redis.TimeoutError(f"no answer to a subscription within {_CONFIRM:g} s")
            if isinstance(answer, list) and answer[:1] != ["message"]:
                is_listening = is_listening or answer[:2] == ["subscribe", channel]
            elif isinstance(answer, list):
                if is_listening:  # what came before is of a time when nobody listened, be it of the same task
                    self._note(answer)
            elif isinstance(answer, redis.ResponseError) and not is_listening:
                raise answer
            elif is_listening:
                return None if isinstance(answer, redis.ResponseError) and not is_foreign(answer) else answer

    def hear(self, seconds: float) -> str | None:
        """The next event of the channel, if one comes in time."""
        if not self._heard:
            self._note(self._answer(seconds))
        return self._heard.popleft() if self._heard else None

    def turn_away(self) -> None:
        """Nobody waits for the answer: it is passed over when the ear is turned to another channel."""
        self._send(("UNSUBSCRIBE", self._channel))
        self._channel = ""

    def close(self) -> None:
        self._connection.disconnect()
        self._pool.release(self._connection)

    def _send(self, *commands: Sequence[str]) -> None:
        words = chain.from_iterable([self._connection.pack_command(*command) for command in commands])
        self._connection.send_packed_command([b"".join(words)])

    def _answer(self, seconds: float) -> Any:
        """What comes next, if it comes in time."""
        if not self._connection.can_read(timeout=seconds):
            return None
        try:
            return self._connection.read_response(push_request=True)
        except redis.ResponseError as error:
            return error

    def _note(self, answer: Any) -> None:
        if isinstance(answer, list) and answer[:2] == ["message", self._channel]:
            self._heard.append(answer[2])
