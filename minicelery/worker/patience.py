"""How a thread calls Redis while it may be away: again and again, or once and not without a pause."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .. import logs
from ..errors import RedisUnavailable
from ..trouble import Trouble

T = TypeVar("T")
_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
_PAUSE_AFTER_A_FAULT = 1.0


class Patience:
    """The outages that all threads of a child live through."""

    def __init__(self, trouble: Trouble, stopping: threading.Event) -> None:
        self._trouble = trouble
        self._stopping = stopping

    def insist(self, call: Callable[[], T]) -> T:
        """Call until it is answered, however long Redis is away. Scripts may be repeated; what Redis says can never
        work is not."""
        while True:
            try:
                answer = call()
            except RedisUnavailable as error:
                time.sleep(self._trouble.pause_after(error))
            else:
                self._trouble.over()
                return answer

    def attempt(self, call: Callable[[], T]) -> T | None:
        """Call once. None, after a pause, if there was no answer, or one that makes no sense."""
        try:
            answer = call()
        except RedisUnavailable as error:
            self.pause(self._trouble.pause_after(error))
        except Exception as error:
            if self._trouble.is_news(error):
                _log.exception("met an error that is no outage; trying again, and 'minicelery doctor' may know more")
            self.pause(_PAUSE_AFTER_A_FAULT)
        else:
            self._trouble.over()
            return answer
        return None

    def pause(self, seconds: float) -> None:
        """Not for long when the child is about to stop, but never without an end."""
        if self._stopping.is_set():
            time.sleep(seconds)
        else:
            self._stopping.wait(seconds)
