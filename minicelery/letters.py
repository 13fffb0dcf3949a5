"""Which dead letters are meant, and how far a walk through their list has come."""

from dataclasses import dataclass
from math import isfinite

from . import codec
from .errors import InvalidInput
from .names import check_name, check_queue

#: Characters of the longest name of an exception's class.
MOST_CHARACTERS = 200
#: Seconds that an age may have, a hundred years.
LONGEST_AGE = 3_155_760_000.0
#: More ids than any list of Redis has.
_UNBOUNDED = 2**40


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters that are alike; without a field, all of them. Raises an ``InvalidInput`` that names the field.

    ``name`` is the name of their task, ``queue`` where they came from, ``error`` the class of their last error, with
    its module or without: 'smtplib.SMTPServerDisconnected' or 'SMTPServerDisconnected'. ``older_than`` and
    ``newer_than`` are seconds since they failed.
    """

    name: str | None = None
    queue: str | None = None
    error: str | None = None
    older_than: float | None = None
    newer_than: float | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name, "/name")
        if self.queue is not None:
            check_queue(self.queue)
        error = self.error
        if error is not None and not (isinstance(error, str) and 0 < len(error) <= MOST_CHARACTERS):
            raise InvalidInput(f"give the name of an exception's class, up to {MOST_CHARACTERS} characters", "/error")
        for age, pointer in ((self.older_than, "/older_than"), (self.newer_than, "/newer_than")):
            if age is not None and not _is_age(age):
                raise InvalidInput(f"{age!r:.100} is not an age; give seconds, 0 to {LONGEST_AGE:.0f}", pointer)
        if None not in (self.older_than, self.newer_than) and self.older_than > self.newer_than:  # type: ignore[operator]
            raise InvalidInput("nothing is older than one and newer than the other; give a longer time", "/newer_than")

    @property
    def is_all(self) -> bool:
        return self == Selection()


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through the dead letters, oldest first: what it is about, and where it stands.

    ``left`` ids are still to be looked at, ``behind`` stay where they are, and ``newest`` is the newest of these. It is
    about those that failed not before ``since`` and not after ``till``, epoch seconds by Redis's clock: when the walk
    began, or so long before as they are to be old.
    """

    selection: Selection
    left: int
    behind: int = 0
    newest: str = ""
    since: float | None = None
    till: float | None = None

    def asked_for(self) -> tuple[str, ...]:
        """What the letters must be like, as the scripts take it."""
        wanted = self.selection
        error = codec.write(wanted.error)[1:-1] if wanted.error else ""
        till = _time(self.till)
        ends = ("", till) if wanted.older_than is None else (till, "")
        return (wanted.name or "", wanted.queue or "", error, _time(self.since), *ends)

    @property
    def cursor(self) -> str:
        """The place in words from which ``walk_from`` goes on, for the same selection."""
        newest = self.newest.encode("utf-8", "surrogateescape").hex()
        return f"{self.left}~{self.behind}~{_time(self.since)}~{_time(self.till)}~{newest}"


@dataclass(frozen=True, slots=True)
class Step:
    """What one call of a script has done: to how many letters, how many ids it has looked at; and the walk from there,
    which is over when nothing is left. ``ids`` are those that it was done to, where ids were asked for."""

    done: int
    looked: int
    walk: Walk
    ids: tuple[str, ...] = ()


def walk_from(cursor: str, selection: Selection) -> Walk:
    """The walk that a cursor tells of. Raises ``InvalidInput``."""
    try:
        left, behind, since, till, newest = cursor.split("~")
        last = bytes.fromhex(newest).decode("utf-8", "surrogateescape")
        walk = Walk(selection, int(left), int(behind), last, _number(since), _number(till))
    except ValueError:
        walk = None
    if walk is None or not (0 <= walk.left < _UNBOUNDED and 0 <= walk.behind < _UNBOUNDED) or walk.cursor != cursor:
        raise InvalidInput("this is no cursor; give that of the last answer, or none to begin", "/cursor")
    return walk


def _is_age(age: object) -> bool:
    is_number = isinstance(age, (int, float)) and not isinstance(age, bool)
    return is_number and isfinite(age) and 0 <= age <= LONGEST_AGE  # type: ignore[arg-type,operator]


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def _number(text: str) -> float | None:
    if not text:
        return None
    if not isfinite(number := float(text)):
        raise ValueError(text)
    return number
