"""Lint, format and types are tests like any other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_code_keeps_the_rules(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_callers_of_delay_are_checked_against_the_functions_signature(tmp_path: Path) -> None:
    program = tmp_path / "caller.py"
    program.write_text(
        "from minicelery import MiniCelery, TaskContext\n"
        "app = MiniCelery('types')\n"
        "@app.task(max_retries=3, retry_backoff=True)\n"
        "def add(x: int, y: int) -> int: return x + y\n"
        "@app.task(bind=True)\n"
        "def report(self: TaskContext, path: str) -> None: ...\n"
        "reveal_type(add.delay(1, 2).get())\n"
        "add.delay(1)\n"
        "add.delay('a', 2)\n"
        "report.delay('p')\n"
        "report.delay()\n"
        "add.apply_async((1, 2), countdwn=3)\n"
        "app.submit_many([add.s(1, 2)])\n"
    )

    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    told = re.findall(r"caller\.py:(\d+): (?:error|note: Revealed)(.*)", done.stdout)
    assert [int(line) for line, _ in told] == [7, 8, 9, 11, 12], done.stdout
    assert '"int"' in told[0][1]
