"""What becomes of the tasks of a child that has ended, and the sum of what all children have done."""

import contextlib
import logging
import signal
from collections import Counter

from ..broker import Broker
from .board import Count
from .order import UNUSABLE
from .running import Running, ooms

_log = logging.getLogger("minicelery.worker")
#: How what a thread has taken ends. The rest is in its hand, or lost.
_ENDS = (Count.SUCCEEDED, Count.RETRIED, Count.FAILED, Count.LEASE_LOST, Count.HANDED_BACK)


class Burial:
    """Makes ready again what ended children had in hand, and keeps the accounts of the worker."""

    def __init__(self) -> None:
        self._totals: Counter[Count] = Counter()
        self._left = 0
        self._lost = 0

    def bury(self, child: Running, broker: Broker | None, *, stopping: bool) -> None:
        """Recover the tasks of a child that has ended. While the worker stops, they count as handed back."""
        code = child.process.wait()
        cause = describe(code, ooms() > child.ooms) if not child.killed_for else child.killed_for
        totals, held = child.board.totals(), child.board.held()
        child.close()
        self._totals.update(totals)
        self._lost += max(0, totals[Count.TAKEN] - sum(totals[what] for what in _ENDS) - len(held))
        if broker is None or not child.is_welcome:
            if code not in (0, UNUSABLE):
                _log.error("the child %s before it was ready", cause)
            return
        begun = [] if code == 0 or child.is_innocent else [one.id for one in held if one.begun]
        try:
            found = broker.recover(child.worker, begun, cause=cause)
        except Exception as error:
            self._left += len(held)
            _log.error("the child %s; %d tasks are left to the end of the lease: %s", cause, len(held), error)
            return
        if code != 0:
            words = f"{found.ready} tasks are ready again" + (
                f", {found.quarantined} of them in quarantine, to run alone" if found.quarantined else ""
            )
            _log.error("the child %s; %s", cause, words + (f"; {found.dead} dead letters" if found.dead else ""))
        if stopping:
            self._totals[Count.HANDED_BACK] += found.ready

    def account(self) -> str:
        """The last line of a worker."""
        done = self._totals[Count.SUCCEEDED] + self._totals[Count.FAILED]
        left = f", {self._left} left to the end of the lease" if self._left else ""
        again, handed = self._totals[Count.RETRIED], self._totals[Count.HANDED_BACK]
        return f"Stopped: {done} finished, {again} to be retried, {handed} handed back, {self._lost} lost{left}."


def describe(code: int, was_memory_short: bool = False) -> str:
    """What ended a process, completing "the child …"."""
    if code >= 0:
        return f"has ended with exit code {code}"
    if code == -signal.SIGKILL and was_memory_short:
        return "was ended by SIGKILL, as the machine was out of memory"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
