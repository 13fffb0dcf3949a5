"""Scripts with some of their text changed, for one test."""

import hashlib
from collections.abc import Callable

import pytest

from minicelery import scripts


def edit(monkeypatch: pytest.MonkeyPatch, changed: Callable[[str], str]) -> None:
    """From now on each script is what ``changed`` makes of its text."""
    original = scripts.load

    def load(name: str) -> scripts.Script:
        text = changed(original(name).text)
        return scripts.Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    monkeypatch.setattr(scripts, "load", load)
