"""Runs one delivery and says how it ended. Knows no Redis."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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
#: How an isolated run has ended: as its process says, or by what has ended that.
Ending = Outcome | Exception | None


class Runnable(Protocol):
    """What the executor needs of a task."""

    policy: RetryPolicy
    time_limits: TimeLimits
    is_isolated: bool
    max_memory_mb: int | None
    ignores_result: bool

    def run(self, context: Callable[[], TaskContext], args: list[Any], kwargs: dict[str, Any]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Demand:
    """A run that is to be isolated, what it may take, and what it may ask."""

    delivery: Delivery
    limits: TimeLimits
    max_memory_mb: int | None
    report: Report
    cancelled: Callable[[], bool]


Isolate = Callable[[Demand], Ending]


def is_not(_: Delivery) -> bool:
    """No delivery is cancelled."""
    return False


class Executor:
    """Delivery → outcome. ``cancelled`` tells which deliveries are, ``around`` is entered for each run, such as an
    application context. ``interrupts`` knows the runs that are inside their functions. ``isolate`` runs what is to run
    in a process of its own; without it that runs here, too."""

    def __init__(
        self,
        find: Callable[[str], Runnable],
        report: Report,
        random: Callable[[], float],
        cancelled: Callable[[Delivery], bool] = is_not,
        around: Around = nullcontext,
        isolate: Isolate | None = None,
    ) -> None:
        self._find = find
        self._report = report
        self._random = random
        self._cancelled = cancelled
        self._around = around
        self._isolate = isolate
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
            if task.is_isolated and self._isolate:
                return self._elsewhere(self._isolate, delivery, task)
            args, kwargs = codec.decode(delivery.args), codec.decode(delivery.kwargs)
            with self._around():
                value = self._call(
                    run, task, lambda: context_of(delivery, report, lambda: self._cancelled(delivery)), args, kwargs
                )
            policy = _NEVER  # a result that can't be kept would be the same next time
            is_ignored = _ignores_result(task, delivery) if delivery.options else task.ignores_result
            return succeed("null" if is_ignored else codec.encode(value, "/result"))
        except LeaseLost as error:
            return None if is_lost else self._judge(error, delivery, policy)
        except BaseException as error:
            return self._judge(error, delivery, policy)

    def _elsewhere(self, isolate: Isolate, delivery: Delivery, task: Runnable) -> Outcome | None:
        limits = _limits_of(task, delivery)
        ending = isolate(
            Demand(delivery, limits, task.max_memory_mb, self._report, lambda: self._cancelled(delivery)),
        )
        return self._judge(ending, delivery, task.policy) if isinstance(ending, Exception) else ending

    def time_limits(self, delivery: Delivery) -> tuple[TimeLimits, Outcome] | None:
        """How long a run may take here, and how it ends if it takes longer; None if there is no limit.

        Raises ``InvalidInput`` for limits of the call that have no sense, which another program has written.
        """
        try:
            task = self._find(delivery.name)
        except UnknownTask:
            return None
        if task.time_limits is NO_TIME_LIMITS and not delivery.options:
            return None
        if task.is_isolated and self._isolate:
            return None
        limits = _limits_of(task, delivery)
        if limits == NO_TIME_LIMITS:
            return None
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


def _ignores_result(task: Runnable, delivery: Delivery) -> bool:
    """Whether nobody wants to know what the run returns: it may be anything then, and is not kept."""
    chosen = codec.decode(delivery.options).get("ignore_result")
    return task.ignores_result if chosen is None else bool(chosen)


def _limits_of(task: Runnable, delivery: Delivery) -> TimeLimits:
    return task.time_limits.replaced(codec.decode(delivery.options)) if delivery.options else task.time_limits
