"""Schedules at run time: added, changed, paused, run and looked at through the application."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, Unpack

from .agenda import Agenda
from .cron import Rule, check_rule
from .errors import ForeignData, InvalidInput, ScheduleExists, ScheduleFromCode, ScheduleNotFound, ScheduleStuck
from .message import Message
from .options import refuse_unknown
from .periodic import ScheduleOptions, refuse_debounced, refuse_single, schedule_of
from .result import AsyncResult
from .schedule import Origin, Schedule, ScheduleRecord, check_missed, check_most, check_schedule_name, made_of
from .task import Signature
from .timetable import Change, Timetable
from .world import World

MOST_PREVIEWED = 100
_TRIES = 5

#: What is to be sent: a call, or a submission as of ``POST /tasks``, such as ``{"name": "add", "args": [2, 3]}``.
Call = Signature[Any] | Mapping[str, Any]


class Application(Protocol):
    """What schedules need of an application."""

    def message(self, name: str, args: Any = (), kwargs: Any = None, **options: Any) -> Message: ...

    def result(self, task_id: str) -> AsyncResult[Any]: ...


@dataclass(frozen=True)
class Preview:
    """A rule in words, and its next due times in its own zone, RFC 3339."""

    words: str
    next: Sequence[str]


class Schedules:
    """``app.schedules``. Raises ``InvalidInput`` that names the field; all but ``preview`` need Redis."""

    def __init__(self, timetable: Timetable, agenda: Agenda, application: Application, world: World) -> None:
        self._timetable = timetable
        self._agenda = agenda
        self._application = application
        self._world = world

    def list(self) -> Sequence[ScheduleRecord]:
        """All schedules, by their names."""
        return self._agenda.schedules()

    def get(self, name: str) -> ScheduleRecord:
        """The schedule, or ``ScheduleNotFound``."""
        return self._agenda.schedule(name)

    def add(self, name: str, call: Call, **options: Unpack[ScheduleOptions]) -> ScheduleRecord:
        """Add a schedule. Raises ``ScheduleExists``.

        ``app.schedules.add("nightly", report.s("all"), cron="0 2 * * *", timezone="Europe/Vienna")``
        """
        refuse_unknown(options, ScheduleOptions)
        check_schedule_name(name)
        schedule = schedule_of(name, self._message(call), options)
        schedule = replace(schedule, version=self._world.nonce())
        change = self._timetable.schedule(schedule, "", self._next(schedule.rule) or "none")
        if change is Change.THERE:
            raise ScheduleExists(f"a schedule '{name}' is there already; change it, or choose another name", "/name")
        return self.get(name)

    def change(self, name: str, call: Call | None = None, **options: Unpack[ScheduleOptions]) -> ScheduleRecord:
        """Change what is given and leave the rest as it is. Raises ``ScheduleNotFound`` or ``ScheduleFromCode``.

        A new rule is due from now on; with the old one, what was due and could not be fired yet is still to come.
        """
        refuse_unknown(options, ScheduleOptions)
        message = None if call is None else self._message(call)
        for _ in range(_TRIES):
            before = self.get(name).schedule
            if before.origin is Origin.CODE:
                raise _from_code(name, "change")
            after = replace(_changed(before, message, options), version=self._world.nonce())
            next_due = "" if after.rule == before.rule else self._next(after.rule) or "none"
            match self._timetable.schedule(after, before.version, next_due):
                case Change.DONE:
                    return self.get(name)
                case Change.CODE:
                    raise _from_code(name, "change")
        raise _stuck(name)

    def pause(self, name: str) -> ScheduleRecord:
        """Let it fire no more until it is resumed, whatever the code says. Raises ``ScheduleNotFound``."""
        if self._timetable.pause_schedule(name) is Change.NONE:
            raise ScheduleNotFound(name)
        return self.get(name)

    def resume(self, name: str) -> ScheduleRecord:
        """Let it fire again. What was due meanwhile does not count as missed. Raises ``ScheduleNotFound``."""
        for _ in range(_TRIES):
            found = self.get(name).schedule
            next_due = found.rule.after(self._agenda.now())
            if self._timetable.resume_schedule(name, found.version, next_due) is Change.DONE:
                return self.get(name)
        raise _stuck(name)

    def delete(self, name: str) -> None:
        """Raises ``ScheduleNotFound``, and ``ScheduleFromCode`` while a live worker's code declares it."""
        match self._timetable.unschedule(name, self._world.nonce()):
            case Change.NONE:
                raise ScheduleNotFound(name)
            case Change.CODE:
                raise _from_code(name, "delete")

    def run_now(self, name: str) -> AsyncResult[Any]:
        """Send its task at once, also while it is paused. Its due times stay as they are.

        Of a unique task that has not ended the handle is that of the earlier one, and a ``duplicate``.
        """
        task_id = f"{check_schedule_name(name)}:now-{self._world.nonce()}"
        fired = self._timetable.run_now(name, task_id)
        if fired.word == "gone":
            raise ScheduleNotFound(name)
        if fired.word == "stuck":
            raise ForeignData(f"Another program has put something else under {fired.detail}; see minicelery doctor")
        result = self._application.result(fired.joined or task_id)
        result.duplicate = fired.joined != ""
        return result

    def preview(self, count: int = 5, **options: Unpack[ScheduleOptions]) -> Preview:
        """The words and the next due times of a rule that is not yet used."""
        return self.preview_of(check_rule(options.get("cron"), options.get("timezone"), options.get("every")), count)

    def preview_of(self, rule: Rule, count: int = 5) -> Preview:
        """The same of a rule that was checked, such as ``app.schedules.get(name).schedule.rule``."""
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PREVIEWED:
            raise InvalidInput(f"{count!r:.100} is not a number of runs; use 1 to {MOST_PREVIEWED}", "/count")
        moments = islice(rule.between(self._agenda.now(), float("inf")), count)
        return Preview(rule.words(), [rule.local(moment).isoformat() for moment in moments])

    def _next(self, rule: Rule) -> str:
        found = rule.after(self._agenda.now())
        return "" if found is None else str(found)

    def _message(self, call: Call) -> Message:
        try:
            if isinstance(call, Signature):
                refuse_single(call.options)
                return refuse_debounced(call.message())
            if not isinstance(call, Mapping):
                raise InvalidInput(f"{call!r:.80} is not a call; make it with task.s(...)")
            if "name" not in call:
                raise InvalidInput("required: the name of a task", "/name")
            refuse_single(call)
            return refuse_debounced(self._application.message(**call))
        except InvalidInput as error:
            error.move_into("/task")
            raise


def _changed(before: Schedule, message: Message | None, options: ScheduleOptions) -> Schedule:
    """The schedule with what is given; the time zone stays with a new expression, unless it is given, too."""
    rule, given = before.rule, {name: value for name, value in options.items() if value is not None}
    if {"cron", "timezone", "every"} & given.keys():
        zone = given.get("timezone", rule.timezone if rule.cron and "every" not in given else None)
        cron = given.get("cron", rule.cron if rule.cron and "every" not in given else None)
        rule = check_rule(cron, zone, given.get("every"))
    missed = check_missed(given["missed"]) if "missed" in given else before.missed
    most = check_most(given["most"]) if "most" in given else before.most
    if message is None:
        return replace(before, rule=rule, missed=missed, most=most)
    return made_of(before.name, message, rule, missed, most)


def _stuck(name: str) -> ScheduleStuck:
    return ScheduleStuck(f"the schedule '{name}' was changed by others {_TRIES} times meanwhile; look, and try again")


def _from_code(name: str, verb: str) -> ScheduleFromCode:
    return ScheduleFromCode(f"the schedule '{name}' is declared in the code: {verb} it there, or pause it here")
