"""How long a run may take: checked, and of a single call in place of the task's."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import InvalidInput
from .outcome import MAX_DELAY

SHORTEST_LIMIT = 0.1
#: What these options are called, of a task and of a call.
TIME_LIMITS = ("time_limit", "soft_time_limit")


class TimeLimits(NamedTuple):
    """After how many seconds a run is given up on, and after how many it is told to end; None: never."""

    hard: float | None = None
    soft: float | None = None

    def replaced(self, options: Mapping[str, Any]) -> "TimeLimits":
        """With those that are given in place of these. Raises ``InvalidInput`` where they do not go together."""
        hard, soft = _limit(options, "time_limit"), _limit(options, "soft_time_limit")
        if hard is soft is None:
            return self
        chosen = TimeLimits(self.hard if hard is None else hard, self.soft if soft is None else soft)
        if chosen.hard is not None and chosen.soft is not None and chosen.soft >= chosen.hard:
            pointer = "/time_limit" if soft is None else "/soft_time_limit"
            raise InvalidInput(
                f"the soft time limit of {chosen.soft:g} s is not less than the time limit of {chosen.hard:g} s; "
                "give a lower soft_time_limit",
                pointer,
            )
        return chosen


NO_TIME_LIMITS = TimeLimits()


def _limit(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not SHORTEST_LIMIT <= value <= MAX_DELAY:
        raise InvalidInput(f"{value!r:.100} is out of range; use a number of at least {SHORTEST_LIMIT}", f"/{name}")
    return value
