"""What the parent and its child tell each other."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from ..config import Config


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What ``worker.py`` and ``minicelery worker`` take. None: as the application's configuration says."""

    app: str = ""
    threads: int | None = None
    queues: tuple[str, ...] | None = None
    redis_url: str | None = None
    grace: float | None = None

    def settings(self) -> dict[str, object]:
        """The given options, by the names of the settings they override."""
        named = {
            "worker_concurrency": self.threads,
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
    fault: str = ""

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        facts = json.loads(text)
        config = facts.pop("config")
        if config is not None:
            lists = {name: tuple(value) for name, value in config.items() if isinstance(value, list)}
            config = Config(**{**config, **lists})
        return cls(**{**facts, "config": config, "tasks": tuple(facts["tasks"])})


#: What the parent writes into the control pipe, a byte each. Its end says that the parent is gone.
STOP = b"s"
NOW = b"n"
#: The exit code of a child that can't start, and would not the next time either.
UNUSABLE = 2
