"""The examples of docs/testing.md do what they say."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_work_one_after_the_other() -> None:
    assert len(BLOCKS) == 7
    names: dict[str, object] = {"__name__": "tasks"}

    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/testing.md, example {number}", "exec"), names)
