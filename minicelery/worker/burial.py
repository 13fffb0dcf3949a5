"""What becomes of the tasks of a child that has ended, and the sum of what all children have done."""

import contextlib
import logging
import signal
from collections import Counter
from dataclasses import dataclass

from ..broker import Broker
from ..trouble import Trouble
from .board import Count
from .order import UNUSABLE
from .running import Running, ooms

_log = logging.getLogger("minicelery.worker")
#: How what a child has claimed ends. The rest is what it leaves behind, or lost.
_ENDS = (Count.SUCCEEDED, Count.RETRIED, Count.FAILED, Count.LEASE_LOST, Count.HANDED_BACK, Count.CANCELLED)


@dataclass(frozen=True)
class Estate:
    """What is to be recovered of a child that has ended."""

    worker: str
    held: int
    begun: tuple[str, ...]
    cause: str
    words: str  #: for the log; '' if there is nothing to tell


class Burial:
    """Makes ready again what ended children had in hand, and keeps the accounts of the worker."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._totals: Counter[Count] = Counter()
        self._estates: list[Estate] = []
        self._lost = 0

    def bury(self, child: Running) -> None:
        """Take down what a child that has ended has done, and what it leaves behind."""
        code = child.process.wait()
        cause = child.killed_for or describe(code, ooms() > child.ooms)
        totals, held, left_behind = child.board.totals(), child.board.held(), child.board.left_behind
        child.close()
        self._totals.update(totals)
        open_ends = totals[Count.TAKEN] - sum(totals[what] for what in _ENDS)
        if left_behind is not None:
            self._lost += max(0, open_ends - left_behind)
        if not child.is_welcome and code not in (0, UNUSABLE):
            _log.error("process %d %s before it was ready", child.process.pid, cause)
        if not child.is_enrolled:
            return
        blamed = child.blamed if child.blamed is not None else [one for one in held if one.begun]
        begun = () if left_behind is not None else tuple(one.id for one in blamed)
        running = ", ".join(f"{one.name} {one.id}" for one in held if one.begun)
        words = f"process {child.process.pid} {cause}" + (f" while it ran {running}" if running else "")
        self._estates.append(
            Estate(child.worker, max(0, open_ends), begun, cause, words if left_behind is None else "")
        )

    def recover(self, broker: Broker, *, stopping: bool) -> None:
        """Make ready again what is left behind. While the worker stops, that counts as handed back.

        What Redis does not take now is tried again with the next call, and left to the end of the lease in the end.
        """
        for estate in [*self._estates]:
            try:
                found = broker.recover(estate.worker, estate.begun, cause=estate.cause)
            except Exception as error:
                if self._trouble.is_news(error):
                    _log.warning(
                        "what process %s had in hand is recovered as soon as Redis does: %s", estate.worker, error
                    )
                return
            if not found.stuck:
                self._estates.remove(estate)
            if estate.words and (found.ready or found.dead or not found.stuck):
                alone = f" ({found.quarantined} in quarantine, to run alone)" if found.quarantined else ""
                facts = {"worker": estate.worker, "task_ids": list(estate.begun)}
                _log.error(
                    "%s; ready again: %d%s, dead letters: %d", estate.words, found.ready, alone, found.dead, extra=facts
                )
            if stopping:
                self._totals[Count.HANDED_BACK] += found.ready

    def account(self) -> str:
        """The last line of a worker."""
        done = self._totals[Count.SUCCEEDED] + self._totals[Count.FAILED]
        held = sum(estate.held for estate in self._estates)
        left = f", {held} left to the end of the lease" if held else ""
        again, handed = self._totals[Count.RETRIED], self._totals[Count.HANDED_BACK]
        cancelled = f", {self._totals[Count.CANCELLED]} cancelled" if self._totals[Count.CANCELLED] else ""
        back = f"{again} to be retried, {handed} handed back{cancelled}"
        return f"Stopped: {done} finished, {back}, {self._lost} lost{left}."


def describe(code: int, was_memory_short: bool = False) -> str:
    """What ended a process, completing "its process …"."""
    if code >= 0:
        return f"has ended with exit code {code}"
    if code == -signal.SIGKILL and was_memory_short:
        return "was ended by SIGKILL, as the machine was out of memory"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
