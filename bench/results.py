"""What was measured, as JSON: tables can be made of it again without measuring."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from .figures import Spread


@dataclass(frozen=True)
class Reading:
    """The figures of one trial, or why there are none."""

    scenario: str
    contender: str
    round: int
    figures: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


@dataclass
class Results:
    """All readings of a run; ``facts`` are of the machine and the server, ``versions`` of each queue."""

    facts: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)

    def spreads(self, scenario: str, contender: str) -> dict[str, Spread]:
        """Each figure of a contender over all rounds in which it has one."""
        found: dict[str, list[float]] = {}
        for reading in self._of(scenario, contender):
            for name, value in reading.figures.items():
                found.setdefault(name, []).append(value)
        return {name: Spread.of(values) for name, values in found.items()}

    def has(self, scenario: str, contender: str) -> bool:
        """Whether it was measured, be it without success."""
        return any(True for _ in self._of(scenario, contender))

    def replaced_by(self, newer: "Results") -> "Results":
        """These, but what was measured again with its newer readings only."""
        again = {(one.scenario, one.contender) for one in newer.readings}
        kept = [one for one in self.readings if (one.scenario, one.contender) not in again]
        facts, versions = {**self.facts, **newer.facts}, {**self.versions, **newer.versions}
        since, till = self.facts.get("Measured", "")[:10], newer.facts.get("Measured", "")
        if kept and since not in ("", till):
            facts["Measured"] = f"{since} to {till}"
        return Results(facts, versions, kept + newer.readings)

    def failure(self, scenario: str, contender: str) -> str:
        """Why it has no figures: the last reason that it gave."""
        return next((one.failure for one in reversed([*self._of(scenario, contender)]) if one.failure), "")

    def _of(self, scenario: str, contender: str) -> Iterator[Reading]:
        return (one for one in self.readings if (one.scenario, one.contender) == (scenario, contender))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def stored(cls, path: Path) -> Self:
        """Those of a file, or none if there is no such file yet."""
        return cls.load(path) if path.exists() else cls()

    @classmethod
    def load(cls, path: Path) -> Self:
        stored = json.loads(path.read_text(encoding="utf-8"))
        readings = [Reading(**reading) for reading in stored["readings"]]
        return cls(stored["facts"], stored["versions"], readings)
