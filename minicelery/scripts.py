"""Runs the Lua scripts: loads them as package data, and repeats a call whose answer was lost."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from redis import RedisError
from redis.exceptions import NoScriptError

from .connection import Client, is_passing, is_silent, translated
from .errors import NotReplicated
from .keys import Keys, lua_names
from .world import World

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


@dataclass(frozen=True)
class Script:
    """One Lua script, ready to send: its own file behind the names of the keys and the shared prelude."""

    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    folder = resources.files(__package__) / "lua"
    prelude, body = ((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    text = f"local prefix = ARGV[1]\n{lua_names()}\n{prelude}\n{body}"
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """Calls scripts on one Redis. Every script may be sent twice, so a call without an answer is simply repeated.

    Repeats have full jitter and end after ``patience`` seconds, with ``RedisUnavailable``.
    """

    def __init__(self, client: Client, keys: Keys, world: World, patience: float) -> None:
        self._client = client
        self._prefix = keys.prefix
        self._world = world
        self._patience = patience

    def run(self, name: str, keys: Sequence[str], args: Sequence[Any], confirm: float | None = None) -> Any:
        """The script's answer. With ``confirm``, a replica must have all of it within so many seconds, or
        ``NotReplicated`` is raised; the script must then have written something, even when it is a repeat."""
        script = load(name)
        with translated(f"running {name}"):
            deadline = self._world.monotonic() + self._patience
            pause = _FIRST_PAUSE
            while True:
                try:
                    return self._send(script, (len(keys), *keys, self._prefix, *args), confirm)
                except RedisError as error:
                    if not is_passing(error):
                        raise
                    if is_silent(error):
                        self._client.connection_pool.disconnect(inuse_connections=False)
                    wait = pause * self._world.random()
                    if self._world.monotonic() + wait >= deadline:
                        raise
                    self._world.sleep(wait)
                    pause = min(pause * 2, _LONGEST_PAUSE)

    def _send(self, script: Script, words: Sequence[Any], confirm: float | None) -> Any:
        call = self._client if confirm is None else _Confirmed(self._client, confirm)
        try:
            return call.evalsha(script.sha, *words)
        except NoScriptError:
            return call.eval(script.text, *words)

    def load_all(self) -> None:
        """Put every script into the server's cache, which also shows that the server can run them."""
        with translated("loading the scripts"):
            for name in NAMES:
                self._client.script_load(load(name).text)


class _Confirmed:
    """Calls a script and asks in the same round trip for a replica that has what it wrote."""

    def __init__(self, client: Client, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    def evalsha(self, *words: Any) -> Any:
        return self._run("EVALSHA", words)

    def eval(self, *words: Any) -> Any:
        return self._run("EVAL", words)

    def _run(self, command: str, words: Sequence[Any]) -> Any:
        pipe = self._client.pipeline(transaction=False)
        pipe.execute_command(command, *words)
        pipe.wait(1, round(self._seconds * 1000))
        answer, replicas = pipe.execute(raise_on_error=False)  # which would put our arguments into the error's text
        for error in (answer, replicas):
            if isinstance(error, RedisError):
                raise error
        if replicas < 1:
            raise NotReplicated(
                f"Redis has it, but no replica has confirmed that within {self._seconds:g} s; submit it again "
                "under the same task_id: it stays one task"
            )
        return answer


def _names() -> tuple[str, ...]:
    files = (resources.files(__package__) / "lua").iterdir()
    return tuple(sorted(file.name[:-4] for file in files if file.name.endswith(".lua") and file.name != "prelude.lua"))


NAMES = _names()
