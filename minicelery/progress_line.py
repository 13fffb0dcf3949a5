"""How a command shows that it is at work: a line on a terminal, and a sentence where it ends early."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .errors import MiniCeleryError
from .terminal import STOPPED

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Line:
    """How far an operation is. On a terminal it is shown; Ctrl-C ends the operation behind the call that is on its way,
    so that what it says it has done is what is done."""

    def __init__(self, bar: "Bar") -> None:
        self._bar = bar
        self._row = bar.add_task("", total=None)
        self.done = self.total = 0
        self.stopping = False

    def show(self, done: int, total: int) -> None:
        """Raises ``KeyboardInterrupt`` once it was asked to stop."""
        self.done, self.total = done, total
        self._bar.update(self._row, completed=done, total=total)
        if self.stopping and done < total:
            raise KeyboardInterrupt

    def stop(self, *_: object) -> None:
        """A second time it stops at once."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True


@contextmanager
def shown(words: str) -> Iterator[Line]:
    """A line on standard error that follows an operation, on a terminal only. If the operation ends early, it says how
    much is done: Ctrl-C is exit code 130."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    line = Line(bar)
    with _on_interrupt(line.stop):
        try:
            with bar:
                yield line
        except KeyboardInterrupt:
            click.echo(f"minicelery: stopped: {_so_far(words, line)}", err=True)
            sys.exit(STOPPED)
        except MiniCeleryError:
            if line.total:
                click.echo(f"minicelery: it broke off: {_so_far(words, line)}", err=True)
            raise


def _so_far(words: str, line: Line) -> str:
    return f"{words} {line.done:,} of {line.total:,}; what is done stays done"


@contextmanager
def _on_interrupt(handler: Callable[..., None]) -> Iterator[None]:
    try:
        before = signal.signal(signal.SIGINT, handler)
    except ValueError:  # no main thread, no signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
