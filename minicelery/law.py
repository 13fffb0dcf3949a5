"""The conservation law: every task is in exactly one place, the one its state names; and how a breach is told."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .keys import RESERVED_QUEUES
from .states import PASSING, Status

#: The one place that holds a task's id in each state; others that may hold it behind the first. What is cancelled or
#: has expired may be left in a long ready list, where the next claim that comes to it puts it away; and a task that was
#: cancelled while it ran stays in the hands of its worker until its run is over.
PLACES: dict[Status, tuple[tuple[str, ...], ...]] = {
    Status.PENDING: (("ready",),),
    Status.SCHEDULED: (("delayed",),),
    Status.RETRYING: (("delayed",),),
    Status.WAITING: (("waiting",),),
    Status.RUNNING: (("claimed",),),
    Status.FAILED: (("dead",),),
    Status.SUCCESS: ((),),
    Status.CANCELLED: ((), ("ready",), ("claimed",)),
    Status.EXPIRED: ((), ("ready",)),
}
#: Stands in the place of a state for what is no whole task; the field that is missing or wrong follows it.
INCOMPLETE = "INCOMPLETE"
_LIFE = {"forever": "is kept for ever, though results expire", "expiring": "is to expire, though it is not over"}

#: Something that holds ids, by its name in the schema: ``("queue", name)``, ``("quarantine", queue)``,
#: ``("priority", "<priority>:<queue>")``, ``("waiting", room)``, ``("delayed",)``, ``("dead_letter",)`` or
#: ``("claimed", worker, token)``; the last without the token where the worker is unknown, since such a claim counts for
#: nothing.
Place = tuple[str, ...]

_NAME, _COUNT, _TIME = r"[A-Za-z0-9_.:-]{1,128}", r"[0-9]{1,20}", r"[0-9]{1,16}(\.[0-9]{0,20})?"
_NEEDED = {"id": _NAME, "name": _NAME, "queue": _NAME, "status": "|".join(Status)}
_NEEDED |= {"retry_count": _COUNT, "max_retries": _COUNT, "created_at": _TIME, "updated_at": _TIME}
_OPTIONAL = dict.fromkeys(("crashes", "solo_crashes", "released"), _COUNT) | {"token": r"[0-9]{1,20}\.[!-~]{0,107}"}
_OPTIONAL["lane"] = r"quarantine|[0-46-9]"
#: What is read of a task hash to judge it.
FIELDS = (*_NEEDED, *_OPTIONAL, "worker", "room")


@dataclass(frozen=True, slots=True)
class Violation:
    """A breach of the law: a task that is not in its place, or a key that is not as the schema says."""

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{shown(self.subject)}: {self.what}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A task hash but for its bodies: the milliseconds it has to live, in the way of PTTL, and its ``FIELDS``."""

    life: int
    has_bodies: bool
    fields: Sequence[str | None]

    def words(self, task_id: str, places: Iterable[Place]) -> list[str]:
        """The state, and what the places are to the task, in the words of the script ``locate``."""
        if self.life == -2:
            return ["", *map(label, places)]
        found = dict(zip(FIELDS, self.fields, strict=True))
        if not self._is_whole(task_id, found):
            return [INCOMPLETE, "hash", *map(label, places)]
        status = Status(str(found["status"]))
        names = [_name(place, found) for place in places]
        is_held = status is Status.CANCELLED and "claimed" in names
        is_passing = status in PASSING and not is_held
        if (self.life == -1) == is_passing:
            names.append("forever" if self.life == -1 else "expiring")
        return [status, *names]

    def _is_whole(self, task_id: str, found: Mapping[str, str | None]) -> bool:
        return (
            self.has_bodies
            and found["id"] == task_id
            and found["queue"] not in RESERVED_QUEUES
            and all(re.fullmatch(rule, found[name] or "") for name, rule in _NEEDED.items())
            and all(found[name] is None or re.fullmatch(rule, found[name] or "") for name, rule in _OPTIONAL.items())
        )


def judge(task_id: str, key: str, words: Sequence[str]) -> Violation | None:
    """What is wrong with a task at a key, of which ``locate`` says so."""
    status, *names = words
    if not status:
        found = _listed(name.removeprefix("queue ") for name in names)
        return Violation(task_id, f"is in {found}, but there is no such task") if names else None
    if status == INCOMPLETE:
        if names[0] == "type":
            return Violation(task_id, f"is no task, its key holds no hash: see whose it is, then DEL {shown(key)}")
        cure = f"give it one by HSET, or delete it by DEL {shown(key)}"
        return Violation(task_id, f"is no whole task, its {names[0]} is missing or wrong: {cure}")
    wanted = PLACES[Status(status)]
    places = tuple(name for name in names if name not in _LIFE)
    faults = [_LIFE[name] for name in names if name in _LIFE]
    if places not in wanted:
        faults.insert(0, f"is {status} and in {_listed(places)}, but belongs in {_listed(wanted[0])}")
    return Violation(task_id, "; ".join(faults)) if faults else None


def label(place: Place) -> str:
    """What a place is called that is not the task's own."""
    match place:
        case ("queue" | "priority" | "quarantine" as kind, queue):
            return f"{kind} {shown(queue)}"
        case ("waiting", room):
            return f"room {shown(room)}"
        case ("claimed", worker):
            return f"claimed by the unknown worker {shown(worker)}"
        case ("claimed", worker, _):
            return f"claimed by {shown(worker)}"
        case ("dead_letter",):
            return "dead"
    return place[0]


def shown(text: str) -> str:
    """A text from Redis as a line may show it: what a foreign hand wrote is cut and made printable."""
    return text if text.isprintable() and len(text) <= 200 else f"{text[:100]!r:.200}"


def _name(place: Place, task: Mapping[str, str | None]) -> str:
    """What a place is to a task, in the words of ``locate``."""
    if place == _ready_place(task):
        return "ready"
    if place == ("waiting", task["room"]):
        return "waiting"
    return "claimed" if place == ("claimed", task["worker"], task["token"]) else label(place)


def _ready_place(task: Mapping[str, str | None]) -> Place:
    lane, queue = task["lane"], task["queue"] or ""
    if lane is None or lane == "quarantine":
        return lane or "queue", queue
    return "priority", f"{lane}:{queue}"


def _listed(places: Iterable[str]) -> str:
    return " and ".join(places) or "no place"
