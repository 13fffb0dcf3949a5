"""What may be said of a queue: how many of its tasks run at once, and how they age."""

from dataclasses import dataclass

from .errors import InvalidInput
from .options import check_concurrency

#: Seconds, the fewest and the most.
SHORTEST_AGEING, LONGEST_AGEING = 0.1, 31 * 86_400.0


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What holds for a queue; None for what does not."""

    concurrency: int | None = None  #: tasks of it that run at the same time, in all workers together
    ageing: float | None = None  #: seconds of waiting that make up for the whole way from priority 0 to 9


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
