"""What the parent and its child tell each other."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ..config import Config


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What ``worker.py`` and ``minicelery worker`` take. None: as the application's configuration says."""

    app: str = ""
    threads: int | None = None
    processes: int | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    queues: tuple[str, ...] | None = None
    redis_url: str | None = None
    grace: float | None = None

    def settings(self) -> dict[str, object]:
        """The given options, by the names of the settings they override."""
        named = {
            "worker_concurrency": self.threads,
            "worker_processes": self.processes,
            "max_tasks_per_child": self.max_tasks_per_child,
            "max_memory_per_child": self.max_memory_per_child,
            "queues": self.queues,
            "redis_url": self.redis_url,
            "grace": self.grace,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Order:
    """To a new child, on its command line: who it is, and the descriptors it shares with its parent."""

    worker: str
    app: str
    settings: dict[str, object]
    board: int
    control: int
    report: int
    quarantine: bool = False

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Hello:
    """From a child that has loaded the application: its configuration, or why it can't start."""

    config: Config | None = None
    name: str = ""
    tasks: tuple[str, ...] = ()
    schedules: tuple[dict[str, str], ...] = ()  #: the fields of those that the code declares
    queue_settings: dict[str, str] = field(default_factory=dict)  #: what the code says of queues
    fault: str = ""

    def dump(self) -> bytes:
        return _line(self)

    @classmethod
    def load(cls, facts: dict[str, Any]) -> Self:
        config = facts.pop("config")
        if config is not None:
            lists = {name: tuple(value) for name, value in config.items() if isinstance(value, list)}
            config = Config(**{**config, **lists})
        named = {name: tuple(facts[name]) for name in ("tasks", "schedules")}
        return cls(**{**facts, **named, "config": config})


@dataclass(frozen=True)
class Retiring:
    """From a child that claims nothing more and ends when its tasks have: another one is to take over."""

    reason: str

    def dump(self) -> bytes:
        return _line(self)


def report(line: str) -> "Hello | Retiring":
    """What a child has said. Raises ``ValueError`` for a line that is cut off."""
    facts = json.loads(line)
    return Retiring(**facts) if "reason" in facts else Hello.load(facts)


def _line(words: "Hello | Retiring") -> bytes:
    return json.dumps(asdict(words)).encode() + b"\n"


#: What the parent writes into the control pipe, a byte each. Its end says that the parent is gone.
STOP = b"s"
NOW = b"n"
#: The exit code of a child that can't start, and would not the next time either.
UNUSABLE = 2
