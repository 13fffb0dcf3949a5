"""The commands of an operator for pauses and limits, and for what is ready in a queue."""

from typing import Any

import click

from . import codec
from .app import MiniCelery
from .errors import InvalidInput, nearest
from .limits import described
from .progress_line import shown
from .terminal import Span, with_app


def _of_queue_or_task(command: Any) -> Any:
    """Adds the options that say what a command is about."""
    command = click.option("--task", metavar="NAME", help="The tasks of a name, in all queues.")(command)
    return click.option("--queue", metavar="QUEUE", help="A queue.")(command)


def _subject(queue: str | None, task: str | None) -> tuple[str, str]:
    if (queue is None) == (task is None):
        raise InvalidInput("give --queue or --task, one of them")
    return ("queue", queue) if queue is not None else ("task", str(task))


@click.command()
@with_app
@_of_queue_or_task
@click.option("--reason", default="", help="Why, for those who look.")
@click.option("--by", default="", help="Who has done it.")
def pause(app: MiniCelery, queue: str | None, task: str | None, **words: str) -> None:
    """Let no task of a queue, or of a name, begin until it is resumed. What runs goes on."""
    kind, name = _subject(queue, task)
    (app.limits.pause_queue if kind == "queue" else app.limits.pause_task)(name, **words)
    _tell_unknown(app, kind, name)
    _show(app, kind, name)


@click.command()
@with_app
@_of_queue_or_task
def resume(app: MiniCelery, queue: str | None, task: str | None) -> None:
    """End a pause."""
    kind, name = _subject(queue, task)
    was_paused = (app.limits.resume_queue if kind == "queue" else app.limits.resume_task)(name)
    if not was_paused:
        click.echo(f"{kind} {name} was not paused", err=True)
    _show(app, kind, name)


@click.group()
def limits() -> None:
    """Limits that hold for all workers together, and pauses."""


@limits.command("list")
@with_app
def list_limits(app: MiniCelery) -> None:
    """Print all that is set, and what the code says of queues, a JSON object a line."""
    for one in app.limits.all():
        click.echo(codec.write(described(one)))


@limits.command("set")
@with_app
@_of_queue_or_task
@click.option("--rate", metavar="RATE", help="Starts in a period, such as 100/m; of a task's name only.")
@click.option("--concurrency", type=int, metavar="N", help="Runs at the same time.")
@click.option("--ageing", type=Span(), metavar="SPAN", help="Of a queue: what priority 0 waits longer, at most.")
def set_limits(
    app: MiniCelery,
    queue: str | None,
    task: str | None,
    rate: str | None,
    concurrency: int | None,
    ageing: float | None,
) -> None:
    """Limit a queue, or the tasks of a name. It goes before what the code declares."""
    kind, name = _subject(queue, task)
    if kind == "queue" and rate is not None:
        raise InvalidInput("a queue has no rate; limit the tasks of a name: --task")
    if kind == "task" and ageing is not None:
        raise InvalidInput("only what waits in a queue ages: --queue")
    if kind == "task":
        app.limits.set_task(name, rate=rate, concurrency=concurrency)
    else:
        app.limits.set_queue(name, concurrency=concurrency, ageing=ageing)
    _tell_unknown(app, kind, name)
    _show(app, kind, name)


@limits.command("clear")
@with_app
@_of_queue_or_task
def clear_limits(app: MiniCelery, queue: str | None, task: str | None) -> None:
    """Take away the limits that were set; those that the code declares hold again."""
    kind, name = _subject(queue, task)
    (app.limits.clear_queue if kind == "queue" else app.limits.clear_task)(name)
    _show(app, kind, name)


@click.command()
@with_app
@click.argument("queue")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(app: MiniCelery, queue: str, yes: bool) -> None:
    """Cancel all that is ready in a queue. Prints how many tasks that were."""
    if not yes:
        click.confirm(f"Cancel all {app.inspector.queue_length(queue)} ready tasks of {queue}?", abort=True, err=True)
    with shown("purging") as line:
        cancelled = app.limits.purge(queue, progress=line.show)
    click.echo(cancelled)


@click.command()
@with_app
@click.argument("queue")
@click.argument("target")
def move(app: MiniCelery, queue: str, target: str) -> None:
    """Move all that is ready in a queue to another one, in order. Prints how many tasks that were."""
    with shown("moving") as line:
        moved = app.limits.move(queue, target, progress=line.show)
    click.echo(moved)


def _tell_unknown(app: MiniCelery, kind: str, name: str) -> None:
    """A word where the application has no task of that name, which may still be another one's."""
    if kind == "task" and name not in app.tasks:
        near = nearest(name, [task.name for task in app.tasks])
        hint = f"; did you mean '{near}'?" if near else "."
        click.echo(f"minicelery: this application has no task '{name}'{hint} It is set all the same", err=True)


def _show(app: MiniCelery, kind: str, name: str) -> None:
    click.echo(codec.write(described(app.limits.of(kind, name))))
