"""What every worker does for schedules: tells what its code declares, fires what is due, notes how runs have ended."""

import logging
from collections.abc import Sequence

from .agenda import Agenda
from .errors import RedisFull
from .schedule import Missed, Schedule, rule_of
from .slots import plan
from .timetable import DUE_BATCH, Due, Firing, Timetable
from .trouble import Trouble
from .world import World

_log = logging.getLogger("minicelery.schedules")
#: Seconds until what could not be fired is tried again.
_PAUSE = 1.0
_FULL = "%s; schedules wait for it"
_DAMAGED = "the schedule %s is damaged by another program, and is not fired: delete it, or add it anew"
_STUCK = "the schedule %s can't be fired: another program has put something else under %s; see minicelery doctor"


class Clockwork:
    """Called by the upkeep of each worker's parent; who comes first fires, and all others find it done."""

    def __init__(self, timetable: Timetable, agenda: Agenda, world: World) -> None:
        self._timetable = timetable
        self._agenda = agenda
        self._trouble = Trouble(_log, world)
        #: What the code of this worker declares, as its newest child has said.
        self.declared: Sequence[Schedule] = ()
        self._stuck = 0  #: how many that are due can't be fired, of those that were looked at in this round

    def declare(self) -> None:
        """Write those schedules of our code that are not there, or that have replaced what is there."""
        declared = self.declared
        if not declared:
            return
        answers = self._timetable.declare((one.name, one.version, None, None) for one in declared)
        for one, answer in zip(declared, answers, strict=True):
            if answer == "runtime":
                self._tell("the schedule %s of the code is not used: one of this name was made at run time", one.name)
        wanted = [one for one, answer in zip(declared, answers, strict=True) if answer == "wanted"]
        if not wanted:
            return
        now = self._agenda.now()
        try:
            words = self._timetable.declare((one.name, one.version, one.rule.after(now), one) for one in wanted)
        except RedisFull as error:
            self._tell(_FULL, error)
            return
        for one, word in zip(wanted, words, strict=True):
            if word == "written":
                _log.info("schedule %s: %s", one.name, one.rule.words())

    def fire(self) -> float | None:
        """Fire what is due, a batch of it. The seconds until there is more to do; None: nothing is to be.

        What can't be fired stays due, and is passed over until all others have had their turn.
        """
        now, wait, found = self._timetable.due(self._stuck)
        if not found and not self._stuck:
            return wait
        firings = [firing for firing in (self._plan(one, now) for one in found) if firing]
        try:
            fired = self._timetable.fire(firings)
        except RedisFull as error:
            self._tell(_FULL, error)
            return _PAUSE
        for firing, one in zip(firings, fired, strict=True):
            if one.word == "undeclared":
                _log.info("schedule %s is declared by no worker any more, and is not fired", firing.name)
            elif one.word == "stuck":
                self._tell(_STUCK, firing.name, one.detail)
        moved = sum(one.word != "stuck" for one in fired)
        self._stuck += len(found) - moved
        if moved or len(found) == DUE_BATCH:
            return 0.0
        self._stuck = 0
        return min(_PAUSE, _PAUSE if wait is None else wait)

    def note_ends(self) -> None:
        """Note how last runs have ended, for as long as their tasks are kept."""
        self._timetable.note_ends()

    def _plan(self, due: Due, now: float) -> Firing | None:
        version, cron, timezone, every, missed, most = due.fields
        if not version:
            return Firing(due.name, "", due.slot, (), None)  # there is none, and the script takes its name away
        try:
            rule = rule_of(cron, timezone, every)
            planned = plan(rule, Missed(missed), int(most), int(float(due.slot)), now)
        except Exception:
            self._tell(_DAMAGED, due.name)
            return None
        return Firing(due.name, version, due.slot, planned.slots, planned.next)

    def _tell(self, words: str, *details: object) -> None:
        told = words % details
        if self._trouble.is_news(ValueError(told)):
            _log.warning("%s", told)
