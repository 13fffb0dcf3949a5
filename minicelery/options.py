"""The options of a task and of a single call: one list of each, checked in one place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, TypedDict, cast

from . import codec, uniqueness
from .errors import InvalidInput, nearest
from .fairness import check_fair_key, text_by, word_of
from .keys import HIGHEST_PRIORITY, NORMAL_PRIORITY
from .names import check_name, check_queue
from .outcome import MAX_DELAY, MAX_RETRIES, RetryPolicy, check_countdown
from .rates import interval_of
from .time_limits import NO_TIME_LIMITS, TIME_LIMITS, TimeLimits
from .uniqueness import Once

#: Tags of one task.
MOST_TAGS = 20
#: Runs at the same time that a limit may allow.
MOST_SLOTS = 100_000
NOTHING: Mapping[str, str] = MappingProxyType({})
LATEST = datetime(9000, 12, 31, tzinfo=UTC).timestamp()
#: What a call tells the worker, in place of what the task says.
_FOR_THE_WORKER = (*TIME_LIMITS, "ignore_result")


class TaskOptions(TypedDict, total=False):
    """What ``@app.task(...)`` takes. Times are seconds."""

    name: str  #: default: the function's name
    queue: str  #: default: "default"
    priority: int  #: 0 to 9 within the queue, 9 first; default 5
    max_retries: int  #: retries after the first run; default 3
    retry_backoff: bool | float  #: True: exponential from 1 s; a number: from that; False: retry at once
    retry_factor: float  #: growth of the back-off; default 2
    retry_cap: float  #: its longest wait; default 600
    retry_jitter: bool  #: wait a random part of it; default True
    retry_for: (
        type[BaseException] | tuple[type[BaseException], ...]
    )  #: exceptions that are retried; default (Exception,)
    no_retry_for: type[BaseException] | tuple[type[BaseException], ...]  #: exceptions of those that are not
    time_limit: float | None  #: seconds after which a run is given up on and counts as failed; default None
    soft_time_limit: float | None  #: seconds after which it gets a ``SoftTimeLimitExceeded``; less than time_limit
    isolation: Literal["thread", "process"]  #: where it runs; default "thread", beside others in one process
    max_memory_mb: int | None  #: MiB that its process may have, with isolation="process", on Linux; default: no limit
    expires: float | None  #: seconds after which a call that has not begun never does; default None
    ignore_result: bool | None  #: keep no result, None in its place; default False
    rate_limit: str | float | None  #: starts in a period by all workers together, such as "100/m"; a number: a second
    rate_key: Callable[..., object]  #: of the arguments: the limit holds for each value by itself
    concurrency: int | None  #: runs at the same time by all workers together
    concurrency_key: Callable[..., object]  #: as rate_key, for concurrency
    fair_key: Callable[..., object]  #: of the arguments: whose it is; within a queue those of each value take turns
    unique_for: float  #: as in a call
    unique_until: str  #: as in a call
    unique_key: Callable[..., str]  #: from the call's arguments the key; default: the arguments themselves
    throttle: float  #: as in a call
    debounce: float  #: as in a call
    debounce_max: float  #: as in a call


class CallOptions(TypedDict, total=False):
    """What ``apply_async(...)`` takes beside the arguments; None counts as not given."""

    countdown: float | None  #: seconds from now
    eta: datetime | None  #: a moment; of UTC, if it has no time zone
    expires: float | datetime | None  #: seconds from now, or such a moment: later than that it never begins
    queue: str | None
    priority: int | None
    max_retries: int | None
    tags: Sequence[str] | None  #: names under which tasks can be cancelled together
    fair_key: str | None  #: whose it is, a tenant's, say: within a queue they take turns; default: the task's function
    unique_for: float | None  #: another call with the same key is this same task, for so long at most
    unique_until: str | None  #: "finish" (the default) or "start"
    unique_key: (
        str | None
    )  #: of two calls of one task that are the same; default: the task's function, or the arguments
    throttle: float | None  #: as unique_for, for just so long, whatever becomes of the task
    debounce: float | None  #: due so long after the last call with the same key, whose arguments count
    debounce_max: float | None  #: due so long after the first call in any case; default ten times debounce
    task_id: str | None  #: default: a new UUID; the same id with the same call is the same task
    time_limit: float | None  #: instead of the task's
    soft_time_limit: float | None  #: instead of the task's
    ignore_result: bool | None  #: instead of the task's


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for all tasks of a name together, or for those with the same key. ``interval``: the seconds between
    two starts; ``concurrency``: runs at the same time."""

    interval: float | None = None
    rate_key: Callable[..., object] | None = None
    concurrency: int | None = None
    concurrency_key: Callable[..., object] | None = None

    def __bool__(self) -> bool:
        return self.interval is not None or self.concurrency is not None

    def gates(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """What a call has to pass: the JSON that enqueue.lua takes, each limit with its key ('' for none) and value."""
        found: dict[str, Any] = {}
        if self.interval is not None:
            found["rate"] = [_key(self.rate_key, "/rate_key", args, kwargs), round(self.interval, 6)]
        if self.concurrency is not None:
            found["slots"] = [_key(self.concurrency_key, "/concurrency_key", args, kwargs), self.concurrency]
        return codec.write(found)


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """``TaskOptions`` after the check, with the defaults filled in."""

    name: str
    queue: str
    max_retries: int
    policy: RetryPolicy
    time_limits: TimeLimits = NO_TIME_LIMITS
    is_isolated: bool = False
    max_memory_mb: int | None = None
    priority: int = NORMAL_PRIORITY
    expires: float | None = None
    ignore_result: bool = False
    limits: Limits = Limits()
    once: Once | None = None
    unique_key: Callable[..., str] | None = None
    fair_key: Callable[..., object] | None = None


def task_settings(function_name: str, options: TaskOptions) -> TaskSettings:
    """Raises ``InvalidInput`` for an option that does not exist or has no sense."""
    refuse_unknown(options, TaskOptions)
    backoff = options.get("retry_backoff", True)
    policy = RetryPolicy(
        base=_number(1.0 if backoff is True else backoff or 0, "/retry_backoff", 0),
        factor=_number(options.get("retry_factor", 2.0), "/retry_factor", 1),
        cap=_number(options.get("retry_cap", 600.0), "/retry_cap", 0),
        jitter=options.get("retry_jitter", True),
        retry_for=_exceptions(options.get("retry_for", (Exception,)), "/retry_for"),
        no_retry_for=_exceptions(options.get("no_retry_for", ()), "/no_retry_for"),
    )
    uniqueness.check_values(options)
    for name in ("unique_key", "fair_key"):
        if not callable(options.get(name, str)):
            raise InvalidInput("give a function that makes a string of the call's arguments", f"/{name}")
    return TaskSettings(
        name=check_name(options["name"], "/name") if "name" in options else _own_name(function_name),
        queue=check_queue(options.get("queue", "default")),
        max_retries=check_max_retries(options.get("max_retries", 3)),
        policy=policy,
        time_limits=NO_TIME_LIMITS.replaced(options),
        is_isolated=(is_isolated := _is_isolated(options.get("isolation", "thread"))),
        max_memory_mb=_memory(options.get("max_memory_mb"), is_isolated=is_isolated),
        priority=NORMAL_PRIORITY if (priority := options.get("priority")) is None else check_priority(priority),
        expires=None if (expires := options.get("expires")) is None else _seconds_to_expire(expires),
        ignore_result=_check_ignore_result(options.get("ignore_result")) or False,
        limits=_limits(options),
        once=uniqueness.once_of(options),
        unique_key=options.get("unique_key"),
        fair_key=options.get("fair_key"),
    )


def check_call_options(options: Mapping[str, Any]) -> CallOptions:
    """The options that were given, checked. Raises ``InvalidInput`` that names the field."""
    refuse_unknown(options, CallOptions)
    given = {name: value for name, value in options.items() if value is not None}
    if "countdown" in given and "eta" in given:
        raise InvalidInput("give countdown or eta, not both", "/eta")
    if "countdown" in given:
        given["countdown"] = check_countdown(given["countdown"])
    if "eta" in given:
        given["eta"] = _moment(given["eta"], "/eta")
    if "expires" in given:
        given["expires"] = _expiry(given["expires"])
        _check_order(given)
    if "priority" in given:
        check_priority(given["priority"])
    if "tags" in given:
        given["tags"] = check_tags(given["tags"])
    if "queue" in given:
        check_queue(given["queue"])
    if "max_retries" in given:
        check_max_retries(given["max_retries"])
    _check_ignore_result(given.get("ignore_result"))
    NO_TIME_LIMITS.replaced(given)
    if "task_id" in given:
        check_name(given["task_id"], "/task_id")
    uniqueness.check_values(given)
    if "unique_key" in given:
        uniqueness.check_key(given["unique_key"])
    if "fair_key" in given:
        check_fair_key(given["fair_key"])
    return cast(CallOptions, given)


def with_expiry(chosen: CallOptions, expires: float | None) -> CallOptions:
    """Checked options of a call, with its task's time to expire. ``InvalidInput`` where it is due later than that."""
    if expires is None or "expires" in chosen:
        return chosen
    completed: CallOptions = {**chosen, "expires": expires}
    _check_order(completed)
    return completed


def more_of(
    options: CallOptions, priority: int = NORMAL_PRIORITY, gates: str = "", once: Mapping[str, str] = NOTHING
) -> str:
    """What a message has ``more`` than others: the JSON object that enqueue.lua takes; nothing where it has no more.

    ``priority`` is that of the task, for a call that says nothing else; ``gates`` as of ``Limits``, ``once`` as of
    ``uniqueness.fields_of`` and ``fairness.fair_fields``.
    """
    found = {"gates": gates, **once} if gates else dict(once)
    chosen, expires = options.get("priority"), options.get("expires")
    priority = priority if chosen is None else chosen
    if priority != NORMAL_PRIORITY:
        found["priority"] = str(priority)
    if isinstance(expires, datetime):
        found["expires"] = f"{expires.timestamp():.3f}"
    elif expires is not None:
        found["expires_in"] = f"{expires:.3f}"
    if tags := options.get("tags"):
        found["tags"] = " ".join(tags)
    if told := {name: value for name in _FOR_THE_WORKER if (value := options.get(name)) is not None}:
        found["options"] = codec.write(told)
    return codec.write(found) if found else ""


def check_priority(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_PRIORITY:
        return value
    raise InvalidInput(f"{value!r:.100} is not a priority; use 0 (last) to {HIGHEST_PRIORITY} (first)", "/priority")


def check_tags(value: object) -> tuple[str, ...]:
    """Tags without repeats. Raises ``InvalidInput`` for what is no list of names, or too long."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise InvalidInput(f"{value!r:.100} is not a list of tags", "/tags")
    for place, tag in enumerate(value):
        check_name(tag, f"/tags/{place}")
    tags = tuple(dict.fromkeys(value))
    if len(tags) > MOST_TAGS:
        raise InvalidInput(f"{len(tags)} tags; give {MOST_TAGS} at most", "/tags")
    return tags


def check_max_retries(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_RETRIES:
        return value
    raise InvalidInput(f"{value!r:.100} is not a number of retries; use 0 to {MAX_RETRIES}", "/max_retries")


def _own_name(function_name: str) -> str:
    if function_name.isidentifier() and function_name.isascii():
        return function_name
    raise InvalidInput(f"the function's name {function_name!r} can't be a task's; give name=...", "/name")


def _number(value: object, pointer: str, low: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= MAX_DELAY:
        raise InvalidInput(f"{value!r:.100} is out of range; use a number of at least {low}", pointer)
    return value


def _limits(options: TaskOptions) -> Limits:
    rate, concurrency = options.get("rate_limit"), options.get("concurrency")
    for name, of in (("rate_key", rate), ("concurrency_key", concurrency)):
        key = options.get(name)
        if key is not None and not callable(key):
            raise InvalidInput(f"{key!r:.100} is not a function of the task's arguments", f"/{name}")
        if key is not None and of is None:
            raise InvalidInput("there is nothing to limit by it; give the limit, too, or leave it out", f"/{name}")
    return Limits(
        None if rate is None else interval_of(rate, "/rate_limit"),
        options.get("rate_key"),
        None if concurrency is None else check_concurrency(concurrency),
        options.get("concurrency_key"),
    )


def check_concurrency(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SLOTS:
        return value
    raise InvalidInput(f"{value!r:.100} is not a number of runs; use 1 to {MOST_SLOTS:,}", "/concurrency")


def _key(function: Callable[..., object] | None, pointer: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The key of a call as a word that a key of Redis may hold: its text, or its digest if that is long or unusual."""
    return "" if function is None else word_of(str(text_by(function, pointer, args, kwargs)))


def _check_ignore_result(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInput(f"{value!r:.100} is neither True nor False", "/ignore_result")


def _is_isolated(value: object) -> bool:
    if value in ("thread", "process"):
        return value == "process"
    raise InvalidInput(f'{value!r:.100} is not a way to isolate a task; use "thread" or "process"', "/isolation")


def _memory(value: object, *, is_isolated: bool) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{value!r:.100} is not a number of MiB; use a whole number from 1", "/max_memory_mb")
    if not is_isolated:
        raise InvalidInput('threads share their memory; give isolation="process", too', "/max_memory_mb")
    return value


def _exceptions(value: object, pointer: str) -> tuple[type[BaseException], ...]:
    """One exception class, or several."""
    kinds = (value,) if isinstance(value, type) else tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise InvalidInput(f"{kind!r:.100} is not an exception class", pointer)
    return kinds


def _moment(value: object, pointer: str) -> datetime:
    """A moment with its time zone: UTC for one that has none, as Celery takes it."""
    if not isinstance(value, datetime):
        raise InvalidInput(f"{value!r:.100} is not a datetime", pointer)
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if moment.timestamp() > LATEST:
        raise InvalidInput("this moment is too far away; the year 9000 is the last", pointer)
    return moment


def _expiry(value: object) -> float | datetime:
    return _moment(value, "/expires") if isinstance(value, datetime) else _seconds_to_expire(value)


def _seconds_to_expire(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_DELAY:
        rule = f"use more than 0 and at most {MAX_DELAY:.0f} seconds, or in a call a moment"
        raise InvalidInput(f"{value!r:.100} is not a time to expire; {rule}", "/expires")
    return value


def _check_order(given: Mapping[str, Any]) -> None:
    """A task that expires before it is due would never begin."""
    due, expires = given.get("countdown", given.get("eta")), given["expires"]
    are_alike = isinstance(due, datetime) == isinstance(expires, datetime)
    if due is not None and are_alike and due >= expires:
        raise InvalidInput("the task would expire before it is due; give a later moment", "/expires")


#: What Celery calls some of them.
_OTHERS_NAMES = {"autoretry_for": "retry_for", "dont_autoretry_for": "no_retry_for", "retry_backoff_max": "retry_cap"}


def refuse_unknown(options: Mapping[str, Any], known: Any) -> None:
    """Raise ``InvalidInput`` for an option that the typed dict ``known`` does not have."""
    for name in options:
        if name not in known.__annotations__:
            near = _OTHERS_NAMES.get(name) or nearest(name, known.__annotations__)
            hint = f"; did you mean {near}?" if near else ""
            raise InvalidInput(f"there is no option '{name}'{hint}", f"/{name}")
