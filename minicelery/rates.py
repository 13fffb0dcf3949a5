"""Rate limits as people write them: '100/m' is at most 100 starts a minute, spread evenly."""

import re

from .errors import InvalidInput

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*([smhd])\s*)?")
#: Seconds between two starts, the fewest and the most.
SHORTEST, LONGEST = 0.0001, 31 * 86_400.0


def interval_of(value: object, pointer: str) -> float:
    """The seconds between two starts at a rate: '10/s', '100/m', '5/h', '1/d', or a number a second, as text, too.

    Raises ``InvalidInput`` that names the field for what is no rate.
    """
    number, period = 0.0, 1.0
    if isinstance(value, str) and (found := _RATE.fullmatch(value)):
        number, period = float(found[1]), _PERIODS[found[2] or "s"]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    if not (number > 0 and SHORTEST <= period / number <= LONGEST):
        rule = "give a number and a period, from '1/d' over '100/m' and '10/s' to '10000/s'"
        raise InvalidInput(f"{value!r:.100} is not a rate; {rule}", pointer)
    return period / number


def rate_of(interval: float) -> str:
    """The rate in words of ``interval_of``, in the shortest period in which it is a whole number, if there is one."""
    for period, seconds in _PERIODS.items():
        number = seconds / interval
        if abs(number - round(number)) < 1e-6 * number and round(number) >= 1:
            return f"{round(number)}/{period}"
    return f"{1 / interval:g}/s" if interval <= 1 else f"{_PERIODS['d'] / interval:g}/d"
