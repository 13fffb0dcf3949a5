"""A clock of a test's own for the scripts, in place of the server's."""

import pytest

from minicelery import MiniCelery

from .edits import edit


class Clock:
    """Tells the scripts of one application the time. Begins at a million seconds."""

    def __init__(self, app: MiniCelery) -> None:
        self._client = app.clients.commands
        self._key = f"{app.keys.prefix}clock"
        self.now = 1_000_000.0
        self.go_on(0)

    def go_on(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)
        self._client.set(self._key, f"{self.now:.3f}")


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the scripts ask for the time at the key ``clock`` of their namespace."""
    clock = "local function now() return tonumber(redis.call('GET', prefix .. 'clock')) end"

    def with_a_clock_of_ours(text: str) -> str:
        start = text.find("local function now()")
        if start < 0:
            return text
        end = text.index("\nend\n", start) + len("\nend\n")
        return f"{text[:start]}{clock}\n{text[end:]}"

    edit(monkeypatch, with_a_clock_of_ours)
