"""The options of a call on the command line: those that a schedule takes, too, and those of a single call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click

from .errors import InvalidInput
from .terminal import Span

_MOMENT_RULE = "give a moment with its time zone, such as 2030-01-31T12:00:00Z"


class Moment(click.ParamType[datetime]):
    """A moment with its time zone, RFC 3339."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r:.100} is no moment; {_MOMENT_RULE}", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r:.100} has no time zone; {_MOMENT_RULE}", param, ctx)
        return found


class SpanOrMoment(click.ParamType["float | datetime"]):
    """A span from now, or such a moment."""

    name = "span or moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | datetime:
        try:
            return Span().convert(value, param, ctx)
        except click.BadParameter:
            pass
        try:
            return Moment().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"{error.message}, or a span from now, such as 90s", ctx, param) from None


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in this order."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_shared = together(
    click.option("--queue"),
    click.option("--priority", type=int, metavar="0..9", help="Within its queue, 9 first. Default: the task's own."),
    click.option("--tag", "tags", multiple=True, help="A name to cancel it by; repeatable."),
    click.option("--fair-key", metavar="TEXT", help="Whose it is, a tenant's, say: within a queue they take turns."),
    click.option("--max-retries", type=int),
    click.option("--time-limit", type=Span(), metavar="SPAN", help="Later than that a run is given up on."),
    click.option("--soft-time-limit", type=Span(), metavar="SPAN", help="Later than that a run is told to end."),
    click.option(
        "--ignore-result", is_flag=True, default=None, help="Keep null as its result. Default: the task's own."
    ),
    click.option(
        "--unique-for", type=Span(), metavar="SPAN", help="The same call is the same task, for so long at most."
    ),
    click.option("--unique-until", metavar="finish|start", help="When the key is free again, if not before. finish."),
    click.option("--unique-key", metavar="TEXT", help="Calls with this key are the same. Default: by the arguments."),
    click.option("--throttle", type=Span(), metavar="SPAN", help="One task in this time, whatever becomes of it."),
)


def _expires(metavar: str, since: str) -> Callable[[Any], Any]:
    return click.option("--expires", type=SpanOrMoment(), metavar=metavar, help=f"Later than {since} never begins.")


#: What can be said of what a schedule sends, time and again.
of_a_schedules_call = together(_shared, _expires("SPAN", "that after it was sent it"))

#: What can be said of a call.
of_a_call = together(
    click.option("--countdown", type=Span(), metavar="SPAN", help="Due so long from now."),
    click.option("--eta", type=Moment(), metavar="MOMENT", help="Due then, such as 2030-01-31T12:00:00Z."),
    _expires("SPAN|MOMENT", "that it"),
    _shared,
    click.option("--debounce", type=Span(), metavar="SPAN", help="Due so long after the last such call, which counts."),
    click.option("--debounce-max", type=Span(), metavar="SPAN", help="Due then in any case. Default: ten times that."),
    click.option(
        "--task-id", metavar="ID", help="The same id with the same call is the same task. Default: a new one."
    ),
)


def of_the_call(options: dict[str, Any]) -> dict[str, Any]:
    """Takes what was given of these options out of those of a command."""
    names = [name for name in options if name in _FLAGS]
    return {name: value for name in names if (value := options.pop(name)) not in (None, ())}


@contextmanager
def blamed(place: str = "") -> Iterator[None]:
    """An ``InvalidInput`` about one of these options at ``place``, '/task' say, names it as the command line does."""
    try:
        yield
    except InvalidInput as error:
        field = error.pointer.removeprefix(place).partition("/")[2].partition("/")[0]
        if field in _FLAGS:
            error.args = (f"{_FLAGS[field]}: {error.detail}",)
        raise


def _flags() -> dict[str, str]:
    """The fields of a call, each with its option."""

    @of_a_call
    def command() -> None: ...

    options: list[click.Option] = command.__click_params__
    return {option.name: option.opts[0] for option in options if option.name}


_FLAGS = _flags()
