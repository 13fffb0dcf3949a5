"""The rules of how a run of a task ends: a result, another try later, or failure for good."""

import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from . import codec
from .errors import InvalidInput, TimeLimitExceeded
from .states import Status

MAX_RETRIES = 1000
MAX_DELAY = 366 * 86_400.0
#: Crashes of its process after which a task runs alone, in quarantine; those of its process alone, and those in all,
#: losses of whole workers included, after which it is a dead letter.
MOST_CRASHES, MOST_SOLO_CRASHES, MOST_CRASHES_IN_ALL = 2, 3, 10
_MOST_TRACEBACK = 16_384
_MOST_MESSAGE = 4_096
_ENGINE = {Path(__file__).with_name(name) for name in ("executor.py", "interrupt.py", "task.py", "codec.py")}


def check_countdown(value: object) -> float:
    """Seconds to wait, of any type of number; raises ``InvalidInput`` for what is none, or too many."""
    try:
        seconds = float(value)  # type: ignore[arg-type]  # whatever has __float__
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if isinstance(value, (str, bytes, bool)) or not 0 <= seconds <= MAX_DELAY:  # NaN is refused, too
        raise InvalidInput(f"{value!r:.100} is not a delay; use 0 to {MAX_DELAY:.0f} seconds", "/countdown")
    return seconds


class Retry(Exception):
    """Raised by ``self.retry()`` inside a task: run it again after ``countdown`` seconds, or by the policy if None."""

    def __init__(self, countdown: float | None = None, reason: str = "the task asked for a retry") -> None:
        super().__init__(reason)
        self.countdown = None if countdown is None else check_countdown(countdown)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a failed run is tried again, and after how long.

    Exponential back-off with full jitter: before retry n (from 0) a random time between 0 and
    ``min(cap, base * factor ** n)`` seconds; without ``jitter`` exactly that time. After Marc Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. A ``base`` of 0 retries at once.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 600.0
    jitter: bool = True
    retry_for: tuple[type[BaseException], ...] = (Exception,)
    no_retry_for: tuple[type[BaseException], ...] = ()

    def delay(self, retry_count: int, random: float) -> float:
        """Seconds before the retry that follows ``retry_count`` earlier ones; ``random`` lies in [0, 1)."""
        try:
            longest = min(self.cap, self.base * self.factor**retry_count)
        except OverflowError:
            longest = self.cap
        return longest * random if self.jitter else longest

    def covers(self, error: BaseException) -> bool:
        return isinstance(error, self.retry_for) and not isinstance(error, self.no_retry_for)


class Outcome(NamedTuple):
    """How a run ended: ``body`` is the JSON of the result or of the error, ``delay`` the seconds before a retry."""

    status: Status
    body: str
    delay: float = 0.0


def succeed(result_json: str) -> Outcome:
    return Outcome(Status.SUCCESS, result_json)


def judge(error: BaseException, retry_count: int, max_retries: int, policy: RetryPolicy, random: float) -> Outcome:
    """What follows from an exception of user code. ``retry_count`` retries have been made before this run."""
    body = codec.encode(describe_error(error))
    asked = isinstance(error, Retry)
    if retry_count >= max_retries or not (asked or policy.covers(error)):
        return Outcome(Status.FAILED, body)
    countdown = error.countdown if isinstance(error, Retry) else None
    delay = policy.delay(retry_count, random) if countdown is None else check_countdown(countdown)
    return Outcome(Status.RETRYING, body, delay)


def overrun(seconds: float, stack: str = "") -> TimeLimitExceeded:
    """The error of a run that took longer than ``seconds``; ``stack`` shows where it was then."""
    error = TimeLimitExceeded(f"the run took longer than its time limit of {seconds:g} s")
    if stack:
        error.add_note(f"It was here:\n{stack}")
    return error


def describe_error(error: BaseException) -> dict[str, str]:
    """Type, message and traceback of an exception, cleaned and cut so that every store can keep them.

    Of ``self.retry()`` inside an ``except`` block, the exception that led to it is described.
    """
    cause = error.__cause__ or error.__context__
    if isinstance(error, Retry) and cause is not None:
        error = cause
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {
        "type": _clean(name, 200),
        "message": _clean(_message(error), _MOST_MESSAGE),
        "traceback": _clean(_traceback(error), _MOST_TRACEBACK),
    }


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:  # user code, which may raise anything
        return f"<no message: its __str__ raised {type(broken).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, _first_foreign(error.__traceback__)))
    except BaseException as broken:
        return f"<no traceback: formatting it raised {type(broken).__name__}>"


def _first_foreign(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not the engine's: readers look for their own code."""
    while trace and Path(trace.tb_frame.f_code.co_filename) in _ENGINE:
        trace = trace.tb_next
    return trace


def _clean(text: str, most: int) -> str:
    """Without NUL and lone surrogates; of a text that is too long, the beginning and the end."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
