"""The command: `python -m bench`."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import against, contenders, facts, page, plot, report, scenarios
from .contender import OURS, Contender
from .figures import rounded
from .results import Reading, Results
from .runner import Runner
from .scenario import Scenario


def _rounds(text: str) -> int:
    """A number of rounds, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds; give 1 or more")
    return int(text)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="Measure Mini-Celery beside other task queues.")
    parser.add_argument("--rounds", type=_rounds, default=3, help="how often all is measured (3)")
    parser.add_argument("--scenarios", default="", help="only these, by name, with commas between")
    parser.add_argument("--contenders", default="", help="only these queues, or queue/setting, with commas between")
    parser.add_argument("--quick", action="store_true", help="small counts: whether all works, not how fast")
    parser.add_argument("--list", action="store_true", help="name the scenarios and the contenders")
    parser.add_argument(
        "--from", dest="stored", type=Path, help="make tables and plots of these results, not measuring"
    )
    parser.add_argument(
        "--page", type=Path, help="where the tables go, and beside it plots and results (docs/benchmarks.md)"
    )
    parser.add_argument(
        "--against", metavar="REVISION", help="compare us with an earlier self, known to git; writes no page"
    )
    parser.add_argument("--json", type=Path, help="where the results of this run alone go, as JSON")
    options = parser.parse_args(arguments)
    if options.against and options.page:
        parser.error("--against is for no page; give one of --against and --page (--json keeps what is measured)")
    if options.page and not options.page.is_file():
        parser.error(f"--page: there is no {options.page}; begin with a copy of the page")
    if not options.quick and not options.against:
        options.page = options.page or page.DEFAULT
    return options


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
            print(f"{scenario.name:14} {scenario.title}")
        for contender in taking_part:
            print(f"{contender.key:32} {contender.label}")
        return 0
    if options.stored:
        results = Results.load(options.stored)
    elif options.against:
        results = compared(chosen, taking_part, options)
    else:
        results = measured(chosen, taking_part, options)
        for scenario in chosen:
            print(f"\n{scenario.title}\n\n{report.table(results, scenario, taking_part)}")
    if options.json:
        results.save(options.json)
    if options.page:
        write(options.page, results)
    return 0


def write(where: Path, results: Results) -> None:
    """Put results into the page, its plots, and the file beside it. What they do not have stays as it was stored."""
    folder = page.folder_of(where)
    stored = Results.stored(page.results_of(where)).replaced_by(results)
    stored.save(page.results_of(where))
    blocks = report.blocks(stored, scenarios.ALL, contenders.ALL, folder.name)
    where.write_text(page.filled(where.read_text(encoding="utf-8"), blocks), encoding="utf-8")
    for scenario in scenarios.ALL:
        bars = plot.bars(stored, scenario, contenders.ALL)
        if bars:
            picture = plot.chart(scenario.title, scenario.columns[0].heading, bars)
            (folder / f"{scenario.name}.svg").write_text(picture, encoding="utf-8")
    print(f"\nThe tables are in {where}, plots and results in {folder}/.")


def measured(chosen: Sequence[Scenario], taking_part: Sequence[Contender], options: argparse.Namespace) -> Results:
    runner = Runner(taking_part, lambda sentence: print(sentence, flush=True), quick=options.quick)
    runner.install()
    results = Results(facts.of_machine(), facts.versions_of(dict.fromkeys(one.name for one in taking_part)))
    for reading in runner.run(chosen, options.rounds):
        results.readings.append(reading)
        print(told(reading), flush=True)
    return results


def compared(chosen: Sequence[Scenario], taking_part: Sequence[Contender], options: argparse.Namespace) -> Results:
    """Measure those of us beside what they were at another revision, and print by how much we are better."""
    ours = [one for one in taking_part if one.is_ours]
    if not ours:
        sys.exit(f"--against compares {OURS} with its earlier self; let --contenders name it, or leave that out")
    try:
        with against.package_of(options.against) as package:
            both = [other for one in ours for other in (one, against.earlier(one, package))]
            fitting = against.comparable(chosen, both)
            if not fitting:
                sys.exit(f"none of these scenarios can be compared: {', '.join(one.name for one in chosen)}")
            results = measured(fitting, both, options)
    except against.NoRevision as unknown:
        sys.exit(f"git has no package of ours at {options.against}: {unknown}")
    print(f"\n{against.table(results, fitting, ours)}")
    return results


def told(reading: Reading) -> str:
    """A reading in a line, while the run goes on."""
    figures = ", ".join(f"{name} {rounded(value)}" for name, value in reading.figures.items())
    return f"round {reading.round}  {reading.scenario:14} {reading.contender:32} {figures or 'failed'}"


def stop(number: int, frame: object) -> None:
    """On SIGTERM as on Ctrl-C: leave through whatever ends servers and workers."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
