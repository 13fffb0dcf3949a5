"""What goes wrong during a soak, and when: faults at random moments, the same for the same seed."""

import heapq
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from minicelery.embedded import EmbeddedServer
from minicelery.inspector import Inspector

from .crowd import LEASE, Tree
from .history import keep_history
from .proxy import FaultProxy

_DISTURBANCES: tuple[dict[str, Any], ...] = (
    {"silent": True},
    {"only": b"", "drop_replies": 0.1},
    {"delay": 0.03, "jitter": 0.05},
    {"slice": 7},
    {"one_way": True},
    {"black_hole": True},
)
_AGAIN = 0.2


@dataclass(frozen=True, kw_only=True)
class Doses:
    """How often each fault is done."""

    child_kills: int = 0
    tree_kills: int = 0
    server_kills: int = 0
    zombies: int = 0  #: trees that stand still for longer than their lease, and wake
    cuts: int = 0  #: all connections of a proxy
    torn_replies: int = 0  #: a connection ends within a reply
    refusals: int = 0  #: a proxy refuses connections for a while
    disturbances: int = 0  #: a proxy does one of the rest for a while
    script_flushes: int = 0
    client_kills: int = 0  #: all connections, by CLIENT KILL

    @classmethod
    def for_minutes(cls, minutes: float) -> Self:
        """Of five minutes: 200 kills of workers, 20 of Redis, 50 zombies and some more of each."""
        whole = cls(
            child_kills=140, tree_kills=75, server_kills=22, zombies=55, cuts=60, torn_replies=30, refusals=10,
            disturbances=40, script_flushes=20, client_kills=20,
        )  # fmt: skip
        return cls(**{one.name: math.ceil(getattr(whole, one.name) * minutes / 5) for one in fields(cls)})


@dataclass(frozen=True)
class Stage:
    """Where it happens."""

    server: EmbeddedServer
    client: Any  #: of the server itself, past all proxies
    inspector: Inspector
    trees: Sequence[Tree]
    proxies: Sequence[FaultProxy]  #: those of the trees, and others


class Chaos:
    """Does all doses at random moments of a time, some of them with a second part later, and counts what was done."""

    def __init__(self, stage: Stage, doses: Doses, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._stage = stage
        self._doses = doses
        self._random = random.Random(seed)
        self._usual = {proxy: proxy.faults for proxy in stage.proxies}
        self._disturbed: set[FaultProxy] = set()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def run(self, seconds: float) -> None:
        """Do it all. It takes longer if the machine is too slow for so much."""
        start = time.monotonic()
        for one in fields(self._doses):
            for _ in range(getattr(self._doses, one.name)):
                self._plan(start + self._random.uniform(0.05, 0.95) * seconds, getattr(self, f"_do_{one.name}"))
        while self._agenda:
            when, _, action = heapq.heappop(self._agenda)
            time.sleep(max(0.0, when - time.monotonic()))
            action()

    def shortcomings(self) -> list[str]:
        wanted = {one.name: getattr(self._doses, one.name) for one in fields(self._doses)}
        return [f"{self.done[name]} {name} of {count}" for name, count in wanted.items() if self.done[name] < count]

    def _plan(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), action))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._plan(time.monotonic() + seconds, action)

    # ---- processes ------------------------------------------------------------------------------

    def _do_child_kills(self) -> None:
        if self._random.choice(self._stage.trees).kill_child(self._random, self._alone()):
            self.done["child_kills"] += 1
        else:
            self._later(_AGAIN, self._do_child_kills)

    def _alone(self) -> set[int]:
        """The children in which a task runs alone: to kill one of them again and again is to say that the task did."""
        workers = self._stage.inspector.workers()
        return {int(str(worker.info["pid"])) for worker in workers if worker.info.get("quarantine")}

    def _do_tree_kills(self) -> None:
        tree = self._random.choice(self._stage.trees)
        if tree.has_ended_by_itself():
            self.done["ended by themselves"] += 1
        tree.kill()
        self.done["tree_kills"] += 1

    def _do_server_kills(self) -> None:
        server = self._stage.server
        server.kill()
        time.sleep(self._random.uniform(0.05, 0.6))
        server.start()
        keep_history(self._stage.client)
        self.done["server_kills"] += 1

    def _do_zombies(self) -> None:
        tree = self._busiest()
        if tree is None:
            self._later(_AGAIN, self._do_zombies)
            return
        tree.stop()
        pids = tree.pids()
        seconds = LEASE * self._random.uniform(1.3, 2.2)
        if self._random.random() < 0.2:
            self._later(seconds / 2, lambda: self._kill_in_sleep(tree, pids))
        self._later(seconds, lambda: self._wake(tree, pids))

    def _busiest(self) -> Tree | None:
        """The tree that has most in hand, of those that run; one of all is always left running."""
        running = [tree for tree in self._stage.trees if not tree.is_stopped and len(tree.pids()) > 1]
        if len(running) < 2:
            return None
        for worker in sorted(self._stage.inspector.workers(), key=lambda worker: -worker.claimed):
            for tree in running:
                if worker.claimed and worker.info.get("pid") in tree.pids():
                    return tree
        return None

    def _kill_in_sleep(self, tree: Tree, pids: set[int]) -> None:
        if tree.is_stopped and tree.pids() == pids and tree.kill_child(self._random, self._alone()):
            self.done["killed in their sleep"] += 1

    def _wake(self, tree: Tree, pids: set[int]) -> None:
        if tree.is_stopped and tree.pids() & pids:
            tree.wake()
            self.done["zombies"] += 1
        else:  # the whole tree was killed meanwhile
            self._later(_AGAIN, self._do_zombies)

    # ---- connections ----------------------------------------------------------------------------

    def _do_cuts(self) -> None:
        self._random.choice(self._stage.proxies).cut_all()
        self.done["cuts"] += 1

    def _do_torn_replies(self) -> None:
        self._random.choice(self._stage.proxies).cut_after(self._random.randint(1, 40))
        self.done["torn_replies"] += 1

    def _do_refusals(self) -> None:
        if proxy := self._undisturbed():
            proxy.refuse()
            proxy.cut_all()
            self.done["refusals"] += 1
        else:
            self._later(_AGAIN, self._do_refusals)

    def _do_disturbances(self) -> None:
        if proxy := self._undisturbed():
            proxy.set(**self._random.choice(_DISTURBANCES))
            self.done["disturbances"] += 1
        else:
            self._later(_AGAIN, self._do_disturbances)

    def _undisturbed(self) -> FaultProxy | None:
        """A proxy to be disturbed for a while."""
        free = [proxy for proxy in self._stage.proxies if proxy not in self._disturbed]
        if not free:
            return None
        proxy = self._random.choice(free)
        self._disturbed.add(proxy)
        self._later(self._random.uniform(0.3, LEASE), lambda: self._soothe(proxy))
        return proxy

    def _soothe(self, proxy: FaultProxy) -> None:
        usual = self._usual[proxy]
        proxy.heal()
        proxy.set(drop_replies=usual.drop_replies, only=usual.only)
        self._disturbed.discard(proxy)

    # ---- the server -----------------------------------------------------------------------------

    def _do_script_flushes(self) -> None:
        self._stage.client.script_flush()
        self.done["script_flushes"] += 1

    def _do_client_kills(self) -> None:
        self._stage.client.execute_command("CLIENT", "KILL", "TYPE", self._random.choice(["normal", "pubsub"]))
        self.done["client_kills"] += 1
