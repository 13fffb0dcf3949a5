"""The few lines that a worker starts with."""

from collections.abc import Mapping
from typing import Any

from ..config import without_password
from .order import Hello


def banner(version: str, hello: Hello, server: Mapping[str, Any] | None) -> str:
    """What runs where, with which tasks."""
    config = hello.config
    assert config is not None
    where = without_password(config.redis_url)
    redis = f"{server['name']} {server['version']} at {where}" if server else f"not reachable yet at {where}"
    return "\n".join(
        (
            f"Mini-Celery {version}, worker for '{hello.name}'",
            f"  redis    {redis}",
            f"  queues   {', '.join(config.turns.queues)}",
            f"  threads  {config.worker_concurrency}"
            + (f" in each of {config.worker_processes} processes" if config.worker_processes > 1 else ""),
            f"  tasks    {', '.join(hello.tasks) or 'none'}",
            f"  stop     Ctrl-C or SIGTERM finishes what runs, within {config.grace:g} s; a second one stops now",
        )
    )
