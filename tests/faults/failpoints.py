"""Points at which a child process of a test kills itself, chosen by environment variables.

``FAIL_POINT``: one of ``POINTS``. ``FAIL_TASK``: only for tasks of this name. ``FAIL_ONCE``: only as long as no file of
this path exists, which is made then.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from minicelery.broker import Broker
from minicelery.executor import Executor
from minicelery.worker.board import Board

POINTS = ("claimed", "begun", "after_effect", "before_settle", "after_settle")


def install() -> None:
    """Arrange for the end of this process, if the environment asks for it."""
    point = os.environ.get("FAIL_POINT")
    if not point:
        return
    if point not in POINTS:
        raise ValueError(f"FAIL_POINT={point!r} is not one of {', '.join(POINTS)}")
    _Points(point, os.environ.get("FAIL_TASK", ""), os.environ.get("FAIL_ONCE", "")).install()


class _Points:
    """Stands between the worker's code and what it calls, since the product itself has no fail points."""

    def __init__(self, point: str, task: str, once: str) -> None:
        self._point = point
        self._task = task
        self._once = once
        self._names: dict[str, str] = {}
        self._hands: dict[int, str] = {}

    def install(self) -> None:
        _wrap(Broker, "claim", after=self._claimed)
        _wrap(Broker, "claim_behind", after=self._claimed)
        _wrap(Board, "take", after=self._taken)
        _wrap(Board, "begin", after=self._begun)
        _wrap(Executor, "execute", after=self._executed)
        _wrap(Broker, "settle", before=self._settles, after=self._settled)
        _wrap(Broker, "exchange", before=self._settles, after=self._exchanged)

    def _claimed(self, answer: Any, *_: Any, **__: Any) -> None:
        self._names.update((delivery.id, delivery.name) for delivery in answer.deliveries)

    def _exchanged(self, answer: Any, _: Any, settlements: Iterable[Any], *__: Any, **___: Any) -> None:
        self._claimed(answer[1])
        self._reach("after_settle", [one.id for one in settlements])

    def _taken(self, _: Any, thread: int, task_id: str, *__: Any, **___: Any) -> None:
        self._hands[thread] = task_id
        self._reach("claimed", [task_id])

    def _begun(self, _: Any, thread: int, *__: Any, **___: Any) -> None:
        self._reach("begun", [self._hands[thread]])

    def _executed(self, _: Any, delivery: Any, *__: Any, **___: Any) -> None:
        self._reach("after_effect", [delivery.id])

    def _settles(self, _: Any, settlements: Iterable[Any], *__: Any, **___: Any) -> None:
        self._reach("before_settle", [one.id for one in settlements])

    def _settled(self, _: Any, __: Any, settlements: Iterable[Any], *___: Any, **____: Any) -> None:
        self._reach("after_settle", [one.id for one in settlements])

    def _reach(self, point: str, task_ids: Iterable[str]) -> None:
        if point == self._point and (not self._task or self._task in {self._names[one] for one in task_ids}):
            with suppress(FileExistsError):
                if self._once:
                    os.close(os.open(self._once, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)


def _wrap(
    owner: type, name: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    """Call ``before`` with the arguments of a method, and ``after`` with its answer and the arguments."""
    original = getattr(owner, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before:
            before(*args, **kwargs)
        answer = original(self, *args, **kwargs)
        if after:
            after(answer, *args, **kwargs)
        return answer

    setattr(owner, name, method)
