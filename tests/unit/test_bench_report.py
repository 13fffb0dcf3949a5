"""The tables, plots and the page that the benchmark writes."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import __main__ as command
from bench import contenders, facts, page, plot, report, scenarios
from bench.contender import Contender, in_list
from bench.figures import Spread
from bench.results import Reading, Results
from bench.scenario import Column, Scenario

RATE = Scenario("drain", "Drain", (Column("rate", "tasks a second", more_is_better=True),), lambda _: {})
COST = Scenario("cost", "Cost", (Column("cost", "µs"),), lambda _: {})
SIZES = (("few", "10 wait"), ("many", "All wait"))
GROWTH = Scenario("growth", "Growth", (Column("cost", "enqueue, µs"),), lambda _: {}, conditions=SIZES)


def contender(name: str) -> Contender:
    commands = (("-m", name, "worker"), ("-m", name, "worker"))
    return Contender(name, name.title(), "2×5", f"with_{name}", commands, in_list(name), pace=100, slots=10, keeps=True)


OURS, HUEY, RQ = contender("minicelery"), contender("huey"), contender("rq")


def reading(scenario: Scenario, one: Contender, number: int = 1, **values: float) -> Reading:
    return Reading(scenario.name, one.key, number, values)


@pytest.fixture
def drained() -> Results:
    return Results(
        {"Kernel": "Linux 6"},
        {"huey": "3.5.4 (redis 8.1.0)"},
        [
            *(reading(RATE, OURS, number, rate=rate) for number, rate in enumerate((900.0, 1100.0, 1000.0), 1)),
            reading(RATE, HUEY, rate=250.0),
            Reading(RATE.name, RQ.key, 1, failure="it would not start"),
        ],
    )


def test_each_row_says_how_many_times_ours_is_better(drained: Results) -> None:
    drained.readings += [reading(COST, OURS, cost=20.0), reading(COST, HUEY, cost=10.0)]

    assert report.table(drained, RATE, [RQ, HUEY, OURS]).splitlines() == [
        "|  | tasks a second | ours is better by |",
        "|---|---|---|",
        "| Minicelery, 2×5 | 1,000 (900 – 1,100) |  |",
        "| Huey, 2×5 | 250 | × 4 |",
        "| Rq, 2×5 | – it would not start |  |",
    ]
    assert report.table(drained, COST, [HUEY, OURS]).splitlines()[2:] == [
        "| Huey, 2×5 | 10 | × 0.5 |",
        "| Minicelery, 2×5 | 20 |  |",
    ]


def test_nothing_is_many_times_better_than_a_zero() -> None:
    found = Results(readings=[reading(COST, OURS, cost=0.0), reading(COST, HUEY, cost=10.0)])

    assert report.table(found, COST, [HUEY, OURS]).splitlines()[2:] == [
        "| Minicelery, 2×5 | 0 |  |",
        "| Huey, 2×5 | 10 |  |",
    ]


def test_each_condition_is_compared_with_the_first() -> None:
    found = Results(readings=[reading(GROWTH, OURS, few_cost=20.0, many_cost=25.0)])

    assert report.table(found, GROWTH, [OURS]).splitlines() == [
        "|  | enqueue, µs |",
        "|---|---|",
        "| 10 wait | 20 |",
        "| All wait | 25, × 1.25 |",
    ]


def test_what_conditions_are_not_compared_by_stands_alone() -> None:
    alone = replace(GROWTH, columns=(replace(GROWTH.columns[0], is_compared=False),))
    found = Results(readings=[reading(GROWTH, OURS, few_cost=20.0, many_cost=25.0)])

    assert report.table(found, alone, [OURS]).splitlines()[3] == "| All wait | 25 |"


def test_a_comparison_of_conditions_that_failed_says_why() -> None:
    found = Results(readings=[Reading(GROWTH.name, OURS.key, 1, failure="no room")])

    assert report.table(found, GROWTH, [OURS]).splitlines()[2:] == ["| Minicelery, 2×5 | – no room |"]


def test_what_was_not_measured_says_how_to() -> None:
    assert "--scenarios drain" in report.table(Results(), RATE, [OURS])


def test_who_takes_part_stands_there_with_version_setting_and_command(drained: Results) -> None:
    assert report.settings(drained, [HUEY]).splitlines()[2:] == [
        "| Huey, 2×5 | 3.5.4 (redis 8.1.0) | yes | `huey worker` × 2 |  |"
    ]


def test_a_partial_run_replaces_what_it_measured_and_nothing_else(drained: Results) -> None:
    newer = Results({"Kernel": "Linux 7"}, {"rq": "3.0"}, [reading(RATE, RQ, rate=50.0), reading(COST, HUEY, cost=1.0)])

    found = drained.replaced_by(newer)

    assert found.facts == {"Kernel": "Linux 7"}
    assert found.versions == {"huey": "3.5.4 (redis 8.1.0)", "rq": "3.0"}
    assert found.spreads(RATE.name, OURS.key)["rate"] == Spread(1000.0, 900.0, 1100.0)
    assert found.spreads(RATE.name, RQ.key)["rate"].median == 50.0
    assert found.failure(RATE.name, RQ.key) == ""
    assert len(found.readings) == len(drained.readings) + 1


def test_what_was_measured_on_several_days_says_from_when_to_when(drained: Results) -> None:
    drained.facts["Measured"] = "2026-11-24"
    for day in ("2026-11-25", "2026-11-26"):
        drained = drained.replaced_by(Results({"Measured": day}, {}, [reading(COST, HUEY, cost=1.0)]))
    again = drained.replaced_by(Results({"Measured": "2026-11-27"}, {}, drained.readings))

    assert drained.facts["Measured"] == "2026-11-24 to 2026-11-26"
    assert again.facts["Measured"] == "2026-11-27"


def test_only_what_lies_between_two_marks_is_replaced() -> None:
    idle = "<!-- begin: idle -->\nkept\n<!-- end: idle -->\n"
    text = f"# Title\n<!-- begin: drain -->\nold\n<!-- end: drain -->\nprose\n{idle}"

    once = page.filled(text, {"drain": "| new \\1 |"})

    assert once == text.replace("old", "\n| new \\1 |\n")
    assert page.filled(once, {"drain": "| new \\1 |"}) == once


def test_a_block_without_a_place_is_not_dropped_silently() -> None:
    with pytest.raises(page.NoPlace, match="<!-- begin: NAME -->"):
        page.filled("# Title\n", {"drain": "| 1 |"})


def test_the_document_has_a_place_for_everything_that_is_measured() -> None:
    places = page.places(page.DEFAULT.read_text(encoding="utf-8"))

    assert {*report.blocks(Results(), scenarios.ALL, contenders.ALL, "benchmarks")} <= {*places}
    assert len(places) == len({*places})


def test_bars_stand_best_first_with_their_values_and_failures_last(drained: Results) -> None:
    bars = plot.bars(drained, RATE, [RQ, HUEY, OURS])
    drawing = plot.chart("Drain <no-op>", "tasks a second", bars)
    texts = [text.text for text in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]

    assert texts == [
        *("Drain <no-op>", "tasks a second"),
        *("Minicelery, 2×5", "1,000", "Huey, 2×5", "250", "Rq, 2×5", "–"),
    ]
    assert drawing.count('class="ours"') == 1


def test_bars_are_as_long_as_their_values_and_less_is_first_where_it_is_better() -> None:
    found = Results(readings=[reading(COST, OURS, cost=20.0), reading(COST, HUEY, cost=5.0)])

    bars = plot.bars(found, COST, [OURS, HUEY])
    drawing = ElementTree.fromstring(plot.chart("Cost", "µs", bars))
    widths = [float(bar.attrib["width"]) for bar in drawing.iter("{http://www.w3.org/2000/svg}rect")]

    assert [bar.label for bar in bars] == ["Huey, 2×5", "Minicelery, 2×5"]
    assert widths[1] == pytest.approx(4 * widths[0])


def test_stored_results_become_page_and_plots_without_measuring(tmp_path: Path) -> None:
    ours = next(one for one in contenders.ALL if one.is_ours)
    where, stored = tmp_path / "page.md", tmp_path / "stored.json"
    where.write_text(page.DEFAULT.read_text(encoding="utf-8"), encoding="utf-8")
    peer = next(one for one in contenders.ALL if one.name == "huey")
    Results(readings=[reading(RATE, ours, rate=1234.0), reading(RATE, peer, rate=617.0)]).save(stored)

    assert command.main(["--from", str(stored), "--page", str(where)]) == 0

    assert f"| {ours.label} | 1,230 | – |  |\n| {peer.label} | 617 | – | × 2 |\n\n![" in where.read_text(
        encoding="utf-8"
    )
    assert "1,230" in (tmp_path / "page" / "drain.svg").read_text(encoding="utf-8")
    assert Results.load(tmp_path / "page" / "results.json") == Results.load(stored)


def test_a_quick_run_writes_no_page_unless_it_is_told_to() -> None:
    assert command.parse([]).page == page.DEFAULT
    assert command.parse(["--quick"]).page is None
    assert command.parse(["--quick", "--page", str(page.DEFAULT)]).page == page.DEFAULT


def test_every_queue_has_a_version_of_its_own_and_of_its_client() -> None:
    found = facts.versions_of(one.name for one in contenders.ALL)

    for name, version in found.items():
        assert version[0].isdigit(), name
        assert "redis " in version, name
