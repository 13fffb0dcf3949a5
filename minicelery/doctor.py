"""Checks the conservation law on a live Redis: every task is in exactly one place, the one its state names."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

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
_SLICE = 500

#: Something that holds ids: ``("queue", name)``, ``("quarantine", queue)``,
#: ``("delayed",)``, ``("claimed", worker, token)`` or ``("dead",)``.
Place = tuple[str, ...]

#: State, queue, token, worker and lane of a task; None for what it has not, and all None where there is no task.
Task = Sequence[str | None]
_FIELDS = ("status", "queue", "token", "worker", "lane")


@dataclass(frozen=True, slots=True)
class Violation:
    """A task that is not in exactly the place that its state names."""

    task_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.task_id}: {self.what}"


class Doctor:
    """Reads in bounded slices and changes nothing. It remembers every id and where it is, to compare by itself.

    Tasks move meanwhile: what looks wrong is read again, and believed only when one atomic look finds it so too.
    """

    def __init__(self, client: Client, scripts: Scripts, keys: Keys, inspector: Inspector) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._inspector = inspector

    def violations(self) -> Iterator[Violation]:
        """Every breach of the law that lasts, each task once."""
        places = self._places()
        suspects = self._suspects({*places, *self._inspector.task_ids()}, places)
        if suspects:
            places = self._places()
            suspects = self._suspects(suspects, places)
        for task_id in suspects:
            if violation := self._locate(task_id, places.get(task_id, ())):
                yield violation

    def _places(self) -> Mapping[str, list[Place]]:
        """Every id that anything holds → all that hold it, repeats included."""
        found: defaultdict[str, list[Place]] = defaultdict(list)
        for task_id, place in self._entries():
            found[task_id].append(place)
        return dict(found)

    def _entries(self) -> Iterator[tuple[str, Place]]:
        lists = {self._keys.queue(queue): ("queue", queue) for queue in self._inspector.queues()}
        lists |= {self._keys.quarantine(queue): ("quarantine", queue) for queue in self._inspector.quarantines()}
        for key, place in {**lists, self._keys.dead_letter: ("dead",)}.items():
            yield from ((task_id, place) for task_id in self._slices(key))
        with translated("listing the delayed tasks"):
            for task_id, _ in self._client.zscan_iter(self._keys.delayed, count=_SLICE):
                yield task_id, ("delayed",)
        for worker in self._inspector.workers():
            with translated("listing what a worker has claimed"):
                for task_id, token in self._client.hscan_iter(self._keys.claimed(worker.id), count=_SLICE):
                    yield task_id, ("claimed", worker.id, token)

    def _slices(self, key: str) -> Iterator[str]:
        start = 0
        while True:
            with translated("listing a queue"):
                ids = self._client.lrange(key, start, start + _SLICE - 1)
            yield from ids
            if len(ids) < _SLICE:
                return
            start += _SLICE

    def _suspects(self, task_ids: Collection[str], places: Mapping[str, list[Place]]) -> list[str]:
        """The ids whose places are not the ones of their task's state."""
        ids = list(task_ids)
        batches = (ids[start : start + _SLICE] for start in range(0, len(ids), _SLICE))
        return [
            task_id
            for batch in batches
            for task_id, task in zip(batch, self._tasks(batch), strict=True)
            if _judge(task_id, task[0], [_name(place, task) for place in places.get(task_id, ())])
        ]

    def _tasks(self, task_ids: Sequence[str]) -> list[Task]:
        with translated("reading tasks"):
            pipe = self._client.pipeline(transaction=False)
            for task_id in task_ids:
                pipe.hmget(self._keys.task(task_id), _FIELDS)
            answers = pipe.execute(raise_on_error=False)
        # What is no hash is no task, as for the scripts.
        return [[None] * len(_FIELDS) if isinstance(answer, ResponseError) else answer for answer in answers]

    def _locate(self, task_id: str, places: Iterable[Place]) -> Violation | None:
        """One atomic look at one task: in the places that are its own, and in those that have held it."""
        others = {self._keys.queue(place[1]): _label(place) for place in places if place[0] == "queue"}
        others |= {self._keys.quarantine(place[1]): _label(place) for place in places if place[0] == "quarantine"}
        others |= {self._keys.claimed(place[1]): _label(place) for place in places if place[0] == "claimed"}
        keys = [self._keys.task(task_id), self._keys.delayed, self._keys.dead_letter, self._keys.workers, *others]
        status, *names = self._scripts.run("locate", keys, [task_id, *others.values()])
        return _judge(task_id, status, names)


def _judge(task_id: str, status: str | None, names: Sequence[str]) -> Violation | None:
    if not status:
        found = _listed(name.removeprefix("queue ") for name in names)
        return Violation(task_id, f"is in {found}, but there is no such task") if names else None
    if status not in set(Status):
        return Violation(task_id, f"has the unknown state {status!r:.60}")
    wanted = PLACES[Status(status)]
    if tuple(names) == wanted:
        return None
    return Violation(task_id, f"is {status} and in {_listed(names)}, but belongs in {_listed(wanted)}")


def _name(place: Place, task: Task) -> str:
    """What a place is to a task, in the words of ``locate``."""
    _, queue, token, worker, lane = task
    if place == ("quarantine" if lane == "quarantine" else "queue", queue):
        return "ready"
    return "claimed" if place == ("claimed", worker, token) else _label(place)


def _label(place: Place) -> str:
    match place:
        case ("queue" | "quarantine" as kind, queue):
            return f"{kind} {queue}"
        case ("claimed", worker, _):
            return f"claimed by {worker}"
    return place[0]


def _listed(places: Iterable[str]) -> str:
    return " and ".join(places) or "no place"
