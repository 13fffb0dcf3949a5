"""What may be said of a queue, in the code or at run time: how many of its tasks run at once, and how they age."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypedDict

from .errors import InvalidInput
from .names import check_queue
from .options import check_concurrency, refuse_unknown

#: Seconds, the fewest and the most.
SHORTEST_AGEING, LONGEST_AGEING = 0.1, 31 * 86_400.0
_TEXT = re.compile(r"(\d{0,6}):(\d{0,8}(?:\.\d{1,3})?)(?: .*)?")


class QueueOptions(TypedDict, total=False):
    """What ``app.queue(...)`` takes."""

    concurrency: int | None  #: tasks of it that run at the same time, in all workers together
    ageing: float | None  #: seconds of waiting that make up for the whole way from priority 0 to 9


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What holds for a queue; None for what does not."""

    concurrency: int | None = None
    ageing: float | None = None

    @property
    def text(self) -> str:
        """As ``beat.lua`` takes it: '3:60.000', or with one of the two left out."""
        ageing = "" if self.ageing is None else ageing_text(self.ageing)
        return f"{'' if self.concurrency is None else self.concurrency}:{ageing}"

    @classmethod
    def read(cls, text: str) -> Self:
        """From a text, with or without what it has replaced behind it. ``ValueError`` if no script of ours wrote it."""
        found = _TEXT.fullmatch(text)
        if not found:
            raise ValueError(text)
        concurrency, ageing = found.groups()
        return cls(int(concurrency) if concurrency else None, float(ageing) if ageing else None)


def facts_of(texts: Mapping[str, str]) -> list[str]:
    """What a worker's info has of them under ``settings``, by which Redis knows that a live worker says so."""
    return [f"queue/{name} {text}" for name, text in texts.items()]


class QueueDeclarations:
    """What the code of an application says of queues, by their names."""

    def __init__(self) -> None:
        self._settings: dict[str, QueueSettings] = {}

    def add(self, name: str, options: QueueOptions) -> str:
        """The name itself. Raises ``InvalidInput`` that names the field; a queue is declared once."""
        refuse_unknown(options, QueueOptions)
        if check_queue(name) in self._settings:
            raise InvalidInput(f"the queue '{name}' is declared already; say all of it in one place", "/queue")
        self._settings[name] = checked(options.get("concurrency"), options.get("ageing"))
        return name

    def texts(self) -> Mapping[str, str]:
        """What each is told Redis as."""
        return {name: settings.text for name, settings in self._settings.items()}


def checked(concurrency: object, ageing: object) -> QueueSettings:
    """Settings of which None is left out. Raises ``InvalidInput`` that names the field, also where nothing is left."""
    if concurrency is None and ageing is None:
        raise InvalidInput("nothing to set; give a concurrency or an ageing", "/concurrency")
    return QueueSettings(
        None if concurrency is None else check_concurrency(concurrency),
        None if ageing is None else check_ageing(ageing),
    )


def check_ageing(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and SHORTEST_AGEING <= value <= LONGEST_AGEING:
        return float(value)
    rule = f"use seconds from {SHORTEST_AGEING} to {LONGEST_AGEING:,.0f}"
    raise InvalidInput(f"{value!r:.100} is no time for ageing; {rule}", "/ageing")


def ageing_text(seconds: float) -> str:
    """As the scripts take it, in whole milliseconds."""
    return f"{seconds:.3f}"
