"""The commands for schedules."""

from typing import Any

import click

from . import codec
from .app import MiniCelery
from .call_flags import blamed, of_a_schedules_call, of_the_call, together
from .errors import InvalidInput
from .schedule import MOST_MISSED, Missed, describe
from .schedules import MOST_PREVIEWED, Preview
from .terminal import Span, WithNegativeNumbers, named_value, value_of, whole, with_app


@click.group()
def schedules() -> None:
    """Schedules: tasks that are sent again and again."""


_POLICIES = [policy.value for policy in Missed]
_RULE = together(
    click.option("--cron", metavar="EXPRESSION", help="Minute, hour, day, month, weekday; or six, from seconds on."),
    click.option("--timezone", metavar="ZONE", help="Of the expression. Default: UTC."),
    click.option(
        "--every",
        type=Span(),
        callback=whole,
        metavar="SPAN",
        help="Instead, from the epoch, such as 6h.",
    ),
)
_POLICY = together(
    click.option(
        "--missed",
        type=click.Choice(_POLICIES),
        help="Of runs that nothing could fire. Default: once.",
    ),
    click.option("--most", type=int, metavar="N", help=f"Runs that 'all' makes up for. Default: {MOST_MISSED}."),
)
_CALL = together(
    click.argument("args", nargs=-1, metavar="[JSON]..."),
    click.option("-k", "--kwarg", "kwargs", multiple=True, metavar="KEY=JSON", help="A keyword argument; repeatable."),
    of_a_schedules_call,
)


@schedules.command("list")
@with_app
@click.argument("names", nargs=-1, metavar="[NAME]...")
def list_schedules(app: MiniCelery, names: tuple[str, ...]) -> None:
    """Print schedules, a JSON object a line: those named, or all."""
    for record in map(app.schedules.get, names) if names else app.schedules.list():
        click.echo(codec.write(describe(record)))


@schedules.command(cls=WithNegativeNumbers)
@with_app
@click.argument("name")
@click.argument("task")
@_CALL
@_RULE
@_POLICY
def add(app: MiniCelery, name: str, task: str, **options: Any) -> None:
    """Add a schedule, such as: minicelery schedules add nightly report '"all"' --cron '0 2 * * *'

    Each argument is JSON; what is not JSON is taken as a string. Prints when it is due.
    """
    call = _call(task, options)
    with blamed("/task"):
        record = app.schedules.add(name, call, **options)
    _print(app.schedules.preview_of(record.schedule.rule, 1))


@schedules.command(cls=WithNegativeNumbers)
@with_app
@click.argument("name")
@click.option("--task", help="Send this task instead, with the arguments and options that are given.")
@_CALL
@_RULE
@_POLICY
def change(app: MiniCelery, name: str, task: str | None, **options: Any) -> None:
    """Change what is given of a schedule. Prints when it is due.

    Arguments and options of the task come together with --task; nothing of the task before is kept then.
    """
    call = _call(task or "", options)
    if task is None and len(call) > 1:
        raise InvalidInput(f"{', '.join(sorted(call.keys() - {'name'}))}: give --task, too")
    with blamed("/task"):
        record = app.schedules.change(name, call if task else None, **options)
    _print(app.schedules.preview_of(record.schedule.rule, 1))


@schedules.command()
@with_app
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def delete(app: MiniCelery, names: tuple[str, ...]) -> None:
    """Delete schedules. What they have sent stays."""
    for name in names:
        app.schedules.delete(name)
    click.echo(len(names))


@schedules.command()
@with_app
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pause(app: MiniCelery, names: tuple[str, ...]) -> None:
    """Let schedules fire no more until they are resumed."""
    for name in names:
        app.schedules.pause(name)
    click.echo(len(names))


@schedules.command()
@with_app
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def resume(app: MiniCelery, names: tuple[str, ...]) -> None:
    """Let schedules fire again."""
    for name in names:
        app.schedules.resume(name)
    click.echo(len(names))


@schedules.command()
@with_app
@click.argument("name")
def run(app: MiniCelery, name: str) -> None:
    """Send the task of a schedule at once. Prints its id."""
    result = app.schedules.run_now(name)
    if result.duplicate:
        click.echo("minicelery: its task is unique and has not ended; this is the earlier one", err=True)
    click.echo(result.id)


@schedules.command()
@with_app
@click.argument("name", required=False)
@_RULE
@click.option("--count", type=click.IntRange(1, MOST_PREVIEWED), default=5, show_default=True)
def preview(app: MiniCelery, name: str | None, count: int, **rule: Any) -> None:
    """Print the next due times of a schedule, or of --cron or --every; what that is in words, on standard error."""
    given = {option: value for option, value in rule.items() if value is not None}
    if name and given:
        raise InvalidInput("give the name of a schedule, or --cron or --every")
    found = app.schedules.get(name).schedule.rule if name else None
    _print(app.schedules.preview_of(found, count) if found else app.schedules.preview(count, **given))


def _print(preview: Preview) -> None:
    click.echo(preview.words, err=True)
    for moment in preview.next:
        click.echo(moment)


def _call(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """Takes what belongs to the task out of the options of a command."""
    args, kwargs = options.pop("args"), options.pop("kwargs")
    call = {"name": task} | of_the_call(options)
    if args:
        call["args"] = [value_of(text) for text in args]
    if kwargs:
        call["kwargs"] = dict(named_value(text) for text in kwargs)
    return call
