"""Spans of time as people write them: '90s' or '1h30m'."""

import re
from datetime import timedelta

from .errors import InvalidInput

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smhdw])")
_LONGEST = 100 * 366 * 86_400.0


def seconds_of(span: object) -> float:
    """The seconds of a span: '1h', '1h30m', '90s', '2d', a number of seconds, or a ``timedelta``.

    Raises ``InvalidInput`` for what is none, or goes backwards.
    """
    seconds = float("nan")
    if isinstance(span, timedelta):
        seconds = span.total_seconds()
    elif isinstance(span, (int, float)) and not isinstance(span, bool):
        seconds = float(span)
    elif isinstance(span, str) and span.strip() and not _PART.sub("", span).strip():
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(span))
    if not 0 <= seconds <= _LONGEST:  # NaN is refused, too
        raise InvalidInput(f"{span!r:.100} is no span of time; give '1h30m', '90s', '2d', seconds, or a timedelta")
    return seconds
