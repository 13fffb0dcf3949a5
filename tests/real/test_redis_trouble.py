"""A worker and an API in front of a Redis that fails in every way: said once, nothing lost, no hand needed."""

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import HOST, EmbeddedServer, ServerOptions, find_server
from minicelery.states import Status
from minicelery.web import create_app
from tests.conftest import make_app
from tests.faults.proxy import FaultProxy
from tests.real.conftest import Crew, Worker, declare
from tests.stack import Stack, wait_until
from tests.watcher import Proxy

PATIENCE = 40.0
SAID, BACK = "trying until it is back", "Redis is back"
MOST_SAID = 2  # once by the parent of a worker, and once by its child


@dataclass
class Scene:
    """A worker behind something that can fail, and an application of ours behind the same."""

    server: EmbeddedServer
    worker: Worker
    app: MiniCelery  #: submits through what can fail
    sure: MiniCelery  #: looks at the server itself
    http: FlaskClient
    results: list[Any] = field(default_factory=list)

    def ask(self, *words: str) -> Any:
        return self.sure.clients.commands.execute_command(*words)

    def call(self, name: str, *args: Any) -> Any:
        """Submit a task past all faults."""
        self.results.append(self.sure.tasks.find(name).delay(*args))
        return self.results[-1]

    def post(self) -> Any:
        return self.http.post("/tasks", json={"name": "add", "args": [1, 2]})

    def says(self, text: str) -> int:
        return self.worker.text.count(text)

    def is_well_again(self, *, once: bool = True) -> None:
        """All of it works again by itself, every task has run once, and the outage was said once, with its end."""
        wait_until(lambda: self.post().status_code == 202, PATIENCE, "an accepted submission")
        self.call("add", 1, 1)
        for result in self.results:
            result.get(PATIENCE)
            assert (result.record.status, result.record.deliveries) == (Status.SUCCESS, 1)
        wait_until(lambda: self.says(BACK) == self.says(SAID), PATIENCE, "the end of the outage in the log")
        assert self.says(SAID) <= MOST_SAID or not once, self.worker.text
        wait_until(lambda: not list(self.sure.doctor.violations()), what="the law")


@contextmanager
def scene(server: EmbeddedServer, url: str, folder: Path) -> Iterator[Scene]:
    """A worker and an application that know Redis by ``url``."""
    with ExitStack() as stack:
        crew = Crew(url, "", folder)
        worker = crew.start(
            "--threads", "2", MINICELERY_LEASE="60", MINICELERY_REDIS_TIMEOUT="1", MINICELERY_PATIENCE="1"
        )
        stack.callback(worker.process.wait, 10)
        stack.callback(worker.process.kill)
        app = declare(MiniCelery("trouble", config=Config(redis_url=url, redis_timeout=0.5, patience=0.2)))
        stack.callback(app.clients.close)
        sure = declare(make_app(connect(Config(redis_url=server.url)), ""))
        stack.callback(sure.clients.close)
        made = Scene(server, worker.ready(), app, sure, create_app(app).test_client())
        made.call("add", 0, 0).get(PATIENCE)
        yield made


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions(data=tmp_path / "data", fsync="always")) as server:
        yield server


