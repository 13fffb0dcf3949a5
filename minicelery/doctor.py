"""Checks the conservation law on a live Redis, and puts right what a foreign hand has broken."""

import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from .broker import Broker
from .connection import Client, translated
from .inspector import Inspector
from .keys import CLAIMS_KEPT, SCHEMA, Keys
from .law import FIELDS, Place, Standing, Violation, judge, label, shown
from .scripts import Scripts
from .world import World

_SLICE = 500
_HIDDEN = "is not among the priorities of its queue, so no claim looks into it"
_NO_TURN = "holds tasks that wait for their turn, and none of their tenant is in line"
_NO_TENANT = "is left of a tenant that has no task here"
_TYPES = {pattern.name: pattern.type for pattern in SCHEMA}
#: What holds ids, and what a worker has besides; both by the names of the schema.
_HOLDERS = ("queue", "priority", "quarantine", "delayed", "waiting", "dead_letter", "claimed")
_OF_A_WORKER = ("worker", "wake", "claims")


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done about a violation, in words: '' where nothing could be done, or was to be done any more."""

    violation: Violation
    done: str

    def __str__(self) -> str:
        return f"{self.violation}: {self.done or 'left alone'}"


@dataclass(frozen=True, slots=True)
class _Survey:
    """The keys at one moment: the tasks, what holds their ids, the registered workers, what is wrong with which key.

    ``left`` are keys that can be put right: of workers that are not registered, and lists that no claim looks into.
    Where there are no ``holders``, tasks can't be looked at.
    """

    tasks: Sequence[str]
    holders: Mapping[str, Place]
    members: frozenset[str]
    left: frozenset[str]
    faults: Sequence[Violation]


class Doctor:
    """Works in bounded slices. It remembers every id and where it is, to compare by itself.

    Tasks move meanwhile: what looks wrong is read again, and believed only when one atomic look finds it so too.
    """

    def __init__(
        self, client: Client, scripts: Scripts, keys: Keys, inspector: Inspector, broker: Broker, world: World
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._inspector = inspector
        self._broker = broker
        self._world = world

    def violations(self) -> Iterator[Violation]:
        """Every breach of the law that lasts, each task and each key once. Changes nothing."""
        survey = self._survey()
        yield from survey.faults
        if not survey.holders:
            return
        places = self._places(survey)
        suspects = self._suspects({*places, *survey.tasks}, places)
        if suspects:
            places = self._places(self._survey())
            suspects = self._suspects(suspects, places)
        for task_id in suspects:
            if violation := self._locate(task_id, places.get(task_id, ())):
                yield violation

    def repair(self, pause: float = 1.0) -> Iterator[Repair]:
        """Put right what two looks with a pause in between find broken in the same way; the rest is left alone."""
        first = list(self.violations())
        if not first:
            return
        self._world.sleep(pause)
        survey = self._survey()
        places = self._places(survey)
        for violation in first:
            subject, where = violation.subject, places.get(violation.subject, ())
            if violation in survey.faults:
                yield Repair(violation, self._clear(subject) if subject in survey.left else "")
            elif survey.holders and violation == self._locate(subject, where):
                yield Repair(violation, " and ".join(self._broker.repair(subject, self._others(where))))

    # ---- keys -----------------------------------------------------------------------------------

    def _survey(self) -> _Survey:
        keys, tasks = self._sweep()
        types = self._each("type", keys)
        wrong = [key for key, place in keys.items() if types[key] not in ("none", _TYPES[place[0]])]
        faults = [
            Violation(key, f"is a {types[key]}, not a {_TYPES[keys[key][0]]}: see whose it is, then DEL {shown(key)}")
            for key in wrong
        ]
        if {self._keys.delayed, self._keys.dead_letter, self._keys.workers} & set(wrong):
            return _Survey(tasks, {}, frozenset(), frozenset(), faults)
        with translated("listing the workers"):
            members = frozenset(self._client.zrange(self._keys.workers, 0, -1))
        right = {key: place for key, place in keys.items() if key not in wrong}
        ownerless = [key for key, place in right.items() if place[0] in _OF_A_WORKER and place[1] not in members]
        left = frozenset(key for key, life in self._each("ttl", ownerless).items() if life == -1)
        faults += [Violation(key, "is left of a worker that is not registered") for key in left]
        hidden = [*self._unannounced(right, wrong)]
        faults += [Violation(self._keys.priority_list(one), _HIDDEN) for one in hidden]
        holders = {key: place for key, place in right.items() if place[0] in _HOLDERS}
        halted = [*self._halted(right)]
        faults += [Violation(key, _NO_TURN if right[key][0] == "waiting" else _NO_TENANT) for key in halted]
        left |= {self._keys.priority_list(one) for one in hidden} | set(halted)
        return _Survey(tasks, holders, members, left, faults)

    def _halted(self, right: Mapping[str, Place]) -> Iterator[str]:
        """The waiting sets of tenants that have no task in line, so that no turn of theirs ever comes; where nothing
        waits, what is left of their rooms."""
        rooms = {
            place[1] for place in right.values() if place[0] in ("waiting", "room") and place[1].startswith("fair/")
        }
        for batch in _batches(sorted(rooms)):
            for room in self._broker.turn(batch, look=True):
                waiting = self._keys.waiting(room)
                yield waiting if waiting in right else self._keys.room(room)

    def _unannounced(self, right: Mapping[str, Place], wrong: Collection[str]) -> Iterator[str]:
        """The lists, by '<priority>:<queue>', that no claim looks into, since their queue does not name them."""
        for name, *ending in right.values():
            priority, _, queue = "".join(ending).partition(":")
            names = self._keys.priorities(queue)
            if name == "priority" and re.fullmatch("[0-9]", priority) and names not in wrong:
                with translated("looking at priorities"):
                    if self._client.zscore(names, priority) is None:
                        yield ending[0]

    def _sweep(self) -> tuple[dict[str, Place], list[str]]:
        """Every key of the schema that is there, with the name of its pattern and what it belongs to; of the tasks
        their ids only. The delayed set and the dead letters are named even where they are not there."""
        keys = self._keys
        found: dict[str, Place] = {keys.delayed: ("delayed",), keys.dead_letter: ("dead_letter",)}
        tasks: set[str] = set()
        for ending in self._inspector.endings(keys.prefix):
            match keys.read(keys.prefix + ending):
                case ("task", task_id):
                    tasks.add(task_id)
                case (name, part):
                    found[keys.prefix + ending] = (name, part) if part else (name,)
        return dict(sorted(found.items())), list(tasks)

    def _each(self, command: str, keys: Iterable[str]) -> dict[str, Any]:
        """key → what a command says of it."""
        answers: dict[str, Any] = {}
        for batch in _batches(keys):
            with translated("looking at keys"):
                pipe = self._client.pipeline(transaction=False)
                for key in batch:
                    getattr(pipe, command)(key)
                answers |= zip(batch, pipe.execute(), strict=True)
        return answers

    def _clear(self, key: str) -> str:
        """Put a key right: drop what is left of a worker (should it come back in this moment, its next beat writes all
        of it again); name a list of tasks that no claim looks into."""
        with translated("putting a key right"):
            match self._keys.read(key):
                case ("priority", ending):
                    priority, _, queue = ending.partition(":")
                    self._client.zadd(self._keys.priorities(queue), {priority: int(priority)})
                    return "named among the priorities of its queue"
                case ("waiting", room):
                    done = self._broker.turn([room])
                    return "the next one is made ready at the tail of its queue" if done else ""
                case ("room", room):
                    return "deleted" if self._broker.turn([room]) else ""
            if key.endswith(":claims"):
                self._client.expire(key, CLAIMS_KEPT)
                return "to expire in an hour"
            return "deleted" if self._client.delete(key) else ""

    # ---- tasks ----------------------------------------------------------------------------------

    def _places(self, survey: _Survey) -> Mapping[str, list[Place]]:
        """Every id that anything holds → all that hold it, repeats included."""
        found: defaultdict[str, list[Place]] = defaultdict(list)
        for key, place in survey.holders.items():
            for task_id, token in self._entries(key, place):
                found[task_id].append((*place, token) if token and place[1] in survey.members else place)
        return dict(found)

    def _entries(self, key: str, place: Place) -> Iterator[tuple[str, str]]:
        """The ids that a key holds, each with its token where it has one."""
        with translated("listing where tasks are"):
            if place[0] == "claimed":
                yield from self._client.hscan_iter(key, count=_SLICE)
            elif place[0] in ("delayed", "waiting"):
                yield from ((task_id, "") for task_id, _ in self._client.zscan_iter(key, count=_SLICE))
            else:
                for start in itertools.count(0, _SLICE):
                    ids = self._client.lrange(key, start, start + _SLICE - 1)
                    yield from ((task_id, "") for task_id in ids)
                    if len(ids) < _SLICE:
                        return

    def _suspects(self, task_ids: Collection[str], places: Mapping[str, list[Place]]) -> list[str]:
        """The ids whose places are not the ones of their task's state."""
        return [
            task_id
            for batch in _batches(task_ids)
            for task_id, standing in zip(batch, self._standings(batch), strict=True)
            if judge(task_id, "", standing.words(task_id, places.get(task_id, ())))
        ]

    def _standings(self, task_ids: Sequence[str]) -> Iterator[Standing]:
        with translated("reading tasks"):
            pipe = self._client.pipeline(transaction=False)
            for key in map(self._keys.task, task_ids):
                pipe.pttl(key)
                pipe.hexists(key, "args")
                pipe.hexists(key, "kwargs")
                pipe.hmget(key, FIELDS)
            answers = pipe.execute(raise_on_error=False)
        for life, args, kwargs, fields in zip(*[iter(answers)] * 4, strict=True):
            is_hash = not isinstance(fields, ResponseError)
            yield Standing(life, is_hash and args and kwargs, fields if is_hash else [None] * len(FIELDS))

    def _locate(self, task_id: str, places: Iterable[Place]) -> Violation | None:
        """One atomic look at one task: in the places that are its own, and in those that have held it."""
        others = self._others(places)
        key = self._keys.task(task_id)
        keys = [key, self._keys.delayed, self._keys.dead_letter, self._keys.workers, *others]
        return judge(task_id, key, self._scripts.run("locate", keys, [task_id, *others.values()]))

    def _others(self, places: Iterable[Place]) -> dict[str, str]:
        """The keys to look into besides, and what they are called."""
        keys = self._keys
        spell = {"queue": keys.queue, "priority": keys.priority_list, "quarantine": keys.quarantine}
        spell |= {"claimed": keys.claimed, "waiting": keys.waiting}
        return {spell[place[0]](place[1]): label(place) for place in places if place[0] in spell}


def _batches(items: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(items)
    while batch := list(itertools.islice(rest, _SLICE)):
        yield batch
