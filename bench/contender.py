"""What takes part: a task queue in one of its settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "minicelery"
#: The scenarios in which a web process takes part, and no workers.
WEB = ("web-post", "web-get", "web-batch")
#: How many tasks still wait, told by one cheap command.
Waiting = Callable[[Any], int]


@dataclass(frozen=True)
class Contender:
    """A queue in one setting.

    ``commands`` start its workers, each behind the Python of its environment; ``{url}`` becomes the server's address,
    ``{port}`` a free port to serve HTTP at. ``pace`` is about how many no-ops it does in a second, so that every
    backlog lasts about as long; ``slots`` is how many tasks it runs at once. ``keeps`` says whether a task survives the
    kill of its worker, ``bulk`` whether many can be sent faster than one by one, ``delays`` whether its workers start
    delayed tasks. ``only`` names the scenarios that it is for; otherwise it is for all.
    """

    name: str
    title: str
    setting: str
    module: str
    commands: tuple[tuple[str, ...], ...]
    waiting: Waiting
    pace: int
    slots: int
    keeps: bool = True
    bulk: bool = False
    delays: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.title}, {self.setting}"

    @property
    def is_ours(self) -> bool:
        return self.name == OURS

    @property
    def key(self) -> str:
        """As it is chosen on the command line, and told from others in the results."""
        return f"{self.name}/{self.setting}"


def in_list(key: str) -> Waiting:
    return lambda client: int(client.llen(key))


def in_sorted_set(key: str) -> Waiting:
    return lambda client: int(client.zcard(key))


def in_stream(key: str, group: str) -> Waiting:
    """Of a stream that keeps what was read: what no consumer has read yet."""

    def lag(client: Any) -> int:
        groups = client.xinfo_groups(key)
        return int(next(one["lag"] for one in groups if one["name"] == group.encode()))

    return lag