@pytest.fixture
def proxy(own_server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(own_server.port) as proxy:
        yield proxy


@pytest.fixture
def place(own_server: EmbeddedServer, proxy: FaultProxy, tmp_path: Path) -> Iterator[Scene]:
    with scene(own_server, proxy.url, tmp_path) as made:
        yield made


@contextmanager
def again_and_again(step: Callable[[], object]) -> Iterator[threading.Event]:
    """Do something all the while, in a thread. The event is set when it has been done twenty times."""
    over, often = threading.Event(), threading.Event()

    def loop() -> None:
        times = 0
        while not over.wait(0.02):
            step()
            times += 1
            if times == 20:
                often.set()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield often
    finally:
        over.set()
        thread.join()


def refuse(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.cut_all()


def answering(line: str) -> Callable[[FaultProxy], None]:
    return lambda proxy: proxy.answer_with(f"-{line}\r\n".encode())


OUTAGES: dict[str, Callable[[FaultProxy], None]] = {
    "refused": refuse,
    "black-holed": lambda proxy: proxy.set(black_hole=True),
    "answers swallowed": lambda proxy: proxy.set(drop_replies=1.0, silent=True),
    "answers lost": lambda proxy: proxy.set(drop_replies=1.0),
    "one way": lambda proxy: proxy.set(one_way=True),
    "LOADING": answering("LOADING Redis is loading the dataset in memory"),
    "READONLY": answering("READONLY You can't write against a read only replica."),
    "NOREPLICAS": answering("NOREPLICAS Not enough good replicas to write."),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_is_said_once_and_borne(place: Scene, proxy: FaultProxy, outage: str) -> None:
    running = place.call("nap", 0.5)
    wait_until(lambda: running.status is Status.RUNNING, what="the start of the task")

    OUTAGES[outage](proxy)
    refused = place.post()
    wait_until(lambda: place.says(SAID), PATIENCE, "the word of the worker")
    tries = proxy.counts.requests + proxy.counts.connections
    wait_until(lambda: outage == "refused" or _tries(place, proxy) > tries, PATIENCE, "a further try")
    place.call("add", 1, 2)
    proxy.heal()

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    place.is_well_again()


def _tries(place: Scene, proxy: FaultProxy) -> int:
    assert place.post().status_code == 503
    return proxy.counts.requests + proxy.counts.connections


def test_a_slow_redis_is_no_outage(place: Scene, proxy: FaultProxy) -> None:
    proxy.set(delay=0.05, jitter=0.05)

    for number in range(10):
        place.call("add", number, 1)
    place.is_well_again()

    assert place.says(SAID) == 0


def test_an_answer_that_is_cut_off_in_the_middle_is_asked_for_again(place: Scene, proxy: FaultProxy) -> None:
    with again_and_again(lambda: proxy.cut_after(7)):
        wait_until(lambda: place.call("add", 1, 1).get(PATIENCE) and proxy.counts.cuts > 20, PATIENCE, "many cuts")

    proxy.heal()
    place.is_well_again(once=False)


def test_redis_is_killed_and_loads_its_file_again(place: Scene, own_server: EmbeddedServer) -> None:
    running = place.call("nap", 0.5)
    wait_until(lambda: running.status is Status.RUNNING, what="the start of the task")

    own_server.kill()
    wait_until(lambda: place.says(SAID), PATIENCE, "the word of the worker")
    assert place.post().status_code == 503
    own_server.start()

    place.is_well_again()


@pytest.mark.parametrize("command", ["SCRIPT FLUSH", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"])
def test_what_an_operator_does_again_and_again_costs_no_task(place: Scene, command: str) -> None:
    own = connect(Config(redis_url=place.server.url)).commands

    def strike() -> None:
        with suppress(redis.ConnectionError):
            own.execute_command(*command.split())

    with again_and_again(strike) as often:
        for number in range(40):
            with suppress(redis.ConnectionError):
                place.call("add", number, 1)
        assert often.wait(PATIENCE)

    place.is_well_again(once=False)
    own.close()


def test_writes_that_an_operator_has_paused_go_on_afterwards(place: Scene) -> None:
    running = place.call("nap", 0.3)
    wait_until(lambda: running.status is Status.RUNNING, what="the start of the task")

    place.ask("CLIENT", "PAUSE", "60000", "WRITE")
    assert place.post().status_code == 503
    wait_until(lambda: place.says(SAID), PATIENCE, "the word of the worker")
    place.ask("CLIENT", "UNPAUSE")

    place.is_well_again()


# ---- full disk -----------------------------------------------------------------------------------


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server whose files can be kept from growing: it gets an error and not the signal of that limit."""
    program = tmp_path / "server"
    program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {find_server()} \"$@\"\n")
    program.chmod(0o755)
    with EmbeddedServer(ServerOptions(data=tmp_path / "data", executable=program)) as server:
        yield server


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux lets the files of another process be limited")
def test_a_full_disk_is_an_outage_that_ends_with_room_for_the_file(limited: EmbeddedServer, tmp_path: Path) -> None:
    with scene(limited, limited.url, tmp_path) as place:
        assert limited.pid
        place.ask("SET", "ballast", "x" * 1_000_000)  # so that the file that is limited is the largest
        running = place.call("nap", 0.5)
        wait_until(lambda: running.status is Status.RUNNING, what="the start of the task")
        _, most = resource.prlimit(limited.pid, resource.RLIMIT_FSIZE)

        resource.prlimit(limited.pid, resource.RLIMIT_FSIZE, (1_000_000, most))
        wait_until(lambda: place.says("No space left") or place.says("MISCONF") or place.says(SAID), PATIENCE, "a word")
        refused = place.post()
        resource.prlimit(limited.pid, resource.RLIMIT_FSIZE, (most, most))

        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        place.is_well_again()


# ---- failover ------------------------------------------------------------------------------------


def test_behind_one_address_the_new_master_is_found_after_a_failover(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    """The old master lives on as a replica, and no connection to it is cut by anybody but us."""
    proxy = Proxy(own_server.port)
    try:
        with EmbeddedServer() as other, scene(own_server, proxy.url, tmp_path) as place:
            place.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
            with redis.Redis.from_url(other.url, protocol=2) as admin:
                admin.execute_command("REPLICAOF", HOST, own_server.port)
                wait_until(lambda: admin.info("replication")["master_link_status"] == "up", 20, "the replica")
                running = place.call("nap", 1.0)
                wait_until(lambda: running.status is Status.RUNNING, what="the start of the task")
                place.ask("SET", "last", "write")
                wait_until(lambda: admin.get("last"), what="the replica's being up to date")
                admin.execute_command("REPLICAOF", "NO", "ONE")

            place.ask("REPLICAOF", HOST, str(other.port))
            wait_until(lambda: place.says(SAID), PATIENCE, "the word of the worker")
            assert place.post().status_code == 503
            proxy.target = other.port

            place.sure.clients.close()
            place.sure = declare(make_app(connect(Config(redis_url=other.url)), ""))
            place.results = [place.sure.result(result.id) for result in place.results]
            place.is_well_again()
            place.sure.clients.close()
    finally:
        proxy.cut()


# ---- full memory ---------------------------------------------------------------------------------


def test_a_redis_that_is_full_under_load_refuses_what_is_new_and_loses_nothing() -> None:
    with Stack(app="tests.real.tasks:app", environ={"MINICELERY_APP": "tests.real.tasks:app"}) as stack:
        sure = declare(make_app(connect(Config(redis_url=stack.redis_url)), ""))
        answers: dict[int, list[Any]] = {202: [], 503: []}
        enough = threading.Event()

        def submit() -> None:
            body = {"name": "nap", "args": [0.01], "kwargs": {}, "task_id": sure.world.new_id()}
            answer = stack.post("/tasks", body)
            answers[answer.status].append(answer)
            if len(answers[202]) > 50:
                enough.set()

        with again_and_again(submit):
            wait_until(lambda: len(answers[202]) > 20, PATIENCE, "some submissions")
            sure.clients.commands.config_set("maxmemory", "1mb")
            wait_until(lambda: len(answers[503]) > 20, PATIENCE, "some refusals")
            accepted = [answer.data["task_id"] for answer in answers[202]]
            wait_until(lambda: _all_done(sure, accepted), PATIENCE, "the end of what was accepted")
            sure.clients.commands.config_set("maxmemory", "0")
            before = len(answers[202])
            wait_until(lambda: len(answers[202]) > before + 20, PATIENCE, "new submissions")

        refused = answers[503][0]
        assert (refused.headers["retry-after"], refused.headers["content-type"]) == ("2", "application/problem+json")
        assert "no memory left" in refused.data["detail"]
        accepted = [answer.data["task_id"] for answer in answers[202]]
        wait_until(lambda: _all_done(sure, accepted), PATIENCE, "the end of all")
        assert sorted(sure.inspector.task_ids()) == sorted(accepted)
        assert not list(sure.doctor.violations())
        assert "Traceback" not in stack.log("worker") + stack.log("web")
        sure.clients.close()


def _all_done(app: MiniCelery, ids: list[str]) -> bool:
    records = app.inspector.tasks(ids)
    return all(record and record.status is Status.SUCCESS for record in records)
