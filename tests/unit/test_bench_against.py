"""The benchmark beside an earlier self: what takes part, and what is made of the figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import against, contenders, scenarios
from bench.results import Reading, Results
from bench.scenario import Column, Scenario
from bench.trial import INSIDE

OURS = next(one for one in contenders.ALL if one.is_ours)
COLUMNS = (Column("rate", "tasks a second", more_is_better=True), Column("cpu", "µs"))
DRAIN = Scenario("drain", "Drain", COLUMNS, lambda _: {})


def test_an_earlier_self_runs_with_the_package_of_its_time_and_takes_no_part_in_what_looks_inside_ours() -> None:
    before = against.earlier(OURS, Path("/then"))

    assert before.environ["PYTHONPATH"].split(":") == [str(INSIDE), "/then"]
    assert not before.is_ours
    fitting = {one.name for one in against.comparable(scenarios.ALL, [OURS, before])}
    assert {"drain", "enqueue", "latency", "cost", "eta"} <= fitting
    assert not fitting & {"ideal", "growth", "limits-ready", "sockets-one"}


def test_each_round_is_compared_by_itself_and_more_than_one_is_better() -> None:
    before = replace(OURS, name=against.BEFORE)
    readings = [
        Reading("drain", one.key, number, {"rate": rate, "cpu": cpu})
        for one, figures in ((OURS, [(90.0, 20.0), (200.0, 10.0)]), (before, [(100.0, 10.0), (100.0, 10.0)]))
        for number, (rate, cpu) in enumerate(figures, 1)
    ]

    assert against.table(Results(readings=readings), [DRAIN], [OURS]).splitlines()[2:] == [
        f"| drain, {OURS.setting} | tasks a second | 145 | 100 | × 1.45 (0.90 – 2.00) |",
        f"| drain, {OURS.setting} | µs | 15 | 10 | × 0.75 (0.50 – 1.00) |",
    ]


def test_what_failed_is_compared_with_nothing() -> None:
    readings = [Reading("drain", OURS.key, 1, failure="it would not start")]

    line = against.table(Results(readings=readings), [DRAIN], [OURS]).splitlines()[2]

    assert line == f"| drain, {OURS.setting} | tasks a second | – | – | – |"


def test_the_package_of_another_revision_is_there_while_it_is_measured() -> None:
    with against.package_of("HEAD") as package:
        assert (package / "minicelery" / "app.py").exists()

    assert not package.exists()


def test_what_git_does_not_know_is_refused_in_its_words() -> None:
    with pytest.raises(SystemExit, match="no-such-revision"):
        command.main(["--against", "no-such-revision", "--quick"])


def test_a_comparison_writes_no_page() -> None:
    assert command.parse(["--against", "HEAD"]).page is None


def test_a_comparison_for_a_page_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["--against", "HEAD", "--page", "docs/benchmarks.md"])

    assert "give one of --against and --page" in capsys.readouterr().err


def test_a_comparison_in_which_we_take_no_part_is_refused() -> None:
    with pytest.raises(SystemExit, match="--against compares minicelery with its earlier self"):
        command.main(["--against", "HEAD", "--contenders", "huey"])


def test_a_comparison_by_scenarios_that_an_earlier_self_takes_no_part_in_is_refused() -> None:
    with pytest.raises(SystemExit, match="none of these scenarios can be compared: growth"):
        command.main(["--against", "HEAD", "--scenarios", "growth"])
