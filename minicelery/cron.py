"""When something is due again and again: cron expressions in any time zone, and steady intervals."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from .errors import InvalidInput, nearest

LONGEST_CRON = 200
SHORTEST_EVERY, LONGEST_EVERY = 1, 366 * 86400
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FORM = "write minute, hour, day of the month, month and day of the week, such as '30 2 * * mon-fri', or @daily"
_DAY = 86400
_UNITS = (("day", _DAY), ("hour", 3600), ("minute", 60))


@dataclass(frozen=True)
class Rule:
    """A cron expression with its time zone, or a number of seconds. Made by ``check_rule``. Moments are epoch seconds.

    An interval counts from the epoch and not from when it was declared: ``every=3600`` is due at each full hour of UTC,
    whoever asks. At DST changes cron does as Debian's does: what has an hour and a minute of its own is due once a day,
    right after the gap where that time does not exist, and the first time where it comes twice. What has a ``*`` for
    one of them, or seconds, goes by the time that really passes.
    """

    cron: str = ""
    timezone: str = "UTC"
    every: int = 0

    def after(self, moment: float) -> int | None:
        """The first moment after this one, a whole second; None if there is none within 50 years."""
        start = int(moment // 1)
        if self.every:
            return (start // self.every + 1) * self.every
        found = self._next(start)
        return found if found is None else self._first_near_half_an_hour(start, found)

    def between(self, after: float, until: float) -> Iterator[int]:
        """All moments after the first of these and not after the second."""
        moment = self.after(after)
        while moment is not None and moment <= until:
            yield moment
            moment = self.after(moment)

    def local(self, moment: float) -> datetime:
        """The moment in the rule's time zone."""
        return datetime.fromtimestamp(moment, _zone(self.timezone))

    def words(self) -> str:
        """The rule as a sentence without its full stop."""
        if self.every:
            return _interval_in_words(self.every)
        try:
            words = str(CronSim(self.cron, datetime.now(UTC)).explain())
        except ValueError:  # of what it reads and can't explain
            words = f"By the expression {self.cron}"
        return f"{words}, {self.timezone}"

    def _next(self, start: int) -> int | None:
        """What cronsim says; where a time comes twice, it may begin with one that has been."""
        for moment in CronSim(self.cron, self.local(start)):
            if (seconds := int(moment.timestamp())) > start:
                return seconds
        return None

    def _first_near_half_an_hour(self, start: int, found: int) -> int:
        """Cronsim goes from one hour to the next by 3,600 seconds, and so past what is due where clocks change by half
        an hour, as on Lord Howe Island. Asked anew from each half hour of such a day it finds it."""
        for begin, end in ((start, min(start + _DAY, found)), (max(start, found - _DAY), found)):
            if (self._offset(begin) - self._offset(end)) % 3600:
                for moment in range(begin - begin % 1800, end, 1800):
                    earlier = self._next(max(start, moment - 1))
                    if earlier is not None and earlier < found:
                        return earlier
        return found

    def _offset(self, moment: int) -> int:
        """Seconds that the clocks of the zone are ahead of UTC."""
        offset = self.local(moment).utcoffset()
        return int(offset.total_seconds()) if offset else 0


def check_rule(cron: object = None, timezone: object = None, every: object = None) -> Rule:
    """Raises ``InvalidInput`` that names the field. ``every`` is seconds, or a ``timedelta``; None: not given."""
    if (cron is None) == (every is None):
        told = "give cron or every" + ("" if cron is None else ", not both")
        raise InvalidInput(told, "/cron" if cron is None else "/every")
    if cron is None:
        if timezone is not None:
            raise InvalidInput("every counts seconds, which are the same in all zones; leave it out", "/timezone")
        return Rule(every=_check_every(every))
    rule = Rule(cron=_check_cron(cron), timezone=_check_timezone("UTC" if timezone is None else timezone))
    if rule.after(0) is None:
        raise InvalidInput("this is never due: no such day comes within 50 years", "/cron")
    return rule


def _check_cron(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_CRON:
        raise InvalidInput(f"{value!r:.100} is not a cron expression; {_FORM}", "/cron")
    text = " ".join(value.split())
    expression = _NICKNAMES.get(text.lower(), text)
    try:
        CronSim(expression, datetime.now(UTC))
    except (CronSimError, ValueError, AssertionError) as error:
        fault = str(error)[:1].lower() + str(error)[1:]
        raise InvalidInput(f"{value!r:.100} can't be read: {fault or 'wrong form'}; {_FORM}", "/cron") from error
    return expression


def _check_timezone(value: object) -> str:
    try:
        if isinstance(value, str) and value.isascii():
            return _zone(value).key
    except (KeyError, ValueError, OSError):  # whatever zoneinfo raises for a folder, or for what leads out of its own
        pass
    near = nearest(str(value)[:100], available_timezones())
    hint = f"; did you mean '{near}'?" if near else "; use a name such as 'Europe/Vienna'"
    raise InvalidInput(f"{value!r:.100} is not a time zone{hint}", "/timezone")


def _check_every(value: object) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    number = seconds if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else 0
    if SHORTEST_EVERY <= number <= LONGEST_EVERY and number % 1 == 0:
        return int(number)
    told = f"use whole seconds, {SHORTEST_EVERY} to {LONGEST_EVERY}"
    raise InvalidInput(f"{value!r:.100} is not an interval; {told}", "/every")


def _interval_in_words(seconds: int) -> str:
    for unit, length in _UNITS:
        if seconds % length == 0:
            return f"Every {unit}" if seconds == length else f"Every {seconds // length} {unit}s"
    return "Every second" if seconds == 1 else f"Every {seconds} seconds"


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
