"""Requests do not queue up behind a Redis that is away: while one of them tries, the others are refused at once."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, g, request

from ..errors import ForeignData, MiniCeleryError, NotReplicated, RedisFull, RedisUnavailable
from . import problems
from .lasting import Lasting
from .requests import celery

_PAUSE = 1.0  #: seconds after a failure during which nobody tries
#: Endpoints that do not need Redis, or, as the WebSocket's, know by themselves when it is away.
_NEEDLESS = ("alive", "document", "page", "file", "watch", "static", "watch_task", "plain")
_UNASKED = (400, 413, 415, 422, 500)  #: answers that came about without Redis

_ANSWERS = (ForeignData, RedisFull, NotReplicated)  #: of a Redis that is there


class Outage:
    """Knows whether Redis was away a moment ago, and lets one try at a time find out whether it is back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._again_at: float | None = None  # None: all is well

    def may_try(self) -> bool:
        """Whether a request may ask Redis now."""
        with self._lock:
            if self._again_at is None:
                return True
            if self._monotonic() < self._again_at:
                return False
            self._again_at = float("inf")  # this one tries; the others wait for what it finds
            return True

    def begin(self) -> None:
        """A request has found Redis away."""
        with self._lock:
            self._again_at = self._monotonic() + _PAUSE

    def end(self) -> None:
        """A request has been answered by Redis."""
        with self._lock:
            self._again_at = None

    def pass_on(self) -> None:
        """A request has found out nothing: if it was the one that tried, another may."""
        with self._lock:
            if self._again_at == float("inf"):
                self._again_at = self._monotonic()


@dataclass(slots=True)
class _Attempt:
    """What a request has found out about Redis."""

    outage: Outage
    is_answered: bool = False  #: stays so where an exception goes up to the web server
    is_away: bool = False


def register(blueprint: Blueprint) -> None:
    """Watch over the routes of a blueprint."""
    outages = Lasting(lambda app: Outage(app.world.monotonic))

    def admit() -> Response | None:
        if (request.endpoint or "").rpartition(".")[2] in _NEEDLESS:
            return None
        found = outages.of(celery())
        if not found.may_try():
            return problems.of_error(RedisUnavailable("Redis was away a moment ago"))
        g.minicelery_attempt = _Attempt(found)
        return None

    def note(response: Response) -> Response:
        attempt = g.get("minicelery_attempt")
        if attempt:
            attempt.is_answered = response.status_code not in _UNASKED
        return response

    def find_out(error: BaseException | None) -> None:
        attempt = g.pop("minicelery_attempt", None)
        if attempt and not attempt.is_away:
            attempt.outage.end() if attempt.is_answered else attempt.outage.pass_on()

    def answer(error: MiniCeleryError) -> Response:
        is_away = isinstance(error, RedisUnavailable) and not isinstance(error, _ANSWERS)
        if is_away and (attempt := g.get("minicelery_attempt")):
            attempt.is_away = True
            attempt.outage.begin()
        return problems.of_error(error)

    blueprint.before_request(admit)
    blueprint.after_request(note)
    blueprint.teardown_request(find_out)
    blueprint.register_error_handler(MiniCeleryError, answer)
