"""Says why a task has not begun yet, in sentences for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import codec
from .connection import Client, translated
from .inspector import Inspector, Worker
from .keys import HIGHEST_PRIORITY, Keys
from .limits import Control, Limits
from .rates import rate_of
from .record import TaskRecord
from .states import FINISHED, Status

#: Entries of a list that are looked at to find a place in it, so that the question costs Redis little.
_MOST_LOOKED_AT = 100_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is where it is. ``position`` is its place among those that wait for the same, from 1; None where it
    waits for none of them, or is further behind than is looked."""

    task_id: str
    status: Status
    position: int | None
    reasons: tuple[str, ...]


class Why:
    """Reads what stands in the way of a task. It is a picture of one moment, put together from several reads."""

    def __init__(self, client: Client, keys: Keys, inspector: Inspector, limits: Limits) -> None:
        self._client = client
        self._keys = keys
        self._inspector = inspector
        self._limits = limits

    def explain(self, task_id: str) -> Explanation:
        """Why this task waits, or what has become of it. Raises ``TaskNotFound`` and ``RedisUnavailable``."""
        record = self._inspector.task(task_id)
        with translated("looking why a task waits"):
            now = self._now()
            position: int | None = None
            if record.status in FINISHED:
                reasons = [f"it is over: {record.status}"]
            elif record.status is Status.RUNNING:
                reasons = [f"it runs since {now - (record.started_at or now):.1f} s, in worker {record.worker}"]
            elif record.status in (Status.SCHEDULED, Status.RETRYING):
                due = record.due or now
                what = "its retry" if record.status is Status.RETRYING else "it"
                reasons = [f"{what} is due in {max(0.0, due - now):.1f} s"]
            elif record.status is Status.WAITING and (turn := self._in_turn(record)):
                position, reasons = turn
            elif record.status is Status.WAITING:
                position, reasons = self._in_its_room(record, now)
            else:
                control = self._limits.of("queue", record.queue)
                position = self._position(record, is_ageing=control.ageing is not None)
                reasons = [*self._in_line(record, position, control.ageing), *self._of_its_queue(record, control)]
        return Explanation(task_id, record.status, position, (*reasons, *self._of_workers(record)))

    def _now(self) -> float:
        seconds, micros = self._client.time()
        return float(seconds) + float(micros) / 1e6

    # ---- ready --------------------------------------------------------------------------------

    def _position(self, record: TaskRecord, *, is_ageing: bool) -> int | None:
        """The place in its list, those with a higher priority counted in front; with ageing, none of them, as
        some are behind it."""
        in_front, ready = 0, self._keys.quarantine(record.queue)
        if not record.quarantined:
            ready = self._keys.priority(record.queue, record.priority)
            higher = range(record.priority + 1, HIGHEST_PRIORITY + 1)
            if not is_ageing:
                in_front = sum(self._client.llen(self._keys.priority(record.queue, one)) for one in higher)
        found = self._client.lpos(ready, record.id, rank=-1, maxlen=_MOST_LOOKED_AT)
        return None if found is None else in_front + int(self._client.llen(ready)) - int(found)

    def _in_line(self, record: TaskRecord, position: int | None, ageing: float | None) -> Iterator[str]:
        where = f"in the quarantine of queue:{record.queue}" if record.quarantined else f"in queue:{record.queue}"
        ages = ageing is not None and not record.quarantined
        where = f"of those with priority {record.priority} {where}" if ages else where
        yield f"{position}. {where}" if position else f"far behind {where}"
        if ages and ageing and record.priority < HIGHEST_PRIORITY:
            ahead = (HIGHEST_PRIORITY - record.priority) * ageing / HIGHEST_PRIORITY
            yield f"with an ageing of {ageing:g} s, what comes more than {ahead:.1f} s after it is behind it"

    def _of_its_queue(self, record: TaskRecord, control: Control) -> Iterator[str]:
        if control.pause:
            yield f"queue {record.queue} is paused{_said(control.pause.by, control.pause.reason)}"
        if control.concurrency is not None:
            running = self._client.zcard(self._keys.slots(f"queue/{record.queue}"))
            if running >= control.concurrency:
                yield f"{running} of at most {control.concurrency} tasks of queue {record.queue} run"

    # ---- waits for its turn -------------------------------------------------------------------

    def _in_turn(self, record: TaskRecord) -> tuple[int | None, list[str]] | None:
        """Its place among the tasks of its tenant; None if it waits for something else than a turn."""
        room = self._client.hget(self._keys.task(record.id), "room") or ""
        if not room.startswith("fair/"):
            return None
        rank = self._client.zrank(self._keys.waiting(room), record.id)
        in_line = self._client.llen(self._keys.priority(record.queue, record.priority))
        # In front of those who wait is the one that is in line for them.
        position = None if rank is None else int(rank) + 1 + bool(self._client.hexists(self._keys.room(room), "out"))
        place = f"{position}. of {record.fair_key}" if position else f"one of {record.fair_key}"
        turn = f"waits for its turn: {place} in queue:{record.queue}, where {in_line} are in line, of each fair key one"
        return position, [turn, *self._of_its_queue(record, self._limits.of("queue", record.queue))]

    # ---- stopped by a limit -------------------------------------------------------------------

    def _in_its_room(self, record: TaskRecord, now: float) -> tuple[int | None, list[str]]:
        task = self._keys.task(record.id)
        room, text = self._client.hmget(task, "room", "gates")
        rank = self._client.zrank(self._keys.waiting(room or ""), record.id)
        position = None if rank is None else int(rank) + 1
        control = self._limits.of("task", record.name)
        own: dict[str, Any] = codec.decode(text) if text else {}
        reasons = [f"{position}. of those with the same limits"] if position else []
        if control.pause:
            reasons.append(f"tasks {record.name} are paused{_said(control.pause.by, control.pause.reason)}")
        if "rate" in own or control.rate:
            key, interval = own.get("rate", ["", 0.0])
            reasons.append(self._of_rate(record.name, str(key), control.rate or rate_of(float(interval)), now))
        if "slots" in own or control.concurrency:
            key, most = own.get("slots", ["", 0])
            most = control.concurrency or int(most)
            running = self._client.zcard(self._keys.slots(_gate("slots", record.name, str(key))))
            reasons.append(f"{running} of at most {most} tasks {record.name}{_of_key(str(key))} run")
        return position, reasons

    def _of_rate(self, name: str, key: str, rate: str, now: float) -> str:
        at = self._client.hget(self._keys.gate(_gate("rate", name, key)), "tat")
        wait = max(0.0, float(at) - now) if at else 0.0
        return f"rate {rate} of {name}{_of_key(key)}: the next may begin in {wait:.1f} s"

    # ---- workers ------------------------------------------------------------------------------

    def _of_workers(self, record: TaskRecord) -> Iterator[str]:
        """What there is to say of those who could run it, if it has not begun."""
        if record.status in FINISHED or record.status is Status.RUNNING:
            return
        alive = [worker for worker in self._inspector.workers() if worker.lease > 0]
        serving = [worker for worker in alive if record.queue in _listed(worker, "queues")]
        if not serving:
            yield f"no live worker serves queue:{record.queue}"
        elif not any(record.name in _listed(worker, "tasks") for worker in serving):
            yield f"no live worker of queue:{record.queue} knows the task {record.name}"
        elif record.status is Status.PENDING:
            threads = sum(int(str(worker.info.get("threads", 0))) for worker in serving)
            claimed = sum(worker.claimed for worker in serving)
            yield f"its workers have {threads} threads, and {claimed} tasks in hand"


def described(explanation: Explanation) -> dict[str, Any]:
    """An explanation as every interface shows it."""
    return {
        "task_id": explanation.task_id,
        "status": explanation.status.value,
        "position": explanation.position,
        "reasons": list(explanation.reasons),
    }


def _gate(kind: str, name: str, key: str) -> str:
    return f"{kind}/{name}/{key}" if key else f"{kind}/{name}"


def _of_key(key: str) -> str:
    return f" for key {key}" if key else ""


def _said(by: str, reason: str) -> str:
    return (f" by {by}" if by else "") + (f": {reason}" if reason else "")


def _listed(worker: Worker, what: str) -> list[Any]:
    found = worker.info.get(what)
    return found if isinstance(found, list) else []
