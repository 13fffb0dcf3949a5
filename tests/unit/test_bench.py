"""The parts of the benchmark that compute and write: figures, choices, tables."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench import __main__ as command
from bench import contenders, environments, figures, report, scenarios, trial
from bench.contender import Contender, in_list
from bench.results import Reading, Results
from bench.scenario import Column, Scenario
from bench.scenarios import drain, sockets

RATE = Scenario("drain", "Drain", (Column("rate", "tasks a second", more_is_better=True),), lambda _: {})


def contender(name: str) -> Contender:
    return Contender(
        name, name.title(), "2×5", f"with_{name}", (("-m", name),), in_list(name), pace=100, slots=10, keeps=True
    )


def results(**rates: list[float]) -> Results:
    readings = [
        Reading("drain", f"{name}/2×5", number, {"rate": rate})
        for name, given in rates.items()
        for number, rate in enumerate(given, 1)
    ]
    return Results(readings=readings)


def test_several_rounds_become_the_median_and_the_range() -> None:
    assert figures.Spread.of([3.0, 9.0, 1.0]) == figures.Spread(3.0, 1.0, 9.0)


def test_a_ratio_to_nothing_is_infinite() -> None:
    assert figures.ratio(6.0, 2.0) == 3.0
    assert figures.ratio(6.0, 0.0) == float("inf")


def test_a_share_of_the_values_lies_at_or_below_it() -> None:
    values = [float(value) for value in range(100, -1, -1)]

    assert [figures.share(values, part) for part in (0.0, 0.5, 0.99, 1.0)] == [0.0, 50.0, 99.0, 100.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (4.567, "4.57"),
        (99.95, "100"),
        (123.4, "123"),
        (36_512.7, "36,500"),
        (float("nan"), "–"),
    ],
)
def test_numbers_for_people_have_three_digits(value: float, text: str) -> None:
    assert figures.rounded(value) == text


def test_a_table_has_the_best_first_and_who_failed_last_with_the_reason() -> None:
    found = results(huey=[40.0, 50.0, 45.0], ours=[200.0])
    found.readings.append(Reading("drain", "rq/2×5", 1, failure="it would | not start"))

    table = report.table(found, RATE, [contender("rq"), contender("huey"), contender("ours")])

    assert table.splitlines()[2:] == [
        "| Ours, 2×5 | 200 |",
        "| Huey, 2×5 | 45 (40 – 50) |",
        "| Rq, 2×5 | – it would / not start |",
    ]


def test_where_one_setting_is_enough_the_one_made_for_the_scenario_stands_for_its_queue() -> None:
    plain, ours = contender("huey"), contender("ours")
    other = replace(plain, setting="9")
    made_for_it = replace(plain, setting="notify", only=("latency",))
    latency = replace(RATE, name="latency", one_setting=True)

    assert latency.those_of([plain, other, made_for_it]) == [made_for_it]
    assert replace(RATE, one_setting=True).those_of([plain, other, made_for_it]) == [plain]
    assert RATE.those_of([plain, made_for_it]) == [plain]
    assert replace(RATE, names=("ours",)).those_of([plain, ours]) == [ours]


def test_where_keeping_tasks_matters_a_queue_takes_part_in_a_setting_that_keeps_them() -> None:
    fast, careful = replace(contender("celery"), keeps=False), replace(contender("celery"), setting="late")

    assert replace(RATE, one_setting=True).those_of([fast, careful]) == [fast]
    assert replace(RATE, one_setting=True, reliable=True).those_of([fast, careful]) == [careful]
    assert replace(RATE, one_setting=True, reliable=True).those_of([fast]) == [fast]


def test_what_a_worker_has_started_ends_with_its_session_even_where_its_parent_is_gone() -> None:
    orphan = "import os, time; os.fork() and os._exit(0); os.setpgrp(); print(os.getpid(), flush=True); time.sleep(60)"
    leader = subprocess.Popen([sys.executable, "-c", orphan], stdout=subprocess.PIPE, start_new_session=True, text=True)
    assert leader.stdout is not None
    with leader.stdout as said:
        pid = int(said.readline())
    leader.wait()

    trial.kill_session(leader.pid)

    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    found = results(huey=[40.0])
    found.facts["cores"] = "2"
    found.save(tmp_path / "deep" / "results.json")

    assert Results.load(tmp_path / "deep" / "results.json") == found


def test_a_rate_is_taken_over_the_middle_of_the_backlog() -> None:
    booting = [(0.0, 0), (1.0, 0)]
    steady = [(2.0 + step / 10, 10 * step) for step in range(11)]
    last_straggler = [(9.0, 100)]

    assert drain.rate_of([*booting, *steady, *last_straggler], 100) == pytest.approx(100.0)


def test_a_backlog_that_is_gone_between_two_looks_still_has_a_rate() -> None:
    assert drain.rate_of([(0.0, 0), (0.5, 100)], 100) == pytest.approx(200.0)


def test_a_request_counts_as_during_if_it_meets_a_round_of_events() -> None:
    record = sockets.Record(windows=[(10.0, 11.0), (20.0, 21.0)])
    record.requests = [(8.0, 9.5), (9.5, 10.5), (10.2, 10.4), (10.5, 20.5), (20.0, 22.0), (22.0, 23.0)]

    assert record.times(during=True) == pytest.approx([1.0, 0.2, 10.0, 2.0])
    assert record.times(during=False) == [1.5, 1.0]


def test_every_contender_and_scenario_can_be_chosen_by_one_name() -> None:
    keys = [one.key for one in contenders.ALL]
    names = [one.name for one in scenarios.ALL]

    assert len(set(keys)) == len(keys)
    assert len(set(names)) == len(names)
    assert [one.key for one in command.chosen_contenders(keys[1])] == [keys[1]]
    assert {one.name for one in command.chosen_contenders("huey,minicelery")} == {"huey", "minicelery"}
    assert [one.name for one in command.chosen_scenarios("drain")] == ["drain"]


def test_a_wrong_name_is_told_with_the_right_ones() -> None:
    with pytest.raises(SystemExit, match=r"no contender hue; there are: minicelery/"):
        command.chosen_contenders("hue")
    with pytest.raises(SystemExit, match=r"no scenario drian; there are: drain"):
        command.chosen_scenarios("drian")


def test_every_peer_pins_its_own_version_and_ours_needs_no_environment() -> None:
    peers = {one.name for one in contenders.ALL} - {"minicelery", "ideal"}

    assert environments.pins_of("minicelery") == ""
    assert all(peer in "".join(environments.versions_of(peer)) for peer in peers)


@pytest.mark.parametrize("rounds", ["0", "-1", "x", "1.5", ""])
def test_what_is_no_number_of_rounds_is_refused_with_the_reason(
    rounds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.parse([f"--rounds={rounds}"])

    assert "give 1 or more" in capsys.readouterr().err


def test_a_page_that_is_not_there_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["--page=/no/such/page.md"])

    assert "begin with a copy of the page" in capsys.readouterr().err
