"""What commands share: the options that name the application, Redis and ids, and errors as lines and exit codes."""

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NoReturn

import click

from . import codec
from .errors import (
    ForeignData,
    InvalidInput,
    LockLost,
    LockNotAcquired,
    LockNotHeld,
    MiniCeleryError,
    RedisFull,
    RedisUnavailable,
    RedisUnreachable,
    ResultTimeout,
    ScheduleNotFound,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
    UnknownTask,
)
from .loading import load_app
from .spans import seconds_of
from .states import Status

FAILED, USAGE, UNREACHABLE, NOT_FOUND, TIMED_OUT, STOPPED = 1, 2, 3, 4, 124, 130

_EXIT_CODES: list[tuple[type[MiniCeleryError], int]] = [
    (TaskFailed, FAILED),
    (TaskCancelled, FAILED),
    (TaskExpired, FAILED),
    (RedisUnavailable, UNREACHABLE),
    (TaskNotFound, NOT_FOUND),
    (ScheduleNotFound, NOT_FOUND),
    (ResultTimeout, TIMED_OUT),
    (LockLost, FAILED),
    (LockNotAcquired, TIMED_OUT),
    (LockNotHeld, NOT_FOUND),
    (MiniCeleryError, USAGE),
]


class Group(click.Group):
    """Turns our errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MiniCeleryError as error:
            click.echo(f"minicelery: {error}", err=True)
            for line in _advice(error):
                click.echo(line, err=True)
            sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))


def _advice(error: MiniCeleryError) -> Iterator[str]:
    """What else there is to say about an error, each in a line."""
    if isinstance(error, RedisUnavailable) and error.task_id:
        if isinstance(error, (RedisFull, ForeignData)):
            yield "Nothing was changed."
        else:
            yield f"The task may be there; repeating it is safe with --task-id {error.task_id}"
    elif isinstance(error, RedisUnavailable) and error.task_ids:
        yield f"Of {len(error.task_ids)} tasks {len(error.submitted)} are there for certain, in order."
        yield "It is safe to repeat those that have a task_id of their own."
    if isinstance(error, RedisUnreachable):
        yield "Is it running? Name it by MINICELERY_REDIS_URL, or start one: minicelery up"
    if isinstance(error, UnknownTask) and {"add", "countdown", "flaky"} <= set(error.known):
        yield "These are the demonstration's tasks; name your application: --app or MINICELERY_APP"
    if isinstance(error, TaskFailed):
        yield error.traceback


class WithNegativeNumbers(click.Command):
    """Takes -1 for an argument and not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # JSON allows a blank in front, and to click it is no option then.
        return super().parse_args(ctx, [f" {arg}" if re.fullmatch(r"-\d.*", arg) else arg for arg in args])


class Span(click.ParamType[float]):
    """Seconds, or a span of time such as 90s, 5m, 1h30m or 2d. Unless a ``least`` one is given, whether it fits is for
    others to say."""

    name = "span"

    def __init__(self, least: float = -math.inf) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = self._seconds(value, param, ctx)
        if seconds < self._least:
            self.fail(f"{value} is too short; give {self._least:g} seconds or more", param, ctx)
        return seconds

    def _seconds(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
        try:
            return seconds_of(value)
        except InvalidInput:
            self.fail(f"{value!r:.100} is no span of time; give seconds, or such as 90s, 5m, 1h30m, 2d", param, ctx)


def whole(_: object, __: object, seconds: float | None) -> float | None:
    """The value of an option as an integer, if it is a whole number."""
    return int(seconds) if seconds is not None and seconds.is_integer() else seconds


app_option = click.option(
    "--app",
    "app_path",
    metavar="MODULE:ATTRIBUTE",
    envvar="MINICELERY_APP",
    default="",
    help="The application. Default: MINICELERY_APP, else the demonstration.",
)


redis_option = click.option(
    "--redis-url", metavar="URL", help="Default: MINICELERY_REDIS_URL, or REDIS_HOST and REDIS_PORT."
)


def with_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--app`` and ``--redis-url``, and hands in the loaded application."""

    @app_option
    @redis_option
    def loaded(app_path: str, redis_url: str | None, **options: Any) -> Any:
        app = load_app(app_path)
        if redis_url:
            app.configure(redis_url=redis_url)
        return command(app, **options)

    loaded.__doc__ = command.__doc__
    loaded.__name__ = command.__name__
    loaded.__click_params__ = [*getattr(command, "__click_params__", []), *loaded.__click_params__]  # type: ignore[attr-defined]
    return loaded


def ids_of(task_ids: tuple[str, ...], lines: BinaryIO | None) -> list[str]:
    """Ids as arguments, and from a file, one a line."""
    read = (line.decode("utf-8", "surrogateescape").strip() for line in lines or ())
    return [*task_ids, *filter(None, read)]


ids_option = click.option(
    "--ids", "lines", type=click.File("rb"), metavar="FILE", help="Further ids, one a line; - is standard input."
)


def tell_others(others: Iterable[tuple[str, Status | None]]) -> NoReturn:
    """Name those that it could not be done to, and end the command: 1 if there are any, 4 if some are unknown."""
    states = set()
    for task_id, state in others:
        states.add(state)
        click.echo(f"minicelery: {task_id} is {state}" if state else f"minicelery: no task '{task_id}'", err=True)
    sys.exit(NOT_FOUND if None in states else FAILED if states else 0)


def value_of(text: str) -> Any:
    """A word of the command line as JSON; what is none stands for itself."""
    try:
        return codec.decode_foreign(text.encode("utf-8", "surrogateescape"))
    except MiniCeleryError:
        return text


def named_value(text: str) -> tuple[str, Any]:
    """KEY=JSON. Raises ``InvalidInput``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"'{text}' is not KEY=JSON", "/kwargs")
    return key, value_of(value)
