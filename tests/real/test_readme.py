"""The README's commands answer as printed there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stack import Stack, wait_until

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ (curl (?:.*\\\n)*.*)\n(\S.*)$", README, re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH; install it to run this test")
def test_the_curl_lines_answer_as_printed() -> None:
    assert len(CALLS) == 5
    with Stack() as stack:
        for command, printed in CALLS:
            command = command.replace("http://127.0.0.1:8000", stack.url)
            answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
            assert re.fullmatch(re.escape(printed).replace("…", ".*"), answer), answer
            if "-d" in command and "first" in command:
                wait_until(lambda: stack.get("/tasks/first").data["status"] == "SUCCESS", what="the task's end")


def test_the_python_lines_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minicelery.testing import eager

    source = README.split("# tasks.py\n")[1].split("```")[0]
    namespace: dict[str, object] = {}
    exec(compile(source, "tasks.py", "exec"), namespace)
    add, report, app = namespace["add"], namespace["report"], namespace["app"]

    with eager(app):
        assert add(2, 3) == 5  # type: ignore[operator]
        assert add.delay(2, 3).get(timeout=5) == 5  # type: ignore[attr-defined]
        assert report.apply_async(args=(7,), countdown=10, max_retries=5).get() == "done"  # type: ignore[attr-defined]
