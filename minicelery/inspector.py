"""The read side: tasks, queues, dead letters and workers, without changing anything."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from . import codec
from .connection import Client, exchange, translated
from .errors import DamagedTask, TaskNotFound
from .keys import HIGHEST_PRIORITY, Keys
from .record import TaskRecord, parse
from .states import Status

_STATES = frozenset(status.value for status in Status)


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker. ``lease`` is the seconds left until others may recover its tasks; negative when over."""

    id: str
    lease: float
    claimed: int
    info: dict[str, object]


class Inspector:
    """Answers questions about the present state. All methods raise ``RedisUnavailable`` if Redis is away."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def task(self, task_id: str) -> TaskRecord:
        """The task's record, or ``TaskNotFound``; ``DamagedTask`` where something is there that is no whole task."""
        [answer] = self._answers([task_id])
        return record_of(task_id, answer)

    def tasks(self, task_ids: Sequence[str]) -> list[TaskRecord | None]:
        """The records of some hundred tasks in one round trip, None for what is not there or is no whole task."""
        return [_record(answer) for answer in self._answers(task_ids)]

    def _answers(self, task_ids: Sequence[str]) -> list[Any]:
        """What HGETALL says of each task: its fields, or that they are none."""
        with translated("reading tasks"):
            answers = exchange(self._client, [("HGETALL", self._keys.task(task_id)) for task_id in task_ids])
            for answer in answers:
                if isinstance(answer, Exception) and not is_foreign(answer):
                    raise answer
        return answers

    def orders(self, pairs: Sequence[tuple[str, str]]) -> list[str | None]:
        """For deliveries by (id, token): what the script ``cancel`` has ordered for them, None for what is not
        cancelled."""
        if not pairs:
            return []
        names = ("status", "token", "order")
        with translated("looking for cancelled tasks"):
            answers = exchange(self._client, [("HMGET", self._keys.task(task_id), *names) for task_id, _ in pairs])
        found = [answer if isinstance(answer, list) else [None] * 3 for answer in answers]
        return [
            order if (status, current) == (Status.CANCELLED, token) else None
            for (_, token), (status, current, order) in zip(pairs, found, strict=True)
        ]

    def queue_length(self, queue: str) -> int:
        """How many tasks are ready, of all priorities, those that wait for their tenant's turn included."""
        with translated("reading a queue"):
            priorities = range(HIGHEST_PRIORITY + 1)
            pipe = self._client.pipeline(transaction=False)
            for priority in priorities:
                pipe.llen(self._keys.priority(queue, priority))
            ready = sum(pipe.execute())
        return int(ready) + sum(self.waiting_for_turns(queue, priorities))

    def waiting_for_turns(self, queue: str, priorities: Iterable[int]) -> list[int]:
        """How many tasks wait for their tenant's turn in a queue, for each of these priorities."""
        with translated("reading the tenants of a queue"):
            pipe = self._client.pipeline(transaction=False)
            for priority in priorities:
                pipe.zrange(self._keys.tenants(queue, priority), 0, -1, withscores=True)
            return [int(sum(count for _, count in tenants)) for tenants in pipe.execute()]

    def queues(self) -> list[str]:
        """The names of all queues with ready tasks, sorted. Reads the key space in slices."""
        start = self._keys.queue("")
        names = set(self.endings(start)) - {self._keys.dead_letter.removeprefix(start)}
        return sorted(names | set(self.endings(self._keys.priorities(""))))

    def quarantines(self) -> list[str]:
        """The names of all queues with tasks in quarantine, sorted. Reads the key space in slices."""
        return sorted(set(self.endings(self._keys.quarantine(""))))

    def quarantine_length(self, queue: str) -> int:
        with translated("reading a quarantine"):
            return self._client.llen(self._keys.quarantine(queue))

    def dead_letter_count(self) -> int:
        with translated("counting the dead letters"):
            return self._client.llen(self._keys.dead_letter)

    def dead_letter_ids(self, offset: int, limit: int) -> list[str]:
        """A page of ids, newest first. A negative ``offset`` counts from the oldest, as in ``list[offset:]``."""
        with translated("reading the dead letters"):
            stop = offset + limit - 1
            return self._client.lrange(self._keys.dead_letter, offset, -1 if offset < 0 <= stop else stop)

    def statuses(self, task_ids: Sequence[str]) -> list[Status | None]:
        """The states of some hundred tasks, None for what is not there or no task."""
        with translated("reading the states of tasks"):
            answers = exchange(self._client, [("HGET", self._keys.task(task_id), "status") for task_id in task_ids])
        return [Status(answer) if answer in _STATES else None for answer in answers]

    def now(self) -> float:
        """Epoch seconds by Redis's clock."""
        with translated("asking for the time"):
            return _seconds(self._client.time())

    def workers(self) -> list[Worker]:
        """All registered workers, those whose lease ends first in front."""
        with translated("listing the workers"):
            now = _seconds(self._client.time())
            ranked = self._client.zrange(self._keys.workers, 0, -1, withscores=True)
            pipe = self._client.pipeline(transaction=False)
            for worker, _ in ranked:
                pipe.get(self._keys.worker(worker))
                pipe.hlen(self._keys.claimed(worker))
            answers = pipe.execute()
        return [
            Worker(worker, lease_end - now, claimed, _facts(info))
            for (worker, lease_end), info, claimed in zip(ranked, answers[::2], answers[1::2], strict=True)
        ]

    def expired_workers(self) -> tuple[float, list[str]]:
        """The time by Redis's clock, and workers whose lease is over."""
        with translated("looking for lost workers"):
            now = _seconds(self._client.time())
            return now, self._client.zrangebyscore(self._keys.workers, "-inf", now, start=0, num=100)

    def worker_ids(self) -> list[str]:
        """All registered workers."""
        with translated("listing the workers"):
            return self._client.zrange(self._keys.workers, 0, -1)

    def worker_facts(self, workers: Sequence[str]) -> dict[str, dict[str, object]]:
        """What some workers say of themselves."""
        if not workers:
            return {}
        with translated("reading about workers"):
            infos = self._client.mget([self._keys.worker(worker) for worker in workers])
        return {worker: _facts(info) for worker, info in zip(workers, infos, strict=True)}

    def is_anything_in_quarantine(self, queues: Sequence[str]) -> bool:
        """Whether tasks of these queues wait in quarantine."""
        with translated("looking into quarantine"):
            return bool(self._client.exists(*map(self._keys.quarantine, queues)))

    def controls(self) -> dict[str, str]:
        """What operators have set, by the fields of the script ``control``."""
        with translated("reading limits and pauses"):
            return dict(self._client.hgetall(self._keys.controls))

    def queue_settings(self) -> dict[str, str]:
        """What the code of live workers says of queues, by their names, as the script ``beat`` has it."""
        with translated("reading the settings of queues"):
            return dict(self._client.hgetall(self._keys.queue_settings))

    def tagged(self, tag: str) -> Iterator[str]:
        """The ids of the tasks with a tag that are not finished, or are dead letters; those that come meanwhile may be
        missed, and some seen twice."""
        with translated("reading a tag"):
            for task_id, _ in self._client.zscan_iter(self._keys.tag(tag), count=500):
                yield task_id

    def tagged_part(self, tag: str, cursor: int) -> tuple[int, list[str]]:
        """Some hundred of ``tagged``, and the cursor to go on with; one begins with 0, and 0 is the end."""
        with translated("reading a tag"):
            following, found = self._client.zscan(self._keys.tag(tag), cursor, count=500)
        return int(following), [task_id for task_id, _ in found]

    def tagged_count(self, tag: str) -> int:
        """How many tasks have a tag and are not finished, or are dead letters."""
        with translated("reading a tag"):
            return self._client.zcard(self._keys.tag(tag))

    def task_ids(self) -> Iterator[str]:
        """The id of every stored task, read in slices; ids that come or go meanwhile may be missed or seen twice."""
        return self.endings(self._keys.task(""))

    def endings(self, start: str) -> Iterator[str]:
        """How every key goes on that begins with ``start``, read in slices; some may be seen twice."""
        with translated("listing keys"):
            for key in self._client.scan_iter(match=f"{_literal(start)}*", count=500):
                yield key.removeprefix(start)


def record_of(task_id: str, answer: Any) -> TaskRecord:
    """The record in an answer to HGETALL of its key, or ``TaskNotFound``; ``DamagedTask`` for what is no whole task."""
    record = _record(answer)
    if record is None:
        raise DamagedTask(task_id) if answer else TaskNotFound(task_id)
    return record


def _record(answer: Any) -> TaskRecord | None:
    """The record in an answer to HGETALL. What another program has put under the key of a task is none."""
    try:
        return parse(fields_of(answer)) if answer and not is_foreign(answer) else None
    except (KeyError, ValueError):
        return None


def fields_of(answer: Any) -> dict[str, str]:
    """The fields and values, which RESP2 has one behind the other."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def is_foreign(answer: Any) -> bool:
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def _seconds(time: tuple[int, int]) -> float:
    return time[0] + time[1] / 1_000_000


def _facts(info: str | None) -> dict[str, object]:
    """What a worker says of itself; nothing if that is not what a worker writes."""
    try:
        facts = codec.decode(info) if info else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _literal(text: str) -> str:
    """``text`` as a pattern of Redis that matches itself."""
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)
