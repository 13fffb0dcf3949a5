"""Runs the Lua scripts: loads them as package data, and repeats a call whose answer was lost."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain, islice
from typing import Any

from redis import RedisError
from redis.exceptions import NoScriptError

from .connection import Client, exchange, is_passing, is_silent, stream, translated
from .errors import NotReplicated
from .keys import Keys
from .linking import link
from .world import World

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5

#: Of many calls of one script, how many are sent while another is not answered.
AHEAD = 1
#: The keys and arguments of one call of a script.
Part = tuple[Sequence[str], Sequence[Any]]
#: One call of a script: its name, keys and arguments.
Call = tuple[str, Sequence[str], Sequence[Any]]


@dataclass(frozen=True)
class Script:
    """One Lua script, ready to send: its own file behind the names of keys and what it uses of the prelude."""

    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    folder = resources.files(__package__) / "lua"
    prelude, body = ((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    text = link(prelude, body)
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

    def run(
        self, name: str, keys: Sequence[str], args: Sequence[Any], confirm: float | None = None, *, brisk: bool = False
    ) -> Any:
        """The script's answer. With ``confirm``, a replica must have all of it within so many seconds, or
        ``NotReplicated`` is raised; the script must then have written something, even when it is a repeat. ``brisk``
        says that the server has little to do for it."""
        [answer] = self.run_all((name,), ((keys, args),), confirm, brisk=brisk)
        return answer

    def run_all(
        self,
        names: Sequence[str],
        parts: Iterable[Part],
        confirm: float | None = None,
        *,
        apart: bool = False,
        brisk: bool = False,
    ) -> list[Any]:
        """The answers of several scripts, sent one behind the other in one round trip; ``apart``, what one is given is
        made when the one before it is on its way.

        They are several transitions, not one: others may come between them, and one that the server has forgotten is
        sent again behind the rest. If one of them is refused, the others are done all the same.
        """
        scripts = [load(name) for name in names]
        made: list[Part] = []
        source = _kept(iter(parts), made)
        with translated(f"running {' and '.join(names)}"):
            deadline = self._world.monotonic() + self._patience
            pause = _FIRST_PAUSE
            while True:
                try:
                    return self._send(scripts, chain([*made], source), made, confirm, apart=apart, brisk=brisk)
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

    def run_behind(self, wait: Callable[[Sequence[Any]], Any], call: Call) -> Any:
        """The script's answer where ``wait`` sends the words it is given behind others, and returns the answer to them.
        Not repeated, unless the server does not know the script."""
        name, keys, args = call
        try:
            return wait((b"EVALSHA", load(name).sha, *self._words((keys, args))))
        except NoScriptError:
            return self.run(name, keys, args)

    def run_each(self, name: str, calls: Iterable[Part]) -> Iterator[Any]:
        """Call one script many times, each time with other keys and arguments. The answers as they come.

        The next ``AHEAD`` calls are sent before the answer to one is here. If something fails, the first call that has
        no answer is repeated like any other, alone, and then it goes on. If that fails, too, the error of it is raised:
        that call and those which were sent behind it may have been done, each for itself.
        """
        script = load(name)
        waiting: deque[Part] = deque()  # for an answer
        source = iter(calls)

        def commands() -> Iterator[Sequence[Any]]:
            for part in chain([*waiting], _kept(source, waiting)):
                yield (b"EVALSHA", script.sha, *self._words(part))

        while True:
            try:
                for answer in stream(self._client, commands(), AHEAD):
                    waiting.popleft()
                    yield answer
                return
            except RedisError:
                waiting.extend(() if waiting else islice(source, 1))
                if not waiting:
                    return
            yield self.run(name, *waiting.popleft())

    def _send(
        self,
        scripts: Sequence[Script],
        parts: Iterable[Part],
        made: Sequence[Part],
        confirm: float | None,
        *,
        apart: bool,
        brisk: bool,
    ) -> list[Any]:
        """Send each script by its name, and by its text where the server does not know it; asks in the same round
        trip for a replica that has what they wrote."""
        wait = [] if confirm is None else [("WAIT", 1, round(confirm * 1000))]
        calls = zip(scripts, parts, strict=True)
        named = ((b"EVALSHA", script.sha, *self._words(part)) for script, part in calls)
        brisk = brisk and not wait
        answers = exchange(self._client, chain(named, wait), will_repeat=True, apart=apart, brisk=brisk)
        forgotten = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if forgotten:
            again = [(b"EVAL", scripts[place].text, *self._words(made[place])) for place in forgotten]
            places = [*forgotten, len(scripts)] if wait else forgotten
            for place, answer in zip(places, exchange(self._client, [*again, *wait]), strict=True):
                answers[place] = answer
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        if wait and answers.pop() < 1:
            raise NotReplicated(
                f"Redis has it, but no replica has confirmed that within {confirm:g} s; submit it again "
                "under the same task_id: it stays one task"
            )
        return answers

    def _words(self, part: Part) -> Sequence[Any]:
        keys, args = part
        return (len(keys), *keys, self._prefix, *args)

    def load_all(self) -> None:
        """Put every script into the server's cache, which also shows that the server can run them."""
        with translated("loading the scripts"):
            for name in NAMES:
                self._client.script_load(load(name).text)


def _kept(source: Iterator[Part], where: deque[Part] | list[Part]) -> Iterator[Part]:
    """All of a source, each put down somewhere first."""
    for one in source:
        where.append(one)
        yield one


def _names() -> tuple[str, ...]:
    files = (resources.files(__package__) / "lua").iterdir()
    return tuple(sorted(file.name[:-4] for file in files if file.name.endswith(".lua") and file.name != "prelude.lua"))


NAMES = _names()
