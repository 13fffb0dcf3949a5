"""What calls of scripts cost: Redis's processor time for a task, and the time until an answer is here."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from minicelery.broker import Broker
from minicelery.handover import Claim, Claimed, Settlement
from minicelery.states import Status

from .figures import share

PROGRAM = "noop"


@dataclass
class Spent:
    """On so many tasks: Redis's seconds of processor time, and the seconds of each call."""

    tasks: int = 0
    cpu: float = 0.0
    trips: list[float] = field(default_factory=list)


class Spending:
    """Keeps what was spent on one server, by names."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._spent: defaultdict[str, Spent] = defaultdict(Spent)

    def on(self, name: str, calls: int, act: Callable[[], object], at_once: int = 1) -> None:
        """Act so often, for so many tasks each time."""
        spent, before = self._spent[name], self._cpu()
        for _ in range(calls):
            begun = time.perf_counter()
            act()
            spent.trips.append(time.perf_counter() - begun)
        spent.cpu += self._cpu() - before
        spent.tasks += calls * at_once

    def figures(self) -> dict[str, float]:
        """Of each name the microseconds of Redis a task, and those of the middle call."""
        figures = {f"{name}_redis": 1e6 * one.cpu / one.tasks for name, one in self._spent.items()}
        return figures | {f"{name}_trip": 1e6 * share(one.trips, 0.5) for name, one in self._spent.items()}

    def _cpu(self) -> float:
        """Not the time that Redis counts for each script: that goes on while others have the processor."""
        facts = self._client.info("cpu")
        return float(facts["used_cpu_user"] + facts["used_cpu_sys"])


class StubWorker:
    """A worker that exists in Redis only, so that nothing else runs meanwhile."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.name = name
        self._broker = broker
        self._numbers = count(1)
        self._held: dict[int, Sequence[Settlement]] = {}

    def claim(self, queues: tuple[str, ...], at_once: int) -> Claim:
        """Its next claim."""
        number = next(self._numbers)
        return Claim(self.name, 0, number, f"{number:012x}", queues, at_once, budget=10**9, costs={PROGRAM: 1})

    def holds(self, at_once: int) -> bool:
        """Whether a claim of as many has brought something that is not recorded yet."""
        return bool(self._held.get(at_once))

    def trade(self, queues: tuple[str, ...], at_once: int) -> Claimed:
        """Record what the last claim of as many brought, and claim again."""
        claim = self.claim(queues, at_once)
        _, claimed = self._broker.exchange(self.name, self._held.get(at_once, ()), lambda: claim)
        self._held[at_once] = [Settlement(one.id, one.token, Status.SUCCESS, "1") for one in claimed.deliveries]
        return claimed
