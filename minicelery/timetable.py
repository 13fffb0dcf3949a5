"""The write side of schedules: one method for each script."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from . import codec
from .keys import Keys
from .schedule import Schedule, task_id_of
from .scripts import Part, Scripts

#: Schedules that one call tells of, or looks at.
DUE_BATCH = 100


class Change(StrEnum):
    """What became of a change, in the words of the scripts."""

    DONE = "done"
    THERE = "there"  #: another schedule has the name
    NONE = "none"  #: no schedule has the name
    CODE = "code"  #: it is declared in the code
    CHANGED = "changed"  #: somebody else has changed it meanwhile


@dataclass(frozen=True)
class Due:
    """A schedule that is due, as far as that takes: ``fields`` are version, cron, timezone, every, missed, most."""

    name: str
    slot: str
    fields: Sequence[str]

    @property
    def version(self) -> str:
        return self.fields[0]


@dataclass(frozen=True)
class Firing:
    """Fire a schedule that stands at ``due``, for some due times, of which that is the first or an earlier one."""

    name: str
    version: str
    due: str
    slots: Sequence[int]
    next: int | None


@dataclass(frozen=True)
class Fired:
    """What became of a firing: ``fired``, with the number of tasks, or why not. ``detail``: a key in its way.

    ``joined``: the id of the task that is there for the last due time, too, as it is unique and had not ended.
    """

    word: str
    count: int = 0
    detail: str = ""
    joined: str = ""


class Timetable:
    """Every change of a schedule. Each method is one atomic script that may safely be repeated."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    def schedule(self, schedule: Schedule, before: str, next_due: str) -> Change:
        """Add a schedule (``before`` is ''), or change the one that has the version ``before``. ``next_due`` is epoch
        seconds, '' to leave it as it is, or 'none'."""
        fields = schedule.fields()
        pairs = [part for pair in fields.items() if pair[0] != "version" for part in pair]
        return self._change("schedule", schedule.name, [before, fields["version"], next_due, *pairs])

    def unschedule(self, name: str, nonce: str) -> Change:
        """Delete a schedule. The nonce names the request: repeated under it, it is answered as the first time."""
        keys = [self._keys.schedules, self._keys.schedule(name), self._keys.open_runs, self._keys.forgotten(nonce)]
        return Change(self._scripts.run("unschedule", keys, [name]))

    def pause_schedule(self, name: str) -> Change:
        return self._change("pause_schedule", name, [])

    def resume_schedule(self, name: str, version: str, next_due: int | None) -> Change:
        """Let a schedule of this version fire again, at ``next_due`` first."""
        return self._change("resume_schedule", name, [version, _text(next_due)])

    def declare(self, declarations: Iterable[tuple[str, str, int | None, Schedule | None]]) -> list[str]:
        """Tell what the code has: name, version, next due time and, where they are wanted, the fields. For each a word
        of the script."""
        args: list[object] = []
        for name, version, next_due, schedule in declarations:
            args += (name, version, _text(next_due), codec.write(schedule.fields()) if schedule else "")
        return list(self._scripts.run("declare", [self._keys.schedules], args))

    def due(self, skip: int = 0) -> tuple[float, float | None, list[Due]]:
        """The time by Redis's clock, the seconds until another is due (None: none is to be), and ``DUE_BATCH`` of those
        that are now, but for the first ``skip``."""
        now, wait, *rest = self._scripts.run("due", [self._keys.schedules], [DUE_BATCH, skip])
        rows = [rest[start : start + 8] for start in range(0, len(rest), 8)]
        return float(now), float(wait) if wait else None, [Due(row[0], row[1], row[2:]) for row in rows]

    def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        """Send the tasks of schedules that are due. Each is a transition of its own, all in one round trip."""
        parts = [self._fire(one) for one in firings]
        return [_fired(answer) for answer in self._scripts.run_all(["fire"] * len(parts), parts)]

    def run_now(self, name: str, task_id: str) -> Fired:
        """Send the task of a schedule at once, under an id, and leave its due times as they are."""
        keys = [self._keys.schedules, self._keys.schedule(name), self._keys.open_runs]
        return _fired(self._scripts.run("fire", keys, [name, "", "", "", task_id, ""]))

    def note_ends(self) -> int:
        """Note how last runs have ended, of so many schedules at most: how many were looked at."""
        return int(self._scripts.run("note_ends", [self._keys.open_runs], [DUE_BATCH]))

    def _fire(self, one: Firing) -> Part:
        keys = [self._keys.schedules, self._keys.schedule(one.name), self._keys.open_runs]
        args: list[object] = [one.name, one.version, one.due, _text(one.next)]
        for slot in one.slots:
            args += (task_id_of(one.name, slot), slot)
        return keys, args

    def _change(self, script: str, name: str, args: Sequence[object]) -> Change:
        keys = [self._keys.schedules, self._keys.schedule(name)]
        return Change(self._scripts.run(script, keys, [name, *args]))


def _fired(answer: Sequence[Any]) -> Fired:
    word, *more = answer
    if word == "fired":
        return Fired(word, int(more[0]), joined=str(more[1]))
    return Fired(word, detail=str(more[0]) if more else "")


def _text(moment: int | None) -> str:
    return "" if moment is None else str(moment)
