"""The benchmark works: our own contender through small counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contender import WEB

ROOT = Path(__file__).parents[2]


def test_a_quick_run_of_our_own_contender_prints_a_table_and_keeps_the_results(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    options = ["--quick", "--rounds", "1", "--scenarios", "drain", "--contenders", "minicelery/2×5 threads"]

    command = [sys.executable, "-m", "bench", *options, "--json", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "| Mini-Celery, 2×5 threads |" in done.stdout
    [reading] = json.loads(kept.read_text())["readings"]
    assert reading["figures"]["rate"] > 0


def test_a_quick_run_over_http_sends_reads_and_sends_many(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    options = ["--quick", "--rounds", "1", "--scenarios", ",".join(WEB), "--contenders", "minicelery"]

    command = [sys.executable, "-m", "bench", *options, "--json", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    found = {reading["scenario"]: reading["figures"] for reading in json.loads(kept.read_text())["readings"]}
    assert found.keys() == set(WEB)
    assert all(figures["rate"] > 0 and figures["p50"] <= figures["p99"] for figures in found.values()), done.stdout
    assert [found[name]["tasks"] for name in WEB] == [1, 1, 100]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when bytes came in")
@pytest.mark.parametrize(("name", "subscriptions"), [("sockets-one", 1), ("sockets-many", 200)])
def test_a_quick_run_of_sockets_has_all_figures_over_one_connection(
    name: str, subscriptions: int, tmp_path: Path
) -> None:
    kept = tmp_path / "results.json"
    options = ["--quick", "--rounds", "1", "--scenarios", name, "--contenders", "minicelery", "--json", str(kept)]

    command = [sys.executable, "-m", "bench", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    [reading] = json.loads(kept.read_text())["readings"]
    figures = reading["figures"]
    assert (figures["sockets"], figures["subscriptions"], figures["connections"]) == (200, subscriptions, 1)
    assert 0 < figures["arrival_p50"] <= figures["arrival_p99"]
    assert figures["ratio"] > 0
