"""Puts a script together: its own file behind those parts of the prelude that it uses."""

import re
from collections.abc import Sequence

from .keys import lua_names

_COMMENT = re.compile(r"--[^\n]*")
_WORD = re.compile(r"[A-Za-z_]\w*")
_PART = re.compile(r"^(?=local )", re.MULTILINE)
_NAMES = re.compile(r"local (?:function )?(\w+(?:, \w+)*)")


#: How a script calls what most of its calls do not need: such a part is defined by the first call of it only.
_RARE = re.compile(r"\brare\(\)\.(\w+)")
#: The line of a script above which nothing is defined that only the rest of it needs.
FOLD = "-- (Here the rest of the prelude goes.)\n"


def link(prelude: str, body: str) -> str:
    """The source of a script, given a local ``prefix`` by its first argument.

    Redis runs the whole source at each call, and defining all that other scripts need takes it several microseconds. A
    part of the prelude is one ``local`` at the beginning of a line. It goes along if anything behind it has its name:
    before the script, or at its ``FOLD`` if it is needed only there; and within a function, ``rare``, if all that needs
    it is called by ``rare().name``.
    """
    parts = _PART.split(prelude)[1:]
    head, fold, rest = body.partition(FOLD)
    plain = _RARE.sub("", head)
    first = _needed(parts, plain)
    rare = _rare([part for part in parts if part not in first], sorted(set(_RARE.findall(head))))
    source = ["local prefix = ARGV[1]", _keys(first, plain), *first, *rare, head]
    if fold:
        more = _needed([part for part in parts if part not in first], rest)
        source += [_keys(more, rest), *more, rest]
    return "\n".join(source)


def _rare(parts: Sequence[str], names: Sequence[str]) -> list[str]:
    """The function ``rare``, which defines these parts, and those that they use, and gives them by their names."""
    if not names:
        return []
    needed = _needed(parts, " ".join(names))
    table = ", ".join(f"{name} = {name}" for name in names)
    head = ["local rare_parts", "local function rare()", "if rare_parts then return rare_parts end"]
    return [*head, _keys(needed, ""), *needed, f"rare_parts = {{{table}}}", "return rare_parts", "end"]


def _needed(parts: Sequence[str], body: str) -> list[str]:
    """The parts that a body uses, and those that these use, in order."""
    used = _words(body)
    found: list[str] = []
    for part in reversed(parts):
        name = _NAMES.match(part)
        assert name, part
        if used.intersection(name[1].split(", ")):
            used |= _words(part)
            found.append(part)
    return found[::-1]


def _keys(parts: Sequence[str], body: str) -> str:
    return lua_names(_words("\n".join([*parts, body])))


def _words(source: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", source)))
