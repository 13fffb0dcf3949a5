"""What a worker that was taken for dead still writes: none of it counts, whatever state its task is in by then."""

import itertools
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from minicelery import MiniCelery, Task
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import HOST, EmbeddedServer, ServerOptions
from minicelery.handover import Claim, Kept, Settlement
from minicelery.message import Delivery, Message
from minicelery.states import FINISHED, Status
from tests.conftest import make_app
from tests.faults import zombie_tasks
from tests.real.conftest import Crew, Worker
from tests.stack import wait_until

SERVERS = ("embedded", "redis-server")
LEASE = 600.0
ERROR = '{"type":"E","message":"m","traceback":"t"}'
INFO = '{"queues":["default"],"tasks":["add"]}'
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Scene:
    """One task, "t", and what becomes of it in other hands."""

    app: MiniCelery

    def submit(self, **more: object) -> None:
        self.app.broker.enqueue([Message("t", "add", "[1,2]", "{}", "default", 3, **more)])

    def claim(self, worker: str, *, quarantine: bool = False) -> tuple[Claim, tuple[Delivery, ...]]:
        self.app.broker.beat({worker: INFO}, LEASE)
        number = next(_numbers)
        claim = Claim(worker, 0, number, f"nonce{number:07}", ("default",), quarantine=quarantine)
        return claim, self.app.broker.claim(claim).deliveries

    def take(self, worker: str = "other") -> Delivery:
        [delivery] = self.claim(worker)[1]
        return delivery

    def take_alone(self, worker: str = "other") -> Delivery:
        [delivery] = self.claim(worker, quarantine=True)[1]
        return delivery

    def settle(self, status: Status, worker: str = "other", delay: float = 0.0) -> None:
        taken = self.take(worker)
        body = '"theirs"' if status is Status.SUCCESS else ERROR
        assert self.app.broker.settle(worker, [Settlement("t", taken.token, status, body, delay)]) == [True]

    def retry(self) -> None:
        self.settle(Status.RETRYING)
        self.app.broker.promote()

    def give_back(self) -> None:
        assert self.app.broker.release("other", [("t", self.take().token)]) == [True]

    def pass_on(self) -> None:
        self.app.broker.beat({"knowing": INFO}, LEASE)
        assert self.app.broker.pass_on("other", "t", self.take().token, ERROR) is Status.SCHEDULED

    def lose(self) -> None:
        """Its worker ends before it has begun."""
        self.take("crashing")
        assert self.app.broker.recover("crashing").ready == 1

    def crash(self) -> None:
        """For the second time, the first having been with the zombie."""
        self.take("crashing")
        assert self.app.broker.recover("crashing", ["t"]).quarantined == 1

    def crash_to_death(self) -> None:
        self.crash()
        while self.app.broker.recover("crashing", ["t"]).dead == 0:
            self.take_alone("crashing")

    def revive(self) -> None:
        self.settle(Status.FAILED)
        assert self.app.broker.revive(["t"], "its revival") == [True]

    def forget(self) -> None:
        self.settle(Status.SUCCESS)
        assert self.app.broker.forget("t", FINISHED, "its deletion") is Status.SUCCESS


@dataclass(frozen=True)
class Zombie:
    """The worker "zombie", which still believes to have the task, and the claims that it once sent."""

    delivery: Delivery
    claims: tuple[Claim, ...]

    def late_writes(self, app: MiniCelery) -> dict[str, Callable[[], Kept]]:
        """What it may still send, or what may still be under way; each says whether it was accepted."""
        broker, token = app.broker, self.delivery.token

        def settle(*states: Status, delay: float = 0.0) -> bool:
            return any(broker.settle("zombie", [Settlement("t", token, state, ERROR, delay) for state in states]))

        copies = {
            f"a copy of its claim {number}": lambda claim=claim: bool(broker.claim(claim).deliveries)
            for number, claim in enumerate(self.claims, 1)
        }
        return {
            "a success": lambda: settle(Status.SUCCESS),
            "a failure": lambda: settle(Status.FAILED),
            "a retry at once": lambda: settle(Status.RETRYING),
            "a retry later": lambda: settle(Status.RETRYING, delay=60.0),
            "two outcomes in one batch": lambda: settle(Status.FAILED, Status.SUCCESS),
            "progress": lambda: broker.progress("t", token, '"done":1,"total":2,"message":"late"'),
            "a hand-back": lambda: any(broker.release("zombie", [("t", token)])),
            "a passing on": lambda: broker.pass_on("zombie", "t", token, ERROR) is not None,
            **copies,
        }


