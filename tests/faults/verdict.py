"""Judges a soak: what was planned, against what is recorded now and what was ever recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from minicelery.record import TaskRecord

from .plan import Planned

_SHOWN = 5


@dataclass(frozen=True)
class Evidence:
    """What is known at the end. ``ends``: task id → how often a final state was written."""

    plan: Sequence[Planned]
    records: Mapping[str, TaskRecord | None]
    ends: Mapping[str, int]
    violations: Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """Each fault that was looked for, with what is guilty of it. Figures are for the reader and judge nothing."""

    faults: Mapping[str, Sequence[str]]
    figures: Mapping[str, int | float]

    @property
    def is_good(self) -> bool:
        return not any(self.faults.values())

    def lines(self) -> list[str]:
        """A table for people; the last line begins with VERDICT."""
        shown = [f"{name:<32}{value:>9,}" for name, value in self.figures.items()]
        shown += [f"{name:<32}{len(guilty):>9,}{_examples(guilty)}" for name, guilty in self.faults.items()]
        named = ", ".join(f"{len(guilty)} {name}" for name, guilty in self.faults.items())
        return [*shown, f"VERDICT: {'good' if self.is_good else 'BAD'}: {named}"]


def judge(
    evidence: Evidence, figures: Mapping[str, int | float] | None = None, shortcomings: Iterable[str] = ()
) -> Verdict:
    """The verdict on a soak. ``shortcomings`` are what the soak itself failed to do."""
    finished = {name: record for name, record in evidence.records.items() if record and record.finished}
    ended = [(one, finished[one.id]) for one in evidence.plan if one.id in finished]
    faults = {
        "lost": [_state(one, evidence) for one in evidence.plan if one.id not in finished],
        "recorded twice": [f"{name} ({times} times)" for name, times in evidence.ends.items() if times > 1],
        "recorded out of sight": [one.id for one, _ in ended if not evidence.ends.get(one.id)],
        "wrong outcomes": [_told(one, record) for one, record in ended if not _is_right(one, record)],
        "healthy dead-lettered": [one.id for one, record in ended if _is_dead_though_healthy(one, record)],
        "breaches of the law": list(evidence.violations),
        "shortcomings of the soak": list(shortcomings),
    }
    counted = {
        "tasks": len(evidence.plan),
        "finished": len(finished),
        "extra runs": sum(record.deliveries - record.retry_count - 1 for record in finished.values()),
        "sent into quarantine": sum(record.quarantined for record in finished.values()),
        "crashes counted": sum(record.crashes for record in finished.values()),
    }
    return Verdict(faults, {**counted, **(figures or {})})


def _state(planned: Planned, evidence: Evidence) -> str:
    record = evidence.records.get(planned.id)
    return f"{planned.id} ({record.status if record else 'gone'})"


def _is_right(planned: Planned, record: TaskRecord) -> bool:
    if (record.status, record.result) != (planned.status, planned.result):
        return False
    return planned.name != "stumble" or record.retry_count == planned.args[1]


def _is_dead_though_healthy(planned: Planned, record: TaskRecord) -> bool:
    return record.status != planned.status and not planned.is_poison


def _told(planned: Planned, record: TaskRecord) -> str:
    error = f", {record.error['type']}: {record.error['message']:.80}" if record.error else ""
    got = f"{record.status} {record.result} after {record.retry_count} retries{error}"
    return f"{planned.id} ({got}; expected {planned.status} {planned.result})"


def _examples(guilty: Sequence[str]) -> str:
    more = f" and {len(guilty) - _SHOWN} more" if len(guilty) > _SHOWN else ""
    return f"  {'; '.join(guilty[:_SHOWN])}{more}" if guilty else ""
