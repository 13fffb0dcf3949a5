"""Results as tables in Markdown."""

from collections.abc import Sequence

from .contender import Contender
from .figures import Spread, rounded
from .results import Results
from .scenario import Scenario


def table(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> str:
    """One scenario: a row for each contender, best first by the first column; who failed stands last and says why."""
    if scenario.conditions:
        return _by_condition(results, scenario, contenders)
    rows = [(one, results.spreads(scenario.name, one.key)) for one in scenario.those_of(contenders)]
    best = scenario.columns[0]
    done = [row for row in rows if best.figure in row[1]]
    done.sort(key=lambda row: row[1][best.figure].median, reverse=best.more_is_better)
    lines = _head(scenario)
    for one, spreads in done:
        lines.append(_line([one.label, *(_cell(spreads, column.figure) for column in scenario.columns)]))
    for one, spreads in rows:
        failure = results.failure(scenario.name, one.key)
        if best.figure not in spreads and failure:
            lines.append(_line([one.label, f"– {failure}", *([""] * (len(scenario.columns) - 1))]))
    return "\n".join(lines)


def _by_condition(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> str:
    """A line for each condition, of every contender one behind the other."""
    lines = _head(scenario)
    for one in scenario.those_of(contenders):
        spreads = results.spreads(scenario.name, one.key)
        for name, words in scenario.conditions:
            lines.append(_line([words, *(_cell(spreads, f"{name}_{column.figure}") for column in scenario.columns)]))
    return "\n".join(lines)


def _head(scenario: Scenario) -> list[str]:
    return [_line(["", *(column.heading for column in scenario.columns)]), "|---" * (len(scenario.columns) + 1) + "|"]


def _cell(spreads: dict[str, Spread], figure: str) -> str:
    if figure not in spreads:
        return "–"
    spread = spreads[figure]
    if spread.low == spread.high:
        return rounded(spread.median)
    return f"{rounded(spread.median)} ({rounded(spread.low)} – {rounded(spread.high)})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"
