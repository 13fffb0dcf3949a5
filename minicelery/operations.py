"""The commands of an operator: lengths of queues, cancelling, the doctor."""

import sys
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

import click

from . import server
from .app import MiniCelery
from .doctor import Repair
from .errors import ForeignData, InvalidInput
from .progress_line import shown
from .states import Status
from .terminal import FAILED, UNREACHABLE, Span, ids_of, ids_option, tell_others, with_app


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
@ids_option
@click.option("--tag", help="All unfinished tasks with this tag.")
@click.option("--interrupt", is_flag=True, help="Raise an exception in the tasks that run.")
def cancel(
    app: MiniCelery, task_ids: tuple[str, ...], lines: BinaryIO | None, tag: str | None, interrupt: bool
) -> None:
    """Cancel tasks: what waits never begins, what runs is told. Prints how many.

    Exit code 1 if one of the ids belongs to a task that had finished before, 4 if to none.
    """
    if tag and (task_ids or lines):
        raise InvalidInput("ids and --tag do not go together; give one of them")
    if not (tag or task_ids or lines):
        raise InvalidInput("give ids, or --tag")
    if tag:
        with shown("cancelling") as line:
            cancelled = app.cancel_tagged(tag, interrupt=interrupt, progress=line.show)
        click.echo(cancelled)
        return
    ids = ids_of(task_ids, lines)
    with shown("cancelling") as line:
        states = app.cancel(ids, interrupt=interrupt, progress=line.show)
    click.echo(states.count(Status.CANCELLED))
    tell_others(pair for pair in zip(ids, states, strict=True) if pair[1] is not Status.CANCELLED)


@click.command()
@with_app
@click.option("--check", is_flag=True, help="Only look, and change nothing.")
@click.option("--pause", type=Span(0), default=1.0, show_default=True, metavar="SPAN")
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
