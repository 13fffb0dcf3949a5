"""Schedules that are declared in the code: what may be said of them, and those that an application has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

from . import codec
from .cron import check_rule
from .errors import DuplicateScheduleName, InvalidInput
from .message import Message
from .options import CallOptions, refuse_unknown
from .schedule import (
    MOST_MISSED,
    Missed,
    Origin,
    Schedule,
    check_missed,
    check_most,
    check_schedule_name,
    made_of,
)
from .task import Task


class ScheduleOptions(TypedDict, total=False):
    """When a schedule is due, and what about missed runs; either ``cron`` or ``every``."""

    cron: str | None  #: minute, hour, day of the month, month, day of the week; with six fields seconds come first
    timezone: str | None  #: of the expression, such as "Europe/Vienna"; default: UTC
    every: float | timedelta | None  #: whole seconds, counted from the epoch
    missed: str | None  #: "skip", "once" or "all"; default: once
    most: int | None  #: the most runs that "all" makes up for; default: 1000


class PeriodicOptions(ScheduleOptions, total=False):
    """What ``@app.periodic(...)`` takes: ``ScheduleOptions``, and what the task is sent with."""

    name: str  #: default: the task's name
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue: str | None
    priority: int | None
    max_retries: int | None
    expires: float | None  #: seconds after it was sent from which on a task that has not begun is given up
    tags: Sequence[str] | None
    fair_key: str | None  #: whose it is, as in a call
    time_limit: float | None
    soft_time_limit: float | None
    ignore_result: bool | None
    unique_for: float | None  #: a due time is joined to the task that is there, as a call is
    unique_until: str | None
    unique_key: str | None
    throttle: float | None


_OF_THE_CALL = tuple(name for name in CallOptions.__annotations__ if name in PeriodicOptions.__annotations__)
_OF_ONE_RUN = {
    "task_id": "leave it out: the id follows from the schedule and the due time",
    "countdown": "leave it out: the schedule says when",
    "eta": "leave it out: the schedule says when",
}


class Declarations:
    """The schedules that an application has declared, by name."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}

    def add(self, task: object, options: PeriodicOptions) -> None:
        """Declare that a task is sent periodically. Raises ``InvalidInput`` or ``DuplicateScheduleName``."""
        if not isinstance(task, Task):
            raise InvalidInput(f"{task!r:.80} is not a task; write @app.periodic above @app.task, which makes it one")
        refuse_unknown(options, PeriodicOptions)
        name = check_schedule_name(options.get("name", task.name))
        if name in self._schedules:
            raise DuplicateScheduleName(f"two schedules are named '{name}'; give one of them name=...")
        call = {one: options[one] for one in _OF_THE_CALL if one in options}  # type: ignore[literal-required]
        refuse_single(call)
        message = refuse_debounced(task.message(options.get("args", ()), options.get("kwargs", {}), call))
        defined = replace(schedule_of(name, message, options), origin=Origin.CODE)
        self._schedules[name] = replace(defined, version=defined.digest())

    def __iter__(self) -> Iterator[Schedule]:
        return iter(self._schedules.values())


def schedule_of(name: str, message: Message, options: ScheduleOptions | PeriodicOptions) -> Schedule:
    """A schedule of a checked call. Raises ``InvalidInput`` that names the option."""
    rule = check_rule(options.get("cron"), options.get("timezone"), options.get("every"))
    missed, most = options.get("missed"), options.get("most")
    policy = Missed.ONCE if missed is None else check_missed(missed)
    return made_of(name, message, rule, policy, MOST_MISSED if most is None else check_most(most))


def refuse_debounced(message: Message) -> Message:
    """The message. ``InvalidInput`` where it is due after a quiet time: of calls, and there are none but this one."""
    if message.more and codec.decode(message.more).get("once") == "debounce":
        told = f"a schedule says when {message.name} is due, and not a quiet time: give unique_for or throttle instead"
        raise InvalidInput(told, "/debounce")
    return message


def refuse_single(call: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` for an option of a call that could be true of one run only."""
    for name, told in _OF_ONE_RUN.items():
        if call.get(name) is not None:
            raise InvalidInput(told, f"/{name}")
    if isinstance(call.get("expires"), datetime):
        raise InvalidInput("give seconds: a moment would be past at the next run", "/expires")
