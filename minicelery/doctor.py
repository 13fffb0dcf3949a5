"""Checks the conservation law on a live Redis: every task is in exactly one place, the one its state names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .connection import Client, translated
from .inspector import Inspector
from .keys import Keys
from .scripts import Scripts
from .states import Status

#: The one place that holds a task's id in each state.
PLACES: dict[Status, tuple[str, ...]] = {
    Status.PENDING: ("ready",),
    Status.SCHEDULED: ("delayed",),
    Status.RETRYING: ("delayed",),
    Status.RUNNING: ("claimed",),
    Status.FAILED: ("dead",),
    Status.SUCCESS: (),
}
_SLICE = 200


@dataclass(frozen=True, slots=True)
class Violation:
    """A task that is not in exactly the place that its state names."""

    task_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.task_id}: {self.what}"


class Doctor:
    """Reads in bounded slices and changes nothing. What looks wrong is looked at twice: tasks move meanwhile."""

    def __init__(self, client: Client, scripts: Scripts, keys: Keys, inspector: Inspector) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._inspector = inspector

    def violations(self) -> Iterator[Violation]:
        """Every breach of the law that is there at both looks."""
        for task_id in self._all_ids():
            if self._examine(task_id) and (second := self._examine(task_id)):
                yield second

    def _examine(self, task_id: str) -> Violation | None:
        """One atomic look at one task."""
        keys = [self._keys.task(task_id), self._keys.delayed, self._keys.dead_letter, self._keys.workers]
        status, *places = self._scripts.run("locate", keys, [task_id])
        if not status:
            return self._examine_orphan(task_id)
        if status not in set(Status):
            return Violation(task_id, f"has the unknown state {status!r:.60}")
        wanted = PLACES[Status(status)]
        if tuple(places) == wanted:
            return None
        return Violation(task_id, f"is {status} and in {_listed(places)}, but belongs in {_listed(wanted)}")

    def _examine_orphan(self, task_id: str) -> Violation | None:
        """An id without a task: gone in the meantime, or left behind in a list."""
        with translated("looking for an orphan"):
            found = [queue for queue in self._inspector.queues() if self._in_list(self._keys.queue(queue), task_id)]
            if self._in_list(self._keys.dead_letter, task_id):
                found.append("dead_letter")
            if self._client.zscore(self._keys.delayed, task_id) is not None:
                found.append("delayed")
            for worker in self._inspector.workers():
                if self._client.hexists(self._keys.claimed(worker.id), task_id):
                    found.append(f"claimed by {worker.id}")
        return Violation(task_id, f"is in {_listed(found)}, but there is no such task") if found else None

    def _in_list(self, key: str, task_id: str) -> bool:
        return self._client.lpos(key, task_id) is not None

    def _all_ids(self) -> Iterator[str]:
        """Every id that a task hash or one of the places has, each once."""
        seen: set[str] = set()
        for task_id in self._ids_with_repeats():
            if task_id not in seen:
                seen.add(task_id)
                yield task_id

    def _ids_with_repeats(self) -> Iterator[str]:
        yield from self._inspector.task_ids()
        lists = [*map(self._keys.queue, self._inspector.queues()), self._keys.dead_letter]
        for key in lists:
            yield from self._slices(key)
        with translated("listing the delayed tasks"):
            yield from (member for member, _ in self._client.zscan_iter(self._keys.delayed, count=_SLICE))
        for worker in self._inspector.workers():
            with translated("listing what a worker has claimed"):
                yield from (field for field, _ in self._client.hscan_iter(self._keys.claimed(worker.id), count=_SLICE))

    def _slices(self, key: str) -> Iterator[str]:
        start = 0
        while True:
            with translated("listing a queue"):
                ids = self._client.lrange(key, start, start + _SLICE - 1)
            yield from ids
            if len(ids) < _SLICE:
                return
            start += _SLICE


def _listed(places: Iterable[str]) -> str:
    return " and ".join(places) or "no place"
