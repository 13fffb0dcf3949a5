"""Runs one delivery and says how it ended. Knows no Redis."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from . import codec
from .context import Report, TaskContext, context_of
from .errors import LeaseLost, UnknownTask
from .interrupt import Interrupts, Run
from .message import Delivery
from .outcome import Outcome, RetryPolicy, judge, overrun, succeed
from .states import Status
from .time_limits import NO_TIME_LIMITS, TimeLimits

_NEVER = RetryPolicy(retry_for=())

Around = Callable[[], AbstractContextManager[Any]]


class Runnable(Protocol):
    """What the executor needs of a task."""

    policy: RetryPolicy
    time_limits: TimeLimits

    def run(self, context: Callable[[], TaskContext], args: list[Any], kwargs: dict[str, Any]) -> Any: ...


def is_not(_: Delivery) -> bool:
    """No delivery is cancelled."""
    return False


class Executor:
    """Delivery → outcome. ``cancelled`` tells which deliveries are, ``around`` is entered for each run, such as an
    application context. ``interrupts`` knows the runs that are inside their functions."""

    def __init__(
        self,
        find: Callable[[str], Runnable],
        report: Report,
        random: Callable[[], float],
        cancelled: Callable[[Delivery], bool] = is_not,
        around: Around = nullcontext,
    ) -> None:
        self._find = find
        self._report = report
        self._random = random
        self._cancelled = cancelled
        self._around = around
        self.interrupts = Interrupts()

    def execute(self, delivery: Delivery) -> Outcome | None:
        """How the run ended; None when it found out that its delivery is no longer the current one.

        Whatever user code raises is an outcome, ``SystemExit`` and ``KeyboardInterrupt`` included: a thread
        of the worker never ends by what a task does. A process that the task has forked does not return.
        """
        process = os.getpid()
        try:
            return self._run(delivery)
        finally:
            if os.getpid() != process:
                os._exit(0)

    def _run(self, delivery: Delivery) -> Outcome | None:
        policy, is_lost = _NEVER, False
        run = (delivery.id, delivery.token)

        def report(*progress: str) -> bool | None:
            nonlocal is_lost
            is_current = self.interrupts.shielded(run, self._report, *progress)
            is_lost = is_current is False
            return is_current

        try:
            task = self._find(delivery.name)
            policy = task.policy
            args, kwargs = codec.decode(delivery.args), codec.decode(delivery.kwargs)
            with self._around():
                value = self._call(
                    run, task, lambda: context_of(delivery, report, lambda: self._cancelled(delivery)), args, kwargs
                )
            policy = _NEVER  # a result that can't be kept would be the same next time
            return succeed(codec.encode(value, "/result"))
        except LeaseLost as error:
            return None if is_lost else self._judge(error, delivery, policy)
        except BaseException as error:
            return self._judge(error, delivery, policy)

    def time_limits(self, delivery: Delivery) -> tuple[TimeLimits, Outcome] | None:
        """How long a run may take, and how it ends if it takes longer; None if there is no limit.

        Raises ``InvalidInput`` for limits of the call that have no sense, which another program has written.
        """
        try:
            task = self._find(delivery.name)
        except UnknownTask:
            return None
        if task.time_limits is NO_TIME_LIMITS and not delivery.options:
            return None
        limits = task.time_limits.replaced(codec.decode(delivery.options or "{}"))
        return limits, self._judge(overrun(limits.hard or 0.0), delivery, task.policy)

    def _judge(self, error: BaseException, delivery: Delivery, policy: RetryPolicy) -> Outcome:
        try:
            return judge(error, delivery.retry_count, delivery.max_retries, policy, self._random())
        except BaseException as broken:  # an exception class of user code that can't even be looked at
            body = {"type": "UnreadableError", "message": f"{type(broken).__name__} while reading the error"}
            return Outcome(Status.FAILED, codec.write({**body, "traceback": ""}))

    def _call(
        self, run: Run, task: Runnable, context: Callable[[], TaskContext], args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run the task. A recursion limit that it lowers would hold for the worker's own code, in all threads."""
        limit = sys.getrecursionlimit()
        try:
            return self.interrupts.guarded(run, task.run, context, args, kwargs)
        finally:
            if sys.getrecursionlimit() < limit:
                sys.setrecursionlimit(limit)
