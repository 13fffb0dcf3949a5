"""The document of the results: what lies between two marks of its text is written by us, all else by people."""

import re
from collections.abc import Mapping
from pathlib import Path

from .environments import ROOT

DEFAULT = ROOT / "docs" / "benchmarks.md"
_PLACE = re.compile(r"(<!-- begin: (\S+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


class NoPlace(Exception):
    """What the document has no marks for."""


def folder_of(page: Path) -> Path:
    """Where the plots and the results of a page lie."""
    return page.with_suffix("")


def results_of(page: Path) -> Path:
    return folder_of(page) / "results.json"


def places(text: str) -> list[str]:
    """The names that have a place in the text."""
    return [found[2] for found in _PLACE.finditer(text)]


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """The text with each block in its place. Places without a block stay as they are."""
    missing = [name for name in blocks if name not in places(text)]
    if missing:
        raise NoPlace(f"no place for {', '.join(missing)}: add the lines <!-- begin: NAME --> and <!-- end: NAME -->")

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{blocks[found[2]]}\n\n{found[3]}" if found[2] in blocks else found[0]

    return _PLACE.sub(fill, text)
