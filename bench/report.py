"""Results as tables in Markdown."""

from collections.abc import Mapping, Sequence

from . import plot
from .contender import Contender
from .figures import Spread, ratio, rounded
from .results import Results
from .scenario import Column, Scenario


def blocks(
    results: Results, scenarios: Sequence[Scenario], contenders: Sequence[Contender], plots: str
) -> dict[str, str]:
    """What goes into each place of the document: the machine, who takes part, a table and a plot for each scenario.

    ``plots`` is the folder of the plots, as seen from the document.
    """
    found = {"machine": machine(results), "contenders": settings(results, contenders)}
    for scenario in scenarios:
        found[scenario.name] = table(results, scenario, contenders)
        if plot.bars(results, scenario, contenders):
            found[scenario.name] += f"\n\n![{scenario.title}]({plots}/{scenario.name}.svg)"
    return found


def machine(results: Results) -> str:
    return _grid(["", ""], [[name, value] for name, value in results.facts.items()])


def settings(results: Results, contenders: Sequence[Contender]) -> str:
    """Who takes part: version, setting, what a kill does to its tasks, how its workers are started."""
    heading = ["", "version", "survives kill -9", "workers", "environment"]
    return _grid(heading, [_setting(one, results) for one in contenders])


def _setting(one: Contender, results: Results) -> list[str]:
    commands = dict.fromkeys(f"`{' '.join(_shown(command))}`" for command in one.commands)
    times = f" × {len(one.commands)}" if len(commands) < len(one.commands) else ""
    environ = " ".join(f"{name}={value}" for name, value in one.environ.items() if value)
    kept = "yes" if one.keeps else "no: it loses tasks"
    version = results.versions.get(one.name, "not measured")
    return [one.label, version, kept, "<br>".join(commands) + times, f"`{environ}`" if environ else ""]


def _shown(command: Sequence[str]) -> Sequence[str]:
    return command[1:] if command[0] == "-m" else command


def table(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> str:
    """One scenario; a sentence if nobody was measured in it."""
    taking_part = scenario.those_of(contenders)
    if not any(results.has(scenario.name, one.key) for one in taking_part):
        return f"Not measured yet: `python3 dev.py bench --scenarios {scenario.name}`."
    return (by_condition if scenario.conditions else ranking)(results, scenario, taking_part)


def ranking(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> str:
    """A row for each contender, best first by the first column; who failed stands last and says why."""
    rows = [(one, results.spreads(scenario.name, one.key)) for one in contenders]
    best = scenario.columns[0]
    done = [row for row in rows if best.figure in row[1]]
    done.sort(key=lambda row: row[1][best.figure].median, reverse=best.more_is_better)
    ours = next((spreads[best.figure].median for one, spreads in done if one.is_ours), None)
    is_compared = ours is not None and any(not one.is_ours for one, _ in done)
    heading = ["", *(column.heading for column in scenario.columns), *(["ours is better by"] if is_compared else [])]
    lines = []
    for one, spreads in done:
        cells = [one.label, *(cell(spreads.get(column.figure)) for column in scenario.columns)]
        if ours is not None and is_compared:
            cells.append("" if one.is_ours else advantage(best, ours, spreads[best.figure].median))
        lines.append(cells)
    for one, spreads in rows:
        failure = results.failure(scenario.name, one.key)
        if best.figure not in spreads and failure:
            lines.append(_failed(one, failure, len(heading) - 1))
    return _grid(heading, lines)


def by_condition(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> str:
    """A line for each condition, of every contender one behind the other, with the ratio to the first condition."""
    lines = []
    for one in contenders:
        spreads = results.spreads(scenario.name, one.key)
        if not spreads:
            lines.append(_failed(one, results.failure(scenario.name, one.key), len(scenario.columns)))
        for name, words in scenario.conditions if spreads else ():
            lines.append([words, *(_compared(spreads, scenario, name, column) for column in scenario.columns)])
    return _grid(["", *(column.heading for column in scenario.columns)], lines)


def _compared(spreads: Mapping[str, Spread], scenario: Scenario, name: str, column: Column) -> str:
    first = scenario.conditions[0][0]
    found, base = spreads.get(f"{name}_{column.figure}"), spreads.get(f"{first}_{column.figure}")
    if not found or not base or not column.is_compared or name == first:
        return cell(found)
    return f"{cell(found)}, × {ratio(found.median, base.median):.2f}"


def _failed(one: Contender, failure: str, width: int) -> list[str]:
    return [one.label, f"– {failure}", *([""] * (width - 1))]


def advantage(column: Column, ours: float, theirs: float) -> str:
    """How many times ours is the better one; below 1 where it loses. Nothing where there is a zero to compare with."""
    if not ours or not theirs:
        return ""
    return f"× {rounded(ratio(ours, theirs) if column.more_is_better else ratio(theirs, ours))}"


def cell(spread: Spread | None) -> str:
    """The median, and the range where there is one."""
    if spread is None:
        return "–"
    if spread.low == spread.high:
        return rounded(spread.median)
    return f"{rounded(spread.median)} ({rounded(spread.low)} – {rounded(spread.high)})"


def _grid(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([line(heading), "|---" * len(heading) + "|", *map(line, rows)])


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"
