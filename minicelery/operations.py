"""The commands of an operator: lengths of queues, dead letters, the doctor."""

import sys
from collections.abc import Callable
from functools import partial

import click

from . import codec, events, server
from .app import MiniCelery
from .doctor import Repair
from .errors import ForeignData, InvalidInput
from .states import Status
from .terminal import FAILED, NOT_FOUND, UNREACHABLE, with_app


@click.command()
@with_app
def queues(app: MiniCelery) -> None:
    """Print the length of every queue that is not empty, of quarantines and the dead letters too, one a line.

    What another program has put something else under is named on standard error, and the exit code is 3 then.
    """
    look = app.inspector
    lengths: list[tuple[str, Callable[[], int]]]
    lengths = [(name, partial(look.queue_length, name)) for name in look.queues()]
    lengths += [(f"{name} (quarantine)", partial(look.quarantine_length, name)) for name in look.quarantines()]
    foreign = 0
    lengths.append(("dead_letter", look.dead_letter_count))
    for name, length in lengths:
        try:
            click.echo(f"{name}\t{length()}")
        except ForeignData:
            click.echo(f"minicelery: {name} is no list, but another program's; see minicelery doctor", err=True)
            foreign += 1
    sys.exit(UNREACHABLE if foreign else 0)


@click.command()
@with_app
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@click.option("--tag", help="All unfinished tasks with this tag.")
@click.option("--interrupt", is_flag=True, help="Raise an exception in the tasks that run.")
def cancel(app: MiniCelery, task_ids: tuple[str, ...], tag: str | None, interrupt: bool) -> None:
    """Cancel tasks: what waits never begins, what runs is told. Prints how many.

    Exit code 1 if one of the ids belongs to a task that had finished before, 4 if to none.
    """
    if bool(tag) == bool(task_ids):
        raise InvalidInput("give ids, or --tag")
    if tag:
        click.echo(app.cancel_tagged(tag, interrupt=interrupt))
        return
    states = app.cancel(task_ids, interrupt=interrupt)
    click.echo(states.count(Status.CANCELLED))
    for task_id, state in zip(task_ids, states, strict=True):
        if state is not Status.CANCELLED:
            click.echo(f"minicelery: {task_id} is {state}" if state else f"minicelery: no task '{task_id}'", err=True)
    others = set(states) - {Status.CANCELLED}
    sys.exit(NOT_FOUND if None in others else FAILED if others else 0)


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
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All dead letters of this moment.")
def retry_dead(app: MiniCelery, task_ids: tuple[str, ...], everything: bool) -> None:
    """Put dead letters back into their queues, with all their retries."""
    if everything == bool(task_ids):
        raise InvalidInput("give ids, or --all")
    for task_id in task_ids:
        app.revive(task_id)
    click.echo(app.revive_all() if everything else len(task_ids))


@dead.command("delete")
@with_app
@click.argument("task_ids", nargs=-1, required=True, metavar="ID...")
def delete_dead(app: MiniCelery, task_ids: tuple[str, ...]) -> None:
    """Delete dead letters."""
    for task_id in task_ids:
        app.discard(task_id)
    click.echo(len(task_ids))


@click.command()
@with_app
@click.option("--check", is_flag=True, help="Only look, and change nothing.")
@click.option("--pause", type=click.FloatRange(0), default=1.0, show_default=True, metavar="SECONDS")
def doctor(app: MiniCelery, check: bool, pause: float) -> None:
    """Check that every task is in exactly one place, and put right what is not.

    What is found broken is looked at again after a pause, and repaired if it is broken in the same way. Exit code 1 if
    anything was broken, repaired or not, or if tasks can't be entrusted to the server as it is set.
    """
    settings = server.check(app.clients.commands, replicated=app.config.durability == "replicated")
    for fault in (*settings.refusals, *settings.warnings):
        click.echo(fault, err=True)
    found = repaired = 0
    for finding in app.doctor.violations() if check else app.doctor.repair(pause):
        click.echo(str(finding))
        found += 1
        repaired += isinstance(finding, Repair) and bool(finding.done)
    click.echo(_summary(found, None if check else repaired), err=True)
    sys.exit(FAILED if found or settings.refusals else 0)


def _summary(found: int, repaired: int | None) -> str:
    if not found:
        return "every task is in exactly one place"
    findings = f"{found} finding{'s' if found > 1 else ''}"
    return findings if repaired is None else f"{findings}, {repaired} repaired"
