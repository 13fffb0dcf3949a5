"""A worker and a submitting client that find Redis through Sentinel follow it to the new master."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.embedded import HOST, EmbeddedServer, free_port
from minicelery.errors import RedisUnavailable
from minicelery.states import Status
from tests.real.conftest import Crew, declare
from tests.stack import stand_still, wait_until

PATIENCE = 60.0
SERVICE = "shop"

SETTINGS = """
bind {host}
port {port}
dir {folder}
requirepass watching
sentinel monitor {service} {host} {master} 1
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 5000
"""


class Watched:
    """A master, its replica, and a sentinel that watches both."""

    def __init__(self, stack: ExitStack, program: str, folder: Path) -> None:
        self.master = stack.enter_context(EmbeddedServer())
        self.replica = stack.enter_context(EmbeddedServer())
        ask(self.master, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
        ask(self.replica, "REPLICAOF", HOST, str(self.master.port))
        wait_until(lambda: ask(self.replica, "INFO", "replication")["master_link_status"] == "up", 20, "the replica")
        self.port = free_port()
        text = SETTINGS.format(host=HOST, port=self.port, folder=folder, service=SERVICE, master=self.master.port)
        (folder / "sentinel.conf").write_text(text)
        self.log = folder / "sentinel.log"
        with self.log.open("wb") as log:
            command = [program, str(folder / "sentinel.conf"), "--sentinel"]
            process = launch.start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(launch.kill, process)
        wait_until(self._knows_the_replica, 30, "the sentinel's knowledge of the replica")

    @property
    def url(self) -> str:
        """The first of the sentinels named is away."""
        return f"redis+sentinel://{HOST}:{free_port()},{HOST}:{self.port}/{SERVICE}/0?sentinel_password=watching"

    def _knows_the_replica(self) -> bool:
        try:
            with redis.Redis(HOST, self.port, password="watching", protocol=2) as sentinel:
                [found] = sentinel.sentinel_slaves(SERVICE)
        except (redis.RedisError, ValueError):
            return False
        return bool(found["port"] == self.replica.port)


def ask(server: EmbeddedServer, *words: str) -> Any:
    with redis.Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
        return client.execute_command(*words)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on PATH, which could be a sentinel")
    with ExitStack() as stack:
        yield Watched(stack, program, tmp_path)


@pytest.mark.parametrize("dies", [True, False], ids=["dead", "stopped"])
def test_a_worker_and_a_client_follow_the_master(watched: Watched, tmp_path: Path, *, dies: bool) -> None:
    url = watched.url
    crew = Crew(url, "", tmp_path)
    app = declare(MiniCelery("sentinel", config=Config(redis_url=url, patience=0.5, redis_timeout=1.0)))
    try:
        worker = crew.start("--threads", "2", MINICELERY_LEASE="60", MINICELERY_REDIS_TIMEOUT="1").ready()
        assert app.tasks.find("add").delay(1, 2).get(PATIENCE) == 3
        running = app.tasks.find("nap").delay(0.5)
        wait_until(lambda: running.status is Status.RUNNING, what="the start of the task")
        ask(watched.master, "SET", "last", "write")
        wait_until(lambda: ask(watched.replica, "GET", "last"), what="the replica's being up to date")

        assert watched.master.pid
        if dies:
            os.kill(watched.master.pid, signal.SIGKILL)
        else:
            stand_still(watched.master.pid)
        wait_until(lambda: _submits(app), PATIENCE, "a submission to the new master")

        assert running.get(PATIENCE) == "rested"
        assert app.tasks.find("add").delay(2, 2).get(PATIENCE) == 4
        wait_until(lambda: not list(app.doctor.violations()), what="the law")
        assert "watching" not in worker.text
        assert worker.text.count("trying until it is back") <= 2
        assert app.clients.commands.info("server")["tcp_port"] == watched.replica.port
        if not dies:
            os.kill(watched.master.pid, signal.SIGCONT)
            wait_until(lambda: _role(watched.master) == "slave", PATIENCE, "the old master's new role")
            assert app.tasks.find("add").delay(3, 3).get(PATIENCE) == 6
    finally:
        watched.master.kill()  # which may be stopped
        for process in crew.workers:
            launch.kill(process)
        app.clients.close()


def test_a_service_that_no_sentinel_knows_is_an_outage_that_names_it(watched: Watched) -> None:
    url = watched.url.replace(f"/{SERVICE}/", "/shopp/")
    app = MiniCelery("sentinel", config=Config(redis_url=url, patience=0.0))

    with pytest.raises(RedisUnavailable, match=r"no master of 'shopp' is found: .* knows none that is up"):
        app.inspector.dead_letter_count()


def _role(server: EmbeddedServer) -> str:
    """Of a server that may cut us off, as it is told of its new role."""
    try:
        return str(ask(server, "ROLE")[0])
    except redis.RedisError:
        return ""


def _submits(app: MiniCelery) -> bool:
    try:
        app.tasks.find("add").delay(1, 1)
    except RedisUnavailable:
        return False
    return True
