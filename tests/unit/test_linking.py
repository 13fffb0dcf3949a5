"""What a script is sent with: all that it uses, and nothing else."""

import re
from importlib import resources

import pytest

from minicelery.keys import SCHEMA
from minicelery.linking import FOLD, link
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


def test_what_only_the_rest_of_a_script_needs_is_defined_at_its_fold() -> None:
    linked = link(PRELUDE, f"if first() then return end\n{FOLD}return second() .. third()")

    head, rest = linked.split("if first() then return end\n")
    assert parts(head) == ["prefix", "CLAIMS_KEPT", "key", "LIMIT", "first"]
    assert parts(rest) == ["CLAIMS_KEPT", "key", "second", "third"]
    assert ("task = function" in head, "task = function" in rest) == (False, True)


def test_each_part_of_the_prelude_is_used_by_some_script() -> None:
    prelude = (resources.files("minicelery") / "lua" / "prelude.lua").read_text()

    assert {*parts(prelude)} - {part for name in NAMES for part in parts(load(name).text)} == set()


def test_what_is_called_by_rare_is_defined_by_its_first_call_only() -> None:
    linked = link(PRELUDE, "if STEP then rare().second() end\nreturn rare().third()")

    head, _, rest = linked.partition("local function rare()")
    assert parts(head) == ["prefix", "CLAIMS_KEPT", "key", "LIMIT", "rare_parts"]
    assert parts(rest) == ["CLAIMS_KEPT", "key", "first", "second", "third"]
    assert ("task = function" in head, "task = function" in rest) == (False, True)
    assert "rare_parts = {second = second, third = third}" in rest


def test_what_is_also_used_by_its_plain_name_is_defined_at_once() -> None:
    linked = link(PRELUDE, "return first() + rare().second()")

    head, _, rest = linked.partition("local function rare()")
    assert parts(head) == ["prefix", "CLAIMS_KEPT", "key", "LIMIT", "first", "rare_parts"]
    assert "second" in parts(rest)
