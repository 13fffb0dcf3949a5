"""``python -m tests.faults.schedule_runs``: workers that are killed all the while fire schedules, with the figures.

20 schedules, half from code and half made at run time, are due every second or every five. What was fired is read off
the tasks' ids and the server's own history.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minicelery import MiniCelery
from minicelery.schedule import task_id_of
from tests.stack import wait_until

from . import schedule_tasks
from .frame import PATIENCE, Ground, RunOptions, asked_for, run, told
from .history import ends_recorded, submissions_recorded

MODULE = "tests.faults.schedule_tasks"
EVERY: Mapping[str, int] = schedule_tasks.OF_CODE | schedule_tasks.ADDED


@dataclass(frozen=True)
class Figures:
    """What came out: due times in the window, and what was ``missing``, beside them, ``doubled`` or recorded twice."""

    due: int
    missing: Sequence[str]
    undue: Sequence[str]
    doubled: Sequence[str]
    recorded_twice: Sequence[str]
    late: Sequence[float]  #: seconds between due time and task, sorted

    @property
    def is_good(self) -> bool:
        return bool(self.due) and not (self.missing or self.undue or self.doubled or self.recorded_twice)

    def lines(self) -> list[str]:
        shown = [
            f"{self.due} due times of {len(EVERY)} schedules: {len(self.missing)} missing, {len(self.undue)} not due, "
            f"{len(self.doubled)} fired twice, {len(self.recorded_twice)} recorded twice"
        ]
        if not self.late:
            return shown
        half, most = self.late[len(self.late) // 2], self.late[-1]
        return [
            *shown,
            f"fired after p50 {half * 1000:.1f} ms, p99 {self.late[len(self.late) * 99 // 100] * 1000:.1f} ms, "
            f"most {most * 1000:.1f} ms",
        ]


class Schedules:
    """A case: what is due between its begin and its end."""

    def begin(self, ground: Ground) -> None:
        tick = ground.app.tasks.find("tick")
        for name, every in schedule_tasks.ADDED.items():
            ground.app.schedules.add(name, tick.s(name), every=every)
        wait_until(lambda: _are_all_there(ground.app), PATIENCE, "the declaration of the schedules")
        self._start = ground.app.agenda.now()

    def finish(self, ground: Ground) -> None:
        """Whoever is alive has fired what was due by now, or does so in a moment."""
        app = ground.app
        end = self._end = app.agenda.now()
        wait_until(lambda: all((one.next or 0) > end for one in app.schedules.list()), PATIENCE, "the last ones")
        for name in EVERY:
            app.schedules.pause(name)
        due = sorted(self._due())
        wait_until(lambda: _have_finished(app, due), PATIENCE, "the end of all that was fired")

    def judge(self, ground: Ground) -> Figures:
        prefix, slots = ground.app.keys.prefix, self._due()
        submitted, ends = submissions_recorded(ground.data, prefix), ends_recorded(ground.data, prefix)
        first, last = task_id_of("", int(self._start)), task_id_of("", int(self._end))
        fired = [one for one in submitted if _is_of_a_schedule(one)]
        inside = [one for one in fired if first < one[one.index(":") :] <= last]
        created = {one.id: one.created_at for one in ground.app.inspector.tasks(sorted(slots)) if one}
        return Figures(
            due=len(slots),
            missing=sorted(slots.keys() - submitted),
            undue=sorted(set(inside) - slots.keys()),
            doubled=[one for one in fired if submitted[one] > 1],
            recorded_twice=[one for one in fired if ends[one] > 1],
            late=sorted(at - slots[one] for one, at in created.items()),
        )

    def _due(self) -> dict[str, int]:
        """The id of each task that is to be fired, and when."""
        start, end = int(self._start), int(self._end)
        return {
            task_id_of(name, slot): slot
            for name, every in EVERY.items()
            for slot in range(start // every * every + every, end + 1, every)
        }


def _are_all_there(app: MiniCelery) -> bool:
    return sum(record.next is not None for record in app.schedules.list()) == len(EVERY)


def _is_of_a_schedule(task_id: str) -> bool:
    return task_id.partition(":")[0] in EVERY


def _have_finished(app: MiniCelery, ids: Sequence[str]) -> bool:
    return all(record is None or record.finished for record in app.inspector.tasks(ids))


if __name__ == "__main__":
    options = asked_for(RunOptions, "schedule_runs", __doc__)
    sys.exit(told(lambda folder: run(MODULE, [Schedules()], options, folder)))