#: What has become of a task that the zombie had, since it was ready again: the steps that lead there.
SITUATIONS: dict[str, tuple[Callable[[Scene], object], ...]] = {
    "is ready": (),
    "is running": (Scene.take,),
    "is running at the zombie itself": (lambda scene: scene.take("zombie"),),
    "has succeeded": (lambda scene: scene.settle(Status.SUCCESS),),
    "has succeeded at the zombie itself": (lambda scene: scene.settle(Status.SUCCESS, "zombie"),),
    "is a dead letter": (lambda scene: scene.settle(Status.FAILED),),
    "waits for its retry": (lambda scene: scene.settle(Status.RETRYING, delay=3600.0),),
    "is ready for its retry": (Scene.retry,),
    "is running after a retry": (Scene.retry, Scene.take),
    "was given back": (Scene.give_back,),
    "is running after it was given back": (Scene.give_back, Scene.take),
    "was passed on": (Scene.pass_on,),
    "is ready after another worker ended": (Scene.lose,),
    "is running after another worker ended": (Scene.lose, Scene.take),
    "is in quarantine": (Scene.crash,),
    "is running in quarantine": (Scene.crash, Scene.take_alone),
    "is running in quarantine at the zombie itself": (Scene.crash, lambda scene: scene.take_alone("zombie")),
    "is a dead letter by its crashes": (Scene.crash_to_death,),
    "is revived": (Scene.revive,),
    "is running after its revival": (Scene.revive, Scene.take),
    "is forgotten": (Scene.forget,),
    "is submitted again": (Scene.forget, Scene.submit),
    "is submitted again for later": (Scene.forget, lambda scene: scene.submit(delay=3600.0)),
    "is running after it was submitted again": (Scene.forget, Scene.submit, Scene.take),
}
#: Whether the zombie has a lease again, as after SIGCONT.
CASES = [(situation, is_back) for situation in SITUATIONS for is_back in (False, True)]


