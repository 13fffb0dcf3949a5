"""The read side of schedules, without changing anything."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import schedule
from .connection import Client, exchange, translated
from .errors import InvalidInput, ScheduleNotFound
from .inspector import Inspector, fields_of, is_foreign
from .keys import Keys
from .schedule import LastRun, Origin, ScheduleRecord
from .states import Status

_SLICE = 200


class Agenda:
    """Answers questions about schedules. All methods raise ``RedisUnavailable`` if Redis is away."""

    def __init__(self, client: Client, keys: Keys, inspector: Inspector) -> None:
        self._client = client
        self._keys = keys
        self._inspector = inspector

    def now(self) -> float:
        """The time by Redis's clock, from which due times are counted."""
        with translated("asking for the time"):
            seconds, micros = self._client.time()
        return seconds + micros / 1_000_000

    def schedule(self, name: str) -> ScheduleRecord:
        """The schedule, or ``ScheduleNotFound``."""
        for record in self._records([name]):
            return record
        raise ScheduleNotFound(name)

    def schedules(self) -> list[ScheduleRecord]:
        """All schedules, by their names. Those that another program has damaged are left out."""
        with translated("listing the schedules"):
            names = sorted(self._client.zrange(self._keys.schedules, 0, -1))
        slices = (names[start : start + _SLICE] for start in range(0, len(names), _SLICE))
        return [record for part in slices for record in self._records(part)]

    def _records(self, names: Sequence[str]) -> list[ScheduleRecord]:
        commands: list[tuple[str, ...]] = [("HGETALL", self._keys.schedule(name)) for name in names]
        commands += [("ZSCORE", self._keys.schedules, name) for name in names]
        answers = self._ask(commands)
        hashes = [{} if is_foreign(answer) else fields_of(answer) for answer in answers[: len(names)]]
        last = [found["last_id"] for found in hashes if found.get("last_id")]
        states = dict(zip(last, self._ask([("HGET", self._keys.task(one), "status") for one in last]), strict=True))
        declared = self._declared()
        scored = zip(hashes, answers[len(names) :], strict=True)
        found = (_record(one, score, states, declared) for one, score in scored)
        return [record for record in found if record]

    def _ask(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        with translated("reading schedules"):
            answers = exchange(self._client, commands)
            for answer in answers:
                if isinstance(answer, Exception) and not is_foreign(answer):
                    raise answer
        return answers

    def _declared(self) -> set[str]:
        """'<name> <version>' of all that the code of a live worker declares."""
        alive = [worker.info.get("schedules") for worker in self._inspector.workers() if worker.lease > 0]
        return {str(one) for named in alive if isinstance(named, list) for one in named}


def _record(
    found: Mapping[str, str], score: Any, states: Mapping[str, Any], declared: set[str]
) -> ScheduleRecord | None:
    """None for what no script of ours has written."""
    try:
        defined = schedule.parse(found)
        schedule.call_of(defined)  # whoever is shown the schedule is shown its call
        is_declared = defined.origin is Origin.RUNTIME or f"{defined.name} {defined.version}" in declared
        paused = "paused" in found
        score = None if score is None or is_foreign(score) else float(score)
        return ScheduleRecord(
            schedule=defined,
            paused=paused,
            declared=is_declared,
            next=score if score is not None and score != float("inf") and is_declared else None,
            created_at=float(found["created_at"]),
            updated_at=float(found["updated_at"]),
            fired=int(found.get("fired", 0)),
            last=_last(found, states),
        )
    except (KeyError, ValueError, TypeError, AttributeError, InvalidInput):
        return None


def _last(found: Mapping[str, str], states: Mapping[str, Any]) -> LastRun | None:
    if "last_id" not in found:
        return None
    task_id, slot = found["last_id"], found["last_slot"]
    now = states.get(task_id)
    status = now if isinstance(now, str) and now in set(Status) else found["last_status"]
    return LastRun(
        task_id,
        float(slot) if slot else None,
        float(found["last_at"]),
        Status(status) if status else None,
        bool(found.get("last_duplicate")),
    )
