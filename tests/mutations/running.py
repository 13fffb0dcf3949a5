"""Runs tests on a copy of the project, with a mutation or without."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minicelery import launch

from .mutation import ROOT, Mutation

LIMIT = 60.0  #: seconds within which a mutation must be caught
_LEFT_OUT = (".*", "__pycache__", "*.egg-info", "build", "dist")
_FAILED = 1  #: pytest's exit code when tests ran and some failed; all others mean that something else is wrong


@dataclass(frozen=True)
class Verdict:
    """How the tests ended. ``caught_by`` is the test that failed; where none did, ``trouble`` says what happened."""

    caught_by: str = ""
    trouble: str = ""
    seconds: float = 0.0


def verdict_on(mutation: Mutation) -> Verdict:
    """Apply a mutation to a copy of the project and run its tests there."""
    with _copy() as root:
        try:
            text = mutation.applied_to(root)
        except ValueError as error:
            return Verdict(trouble=f"does not apply: {error}")
        (root / mutation.file).write_text(text, encoding="utf-8")
        started = time.monotonic()
        code, output = _pytest(root, mutation.tests, LIMIT)
        seconds = time.monotonic() - started
    failed = re.search(r"^(?:FAILED|ERROR) \S+?::(.+?)(?: - |$)", output, re.MULTILINE)
    if code == _FAILED and failed:
        return Verdict(caught_by=failed[1], seconds=seconds)
    return Verdict(trouble=_trouble(code, output), seconds=seconds)


def failure_without_mutation(tests: Iterable[str], limit: float) -> str:
    """What the same tests say of the code as it is: nothing if all pass."""
    with _copy() as root:
        ask = [sys.executable, "-c", "import minicelery; print(minicelery.__file__)"]
        where = subprocess.run(ask, cwd=root, env=_environ(root), stdout=subprocess.PIPE, text=True, check=True).stdout
        if not where.startswith(str(root)):
            return f"the tests would import {where.strip()} instead of the copy"
        code, output = _pytest(root, sorted(set(tests)), limit)
    return "" if code == 0 else output or _trouble(code, output)


def _trouble(code: int | None, output: str) -> str:
    if code is None:
        return f"no answer within {LIMIT:g} s"
    return "SURVIVED" if code == 0 else f"pytest ended with {code}:\n{output}"


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="minicelery-mutation-") as folder:
        root = Path(folder).resolve() / "project"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        yield root


def _pytest(root: Path, tests: Iterable[str], limit: float) -> tuple[int | None, str]:
    """Exit code (None: not within the limit) and output."""
    options = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "--timeout", f"{limit:.0f}"]
    command = [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in tests)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = launch.start(
            command, cwd=root, env=_environ(root), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            launch.kill(process)
        output.seek(0)
        return code, output.read()


def _environ(root: Path) -> dict[str, str]:
    """Whatever the tests start imports the copy as well."""
    return {**os.environ, "PYTHONPATH": str(root)}
