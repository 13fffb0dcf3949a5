"""The commands of an operator for tasks that are over: listing, retrying and deleting them."""

from typing import Any, BinaryIO, NoReturn

import click

from . import codec, events
from .app import MiniCelery
from .bulk import Outcome, Verb
from .errors import InvalidInput, MiniCeleryError
from .letters import Selection
from .progress_line import shown
from .states import Status
from .terminal import Span, ids_of, ids_option, tell_others, with_app


def _selecting(command: Any) -> Any:
    """Adds the options that say which dead letters are meant."""
    for option in (
        click.option("--newer-than", metavar="SPAN", type=Span(), help="Failed so long ago, or later."),
        click.option("--older-than", metavar="SPAN", type=Span(), help="Failed so long ago, or earlier: 30m, 2h, 7d."),
        click.option("--error", metavar="CLASS", help="Of this class of error, such as ValueError."),
        click.option("--queue", metavar="QUEUE", help="Of this queue."),
        click.option("--task", "name", metavar="NAME", help="Of tasks of this name."),
        click.option("--all", "everything", is_flag=True, help="All dead letters of this moment."),
        ids_option,
        click.argument("task_ids", nargs=-1, metavar="[ID]..."),
    ):
        command = option(command)
    return command


@click.group()
def dead() -> None:
    """Dead letters: tasks that have failed for good."""


@dead.command("list")
@with_app
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
def list_dead(app: MiniCelery, limit: int, offset: int) -> None:
    """Print dead letters, newest first, a JSON object a line."""
    for record in app.dead_letters(offset, limit):
        click.echo(codec.write(events.describe(record)))


@dead.command("retry")
@with_app
@_selecting
def retry_dead(app: MiniCelery, **asked: Any) -> None:
    """Put dead letters back into their queues, with all their retries. Prints how many."""
    _do(app, "retry", **asked)


@dead.command("delete")
@with_app
@_selecting
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_dead(app: MiniCelery, yes: bool, **asked: Any) -> None:
    """Delete dead letters. Prints how many."""
    _do(app, "delete", ask=not yes, **asked)


@click.command()
@with_app
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@ids_option
def delete(app: MiniCelery, task_ids: tuple[str, ...], lines: BinaryIO | None) -> None:
    """Delete finished tasks with their results. Prints how many.

    What is not finished is left as it is; cancel it first. Exit code 1 if one of the ids belongs to such a task, 4 if
    to none.
    """
    if not task_ids and not lines:
        raise InvalidInput("give ids, or --ids")
    ids = ids_of(task_ids, lines)
    with shown("deleting") as line:
        outcome = app.bulk.delete(ids, progress=line.show)
    _tell(outcome)


def _do(
    app: MiniCelery,
    verb: Verb,
    *,
    task_ids: tuple[str, ...],
    lines: BinaryIO | None,
    everything: bool,
    ask: bool = False,
    **selected: Any,
) -> None:
    selection = Selection(**selected)
    ways = [bool(task_ids or lines), everything, not selection.is_all].count(True)
    if ways > 1:
        raise InvalidInput("ids, --all and a selection do not go together; give one of these")
    if not ways:
        raise InvalidInput("give ids, or --all, or a selection: --task, --queue, --error, --older-than, --newer-than")
    words = "retrying" if verb == "retry" else "deleting"
    if task_ids or lines:
        ids = ids_of(task_ids, lines)
        with shown(words) as line:
            if verb == "retry":
                outcome = app.bulk.retry(ids, progress=line.show)
            else:
                outcome = app.bulk.delete(ids, states={Status.FAILED}, progress=line.show)
        _tell(outcome)
    if ask:
        which = "all" if everything else "those that are selected of the"
        click.confirm(f"Delete {which} {app.inspector.dead_letter_count()} dead letters?", abort=True, err=True)
    click.echo(_walked(app, verb, selection, words))


def _walked(app: MiniCelery, verb: Verb, selection: Selection, words: str) -> int:
    done = looked = 0
    try:
        with shown(f"{words}; looked at") as line:
            for step in app.bulk.steps(verb, app.bulk.walk(selection)):
                done += step.done
                looked += step.looked
                line.show(looked, looked + step.walk.left)
    except (SystemExit, MiniCeleryError):
        click.echo(done)
        raise
    return done


def _tell(outcome: Outcome) -> NoReturn:
    click.echo(outcome.done)
    tell_others(outcome.others.items())
