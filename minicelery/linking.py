"""Puts a script together: its own file behind those parts of the prelude that it uses."""

import re

from .keys import lua_names

_COMMENT = re.compile(r"--[^\n]*")
_WORD = re.compile(r"[A-Za-z_]\w*")
_PART = re.compile(r"^(?=local )", re.MULTILINE)
_NAMES = re.compile(r"local (?:function )?(\w+(?:, \w+)*)")


def link(prelude: str, body: str) -> str:
    """The source of a script, given a local ``prefix`` by its first argument.

    Redis runs the whole source at each call, and defining all that other scripts need takes it several microseconds. A
    part of the prelude is one ``local`` at the beginning of a line. It goes along if anything behind it has its name.
    """
    used = _words(body)
    parts: list[str] = []
    for part in reversed(_PART.split(prelude)[1:]):
        found = _NAMES.match(part)
        assert found, part
        if used.intersection(found[1].split(", ")):
            used |= _words(part)
            parts.append(part)
    return "\n".join(["local prefix = ARGV[1]", lua_names(used), *reversed(parts), body])


def _words(source: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", source)))
