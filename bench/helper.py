"""Processes that help to measure: each does what it is asked through a pipe."""

import multiprocessing
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from .trial import Failed

PATIENCE = 60.0


def answer(pipe: Connection, deed: Callable[[], Any]) -> None:
    """Send what the deed gives, or why it could not be done."""
    try:
        pipe.send(deed())
    except (OSError, Failed) as error:
        pipe.send(Failed(str(error)))


def obey(pipe: Connection, who: object) -> None:
    """Answer for ever: each question names a method and has its argument."""
    while True:
        deed, argument = pipe.recv()
        answer(pipe, partial(getattr(who, deed), argument))


class Helper:
    """A process with a target that takes a pipe first."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, *args), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()

    def ask(self, question: Any) -> Any:
        """Its answer. What it could not do is raised here."""
        self._pipe.send(question)
        if not self._pipe.poll(4 * PATIENCE):
            raise Failed("a helping process does not answer")
        found = self._pipe.recv()
        if isinstance(found, Failed):
            raise found
        return found
