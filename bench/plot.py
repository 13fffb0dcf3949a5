"""Bar charts as SVG, plain enough to be read in light and in dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .contender import Contender
from .figures import Spread, rounded
from .results import Results
from .scenario import Scenario

WIDTH, LABELS, VALUES = 760, 250, 150
ROW, BAR, TOP = 26, 16, 44
#: Greys and colours that are told apart on white as well as on black.
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.unit, .failed { fill: #6e7781; }
.ours { fill: #1a7f5a; } .other { fill: #8c9bab; } .range { stroke: #24292f; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .unit, .failed { fill: #9198a1; }
  .ours { fill: #3fb68b; } .other { fill: #6b7785; } .range { stroke: #e6edf3; }
}"""


@dataclass(frozen=True)
class Bar:
    """One contender; without a spread it has failed."""

    label: str
    spread: Spread | None
    is_ours: bool


def bars(results: Results, scenario: Scenario, contenders: Sequence[Contender]) -> list[Bar]:
    """All that were measured, best first by the first figure; then who failed. None where nobody is compared."""
    figure = scenario.columns[0]
    found = [
        Bar(one.label, results.spreads(scenario.name, one.key).get(figure.figure), one.is_ours)
        for one in scenario.those_of(contenders)
        if results.has(scenario.name, one.key)
    ]
    if len(found) < 2:
        return []
    sign = -1 if figure.more_is_better else 1
    return sorted(found, key=lambda bar: (bar.spread is None, sign * bar.spread.median if bar.spread else 0.0))


def chart(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """The chart. Its axis begins at zero, each bar has its value, a line across its end shows the range."""
    most = max((bar.spread.high for bar in bars if bar.spread), default=0.0)
    scale = (WIDTH - LABELS - VALUES) / most if most else 0.0
    height = TOP + ROW * len(bars) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<text class="title" x="8" y="18">{escape(title)}</text>',
        f'<text class="unit" x="{LABELS}" y="36">{escape(unit)}</text>',
    ]
    for place, bar in enumerate(bars):
        lines += _bar(bar, TOP + ROW * place, scale)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(bar: Bar, top: int, scale: float) -> list[str]:
    middle = top + BAR / 2
    label = f'<text x="{LABELS - 10}" y="{middle + 5:g}" text-anchor="end">{escape(bar.label)}</text>'
    if bar.spread is None:
        return [label, f'<text class="failed" x="{LABELS}" y="{middle + 5:g}">–</text>']
    length, low, high = (round(scale * value, 1) for value in (bar.spread.median, bar.spread.low, bar.spread.high))
    kind = "ours" if bar.is_ours else "other"
    drawn = [label, f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{max(length, 1):g}" height="{BAR}"/>']
    if high > low:
        ends = f'x1="{LABELS + low:g}" x2="{LABELS + high:g}" y1="{middle:g}" y2="{middle:g}"'
        drawn.append(f'<line class="range" {ends}/>')
    value = rounded(bar.spread.median)
    return [*drawn, f'<text x="{LABELS + max(length, high) + 8:g}" y="{middle + 5:g}">{value}</text>']
