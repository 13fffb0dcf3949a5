"""The server of one trial: new, on a data folder of its own, and as durable for one contender as for the next."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from minicelery.embedded import EmbeddedServer, ServerOptions, find_server


class Stage:
    """An append-only server, synced every second, that never rewrites its file while we measure."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="minicelery-bench-"))
        found = shutil.which("redis-server")
        program = Path(found) if found else find_server()
        self._server = EmbeddedServer(ServerOptions(data=self._folder, executable=program))

    def __enter__(self) -> Self:
        self._server.start()
        self.client = redis.Redis.from_url(self.url, protocol=2, socket_timeout=60)
        self.client.config_set("auto-aof-rewrite-percentage", 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.kill()
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def name(self) -> str:
        """The server's name and version."""
        return self._server.name

    def reading(self) -> "Meter":
        """What the server has done up to now."""
        facts: Any = self.client.info("all")
        return Meter(
            commands=facts["total_commands_processed"],
            cpu=facts["used_cpu_user"] + facts["used_cpu_sys"],
            memory=facts["used_memory"] - facts.get("mem_clients_normal", 0) - facts.get("mem_aof_buffer", 0),
        )


class Meter:
    """Commands processed, seconds of processor time, bytes held without the buffers of connections."""

    def __init__(self, commands: int, cpu: float, memory: int) -> None:
        self.commands = commands
        self.cpu = cpu
        self.memory = memory
