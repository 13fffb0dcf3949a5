"""What a script is sent with: all that it uses, and nothing else."""

import re
from importlib import resources

import pytest

from minicelery.keys import SCHEMA
from minicelery.linking import link
from minicelery.scripts import NAMES, load

PRELUDE = """
-- now is not used
local LIMIT, STEP = 10, 2

local function first() return LIMIT end

-- first of all
local function second()
  return first() + 1
end

local function third() return key.task('t') end
"""


def parts(source: str) -> list[str]:
    return re.findall(r"^local (?:function )?(\w+)", source, re.MULTILINE)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", []),
        ("return STEP", ["LIMIT"]),
        ("return second()", ["LIMIT", "first", "second"]),
        ("return third()", ["third"]),
        ("return 1 -- not first()", []),
    ],
)
def test_a_script_has_what_it_uses_and_what_that_uses(body: str, expected: list[str]) -> None:
    assert parts(link(PRELUDE, body)) == ["prefix", "CLAIMS_KEPT", "key", *expected]


def test_a_script_has_the_keys_that_it_spells_itself_or_by_what_it_uses() -> None:
    linked = link(PRELUDE, "return key.workers() .. third()")

    assert [pattern.name for pattern in SCHEMA if f"  {pattern.name} = function" in linked] == ["task", "workers"]


def test_each_part_of_the_prelude_is_used_by_some_script() -> None:
    prelude = (resources.files("minicelery") / "lua" / "prelude.lua").read_text()

    assert {*parts(prelude)} - {part for name in NAMES for part in parts(load(name).text)} == set()