READ: dict[str, Callable[[Any, str], object]] = {
    "string": lambda client, key: client.get(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "hash": lambda client, key: client.hgetall(key),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
}


class Watched:
    """All that one namespace holds and publishes."""

    def __init__(self, app: MiniCelery) -> None:
        self._app = app
        self._commands = app.clients.commands
        self._marker = f"{app.keys.prefix}marker"
        self._channel = self._commands.pubsub(ignore_subscribe_messages=True)
        self._channel.psubscribe(f"{app.keys.prefix}*")

    def close(self) -> None:
        self._channel.close()

    def published(self) -> list[str]:
        """What was published since the last call."""
        self._commands.publish(self._marker, "")
        texts: list[str] = []
        while True:
            message = self._channel.get_message(timeout=10)
            if message and message["channel"] == self._marker:
                return texts
            if message:
                texts.append(message["data"])

    def stored(self) -> dict[str, object]:
        """Every key: its type, its content, and whether it expires."""
        keys = sorted(self._commands.scan_iter(f"{self._app.keys.prefix}*", count=10_000))
        looks, reads = self._commands.pipeline(transaction=False), self._commands.pipeline(transaction=False)
        for key in keys:
            looks.type(key).ttl(key)
        answers = looks.execute()
        for key, kind in zip(keys, answers[::2], strict=True):
            READ[kind](reads, key)
        rows = zip(keys, answers[::2], reads.execute(), answers[1::2], strict=True)
        return {key: (kind, content, ttl >= 0) for key, kind, content, ttl in rows}


def offer_all(app: MiniCelery, zombie: Zombie, case: str) -> tuple[int, list[str]]:
    """Offer each late write: how many there were, and what was accepted or has changed anything."""
    with closing(Watched(app)) as watched:
        watched.published()
        accepted, before = [], watched.stored()
        writes = zombie.late_writes(app)
        for name, write in writes.items():
            was_accepted, after, events = write(), watched.stored(), watched.published()
            changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
            if was_accepted or changed or events:
                accepted.append(f"{name}, when the task {case}: {was_accepted=} {changed=} {events=}")
            before = after
    return len(writes), accepted


def haunt(app: MiniCelery, case: tuple[str, bool], zombie: Zombie) -> tuple[int, list[str]]:
    """Lead the task "t", which is ready, into the situation; then offer what the zombie writes."""
    situation, is_back = case
    scene = Scene(app)
    if is_back:
        app.broker.beat({"zombie": INFO}, LEASE)
    for step in SITUATIONS[situation]:
        step(scene)
    # Something else to take, should a copy of a claim be taken for a new one.
    app.broker.enqueue([Message("next", "add", "[]", "{}", "default", 3)])
    return offer_all(app, zombie, f"{situation} and the zombie is {'back' if is_back else 'gone'}")


def lawful(app: MiniCelery) -> None:
    assert [str(violation) for violation in app.doctor.violations()] == []


def each_case(app: MiniCelery) -> Iterator[tuple[tuple[str, bool], MiniCelery]]:
    """Each case with a namespace of its own."""
    for number, case in enumerate(CASES):
        yield case, make_app(app.clients, f"{app.config.namespace}-{number}")


@pytest.mark.parametrize("clients", SERVERS, indirect=True)
def test_of_more_than_two_hundred_late_writes_none_is_accepted(app: MiniCelery) -> None:
    offered, accepted = 0, []
    for case, home in each_case(app):
        scene = Scene(home)
        empty, _ = scene.claim("zombie")
        scene.submit()
        claim, [late] = scene.claim("zombie")
        home.broker.recover("zombie", ["t"])

        count, found = haunt(home, case, Zombie(late, (empty, claim)))
        offered += count
        accepted += found
        lawful(home)

    assert accepted == []
    assert offered >= 200


# ---- a replica that lags and is promoted -----------------------------------------------------------


@pytest.fixture(params=SERVERS)
def pair(request: pytest.FixtureRequest, namespace: str) -> Iterator[tuple[MiniCelery, MiniCelery]]:
    """An app on a master, and one on its replica."""
    options = ServerOptions()
    if request.param == "redis-server":
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no redis-server on PATH; install Debian's to run these tests on it too")
        options = ServerOptions(executable=Path(program))
    with ExitStack() as stack:
        servers = [stack.enter_context(EmbeddedServer(options)) for _ in range(2)]
        apps = [make_app(connect(Config(redis_url=one.url)), namespace) for one in servers]
        for app in apps:
            stack.callback(app.clients.close)
        apps[0].clients.commands.config_set("repl-diskless-sync-delay", 0)
        apps[1].clients.commands.replicaof(HOST, servers[0].port)
        yield apps[0], apps[1]


def in_step(master: MiniCelery, replica: MiniCelery) -> bool:
    """Whether the replica has all that its master has written."""
    ours, theirs = (app.clients.commands.info("replication") for app in (replica, master))
    is_linked = ours.get("master_link_status") == "up" and not ours["master_sync_in_progress"]
    return bool(is_linked and ours["slave_repl_offset"] == theirs["master_repl_offset"])


def promote(master: MiniCelery, replica: MiniCelery) -> None:
    """Cut the replica off, with all that was written so far: from now on it lags behind its old master."""
    wait_until(lambda: in_step(master, replica), 30, "the replication of all that was written")
    replica.clients.commands.replicaof("NO", "ONE")


def test_after_the_promotion_of_a_lagging_replica_none_is_accepted_either(pair: tuple[MiniCelery, MiniCelery]) -> None:
    old, new = pair
    earlier: list[Claim] = []
    for _, home in each_case(old):
        Scene(home).submit()
        claim, _ = Scene(home).claim("zombie")
        earlier.append(claim)
        home.broker.recover("zombie", ["t"])
    promote(old, new)

    offered, accepted = 0, []
    for claim, (case, there), (_, here) in zip(earlier, each_case(old), each_case(new), strict=True):
        late = Scene(there).take("zombie")
        count, found = haunt(here, case, Zombie(late, (claim,)))
        offered += count
        accepted += found
        lawful(here)

    assert accepted == []
    assert offered >= 200


def test_the_old_master_and_the_promoted_one_give_out_tokens_of_the_same_number(
    pair: tuple[MiniCelery, MiniCelery],
) -> None:
    old, new = pair
    Scene(old).submit()
    Scene(old).lose()
    promote(old, new)

    late, current = Scene(old).take(), Scene(new).take()

    assert (late.deliveries, current.deliveries) == (2, 2)
    assert late.token != current.token
    assert not new.broker.progress("t", late.token, '"done":1')
    assert new.broker.progress("t", current.token, '"done":1')


# ---- real processes -----------------------------------------------------------------------------------


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it; none if it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def start(crew: Crew) -> Worker:
    return crew.start("--threads", "1", app="tests.faults.zombie_tasks:app", MINICELERY_LEASE="1").ready()


def test_a_worker_stopped_for_longer_than_its_lease_learns_that_another_run_counts(
    crew: Crew, real_app: MiniCelery, tmp_path: Path
) -> None:
    [task] = [one for one in zombie_tasks.app.tasks if one.name == "linger"]
    real_app.tasks.add(Task(task.function, replace(task.settings), real_app.submit, real_app.world.new_id, task.bind))
    zombie = start(crew)
    with closing(Watched(real_app)) as watched:
        result = real_app.tasks.find("linger").apply_async((str(tmp_path),))
        wait_until((tmp_path / "first").exists, 30, "the first run")
        stopped = tree(zombie.process.pid)
        for one in stopped:
            one.suspend()

        other = start(crew)
        value = result.get(60)
        (tmp_path / "go").touch()
        for one in stopped:
            one.resume()
        wait_until(lambda: "lost its lease after" in zombie.text, 30, "the zombie's word")

        events = [json.loads(text) for text in watched.published() if text.startswith('{"event"')]

    assert value in [one.pid for one in tree(other.process.pid)]
    assert result.record.result == value
    assert (result.record.deliveries, result.record.crashes) == (2, 1)
    outcomes = [one for one in events if one["event"] in ("completed", "failed", "retrying")]
    assert [(one["event"], one["data"]["result"]) for one in outcomes] == [("completed", value)]
    zombie.signal(signal.SIGTERM)
    assert zombie.end() == (0, "Stopped: 0 finished, 0 to be retried, 0 handed back, 0 lost.")
    lawful(real_app)
