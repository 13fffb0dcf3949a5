"""The command: `python -m bench`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import contenders, report, scenarios
from .contender import Contender
from .figures import rounded
from .results import Reading, Results
from .runner import Runner
from .scenario import Scenario


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="Measure Mini-Celery beside other task queues.")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured (3)")
    parser.add_argument("--scenarios", default="", help="only these, by name, with commas between")
    parser.add_argument("--contenders", default="", help="only these queues, or queue/setting, with commas between")
    parser.add_argument("--quick", action="store_true", help="small counts: whether all works, not how fast")
    parser.add_argument("--list", action="store_true", help="name the scenarios and the contenders")
    parser.add_argument("--from", dest="stored", type=Path, help="make the tables of a file of results, not measuring")
    parser.add_argument("--json", type=Path, help="where the results go, as JSON")
    return parser.parse_args(arguments)


def chosen_scenarios(names: str) -> list[Scenario]:
    """Those named, or all. A wrong name is told with the right ones."""
    wanted = [name for name in names.split(",") if name]
    known = {scenario.name: scenario for scenario in scenarios.ALL}
    for name in wanted:
        if name not in known:
            sys.exit(f"no scenario {name}; there are: {', '.join(known)}")
    return [known[name] for name in wanted or known]


def chosen_contenders(names: str) -> list[Contender]:
    """Those of the queues or settings named, or all."""
    wanted = [name for name in names.split(",") if name]
    for name in wanted:
        if all(name not in (one.name, one.key) for one in contenders.ALL):
            sys.exit(f"no contender {name}; there are: {', '.join(one.key for one in contenders.ALL)}")
    return [one for one in contenders.ALL if not wanted or one.name in wanted or one.key in wanted]


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    chosen, taking_part = chosen_scenarios(options.scenarios), chosen_contenders(options.contenders)
    if options.list:
        for scenario in chosen:
            print(f"{scenario.name:12} {scenario.title}")
        for contender in taking_part:
            print(f"{contender.key:32} {contender.label}")
        return 0
    results = Results.load(options.stored) if options.stored else Results()
    if not options.stored:
        measure(results, chosen, taking_part, options)
    for scenario in chosen:
        print(f"\n{scenario.title}\n\n{report.table(results, scenario, taking_part)}")
    if options.json:
        results.save(options.json)
    return 0


def measure(
    results: Results, chosen: Sequence[Scenario], taking_part: Sequence[Contender], options: argparse.Namespace
) -> None:
    runner = Runner(taking_part, lambda sentence: print(sentence, flush=True), quick=options.quick)
    runner.install()
    for reading in runner.run(chosen, options.rounds):
        results.readings.append(reading)
        print(told(reading), flush=True)


def told(reading: Reading) -> str:
    """A reading in a line, while the run goes on."""
    figures = ", ".join(f"{name} {rounded(value)}" for name, value in reading.figures.items())
    return f"round {reading.round}  {reading.scenario:12} {reading.contender:32} {figures or 'failed'}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
