"""Results as tables in Markdown."""

from collections.abc import Sequence

from .contender import Contender
from .figures import Spread, rounded
from .results import Results
from .scenario import Column, Scenario


def table(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> str:
    """One scenario: a row for each contender, best first by the first column; who failed stands last and says why."""
    rows = [(one, results.spreads(scenario.name, one.key)) for one in contenders]
    best = scenario.columns[0]
    done = [row for row in rows if best.figure in row[1]]
    done.sort(key=lambda row: row[1][best.figure].median, reverse=best.more_is_better)
    lines = [_line(["", *(column.heading for column in scenario.columns)])]
    lines.append("|---" * (len(scenario.columns) + 1) + "|")
    lines += [_line([one.label, *(_cell(spreads, column) for column in scenario.columns)]) for one, spreads in done]
    for one, spreads in rows:
        failure = results.failure(scenario.name, one.key)
        if best.figure not in spreads and failure:
            lines.append(_line([one.label, f"failed: {failure}", *([""] * (len(scenario.columns) - 1))]))
    return "\n".join(lines)


def _cell(spreads: dict[str, Spread], column: Column) -> str:
    if column.figure not in spreads:
        return "–"
    spread = spreads[column.figure]
    if spread.low == spread.high:
        return rounded(spread.median)
    return f"{rounded(spread.median)} ({rounded(spread.low)} – {rounded(spread.high)})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"
