"""Our own speed beside that of another revision of ours: whether a change has cost anything."""

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from . import report
from .contender import OURS, Contender
from .environments import ROOT
from .figures import Spread, ratio, rounded
from .results import Results
from .scenario import Column, Scenario
from .trial import INSIDE

BEFORE = "before"


class NoRevision(Exception):
    """What git does not know, in its words."""


@contextmanager
def package_of(revision: str) -> Iterator[Path]:
    """A folder with the package as it was then. It is measured by what measures ours now."""
    done = subprocess.run(["git", "-C", str(ROOT), "archive", revision, OURS], capture_output=True, check=False)
    if done.returncode:
        raise NoRevision(done.stderr.decode(errors="replace").strip())
    with tempfile.TemporaryDirectory(prefix="minicelery-before-") as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def earlier(one: Contender, package: Path) -> Contender:
    """One of ours with the package of the other revision. It is no longer ours to those who look at our own insides."""
    path = os.pathsep.join([str(INSIDE), str(package)])
    return replace(one, name=BEFORE, title="Before", environ={**one.environ, "PYTHONPATH": path})


def comparable(scenarios: Sequence[Scenario], both: Sequence[Contender]) -> list[Scenario]:
    """Those that both can take part in, to be measured in every round."""
    return [
        replace(one, once=False)
        for one in scenarios
        if any(contender.name == BEFORE for contender in one.those_of(both))
    ]


def table(results: Results, scenarios: Sequence[Scenario], ours: Sequence[Contender]) -> str:
    """A line for each figure: the median of ours, that of the other revision, and by how much ours is better, which is
    the median of what the rounds gave, each compared by itself."""
    lines = [report.line(["", "", "now", BEFORE, "now is better by"]), "|---|---|---|---|---|"]
    for scenario in scenarios:
        for one in scenario.those_of(ours):
            lines += [_compared(results, scenario, one, column) for column in scenario.columns]
    return "\n".join(lines)


def _compared(results: Results, scenario: Scenario, one: Contender, column: Column) -> str:
    now, before = (_figures(results, scenario, key, column) for key in (one.key, replace(one, name=BEFORE).key))
    better = [_better(column, now[number], before[number]) for number in now if before.get(number) and now[number]]
    cells = [_middle(now.values()), _middle(before.values()), f"× {_spread(better)}" if better else "–"]
    return report.line([f"{scenario.name}, {one.setting}", column.heading, *cells])


def _figures(results: Results, scenario: Scenario, key: str, column: Column) -> dict[int, float]:
    """Round → figure."""
    wanted = (one for one in results.readings if (one.scenario, one.contender) == (scenario.name, key))
    return {one.round: one.figures[column.figure] for one in wanted if column.figure in one.figures}


def _better(column: Column, now: float, before: float) -> float:
    return ratio(now, before) if column.more_is_better else ratio(before, now)


def _middle(values: Collection[float]) -> str:
    return rounded(Spread.of(values).median) if values else "–"


def _spread(values: Sequence[float]) -> str:
    found = Spread.of(values)
    return f"{found.median:.2f}" + (f" ({found.low:.2f} – {found.high:.2f})" if len(values) > 1 else "")
