"""The worker of a simulation: claims, runs and records one task after the other, and dies when it is told to."""

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from . import codec
from .app import MiniCelery
from .clock import utc
from .errors import RedisUnreachable
from .handover import Claim, Kept, Settlement
from .message import Delivery
from .queue_settings import facts_of
from .recovery import LOST
from .states import Status

if TYPE_CHECKING:
    from .memory import Memory

#: The lease of the one that lives, whose parent never misses to renew it.
_ALWAYS = 100 * 366 * 86_400.0
_KILLED = "was ended by SIGKILL"
_PAUSE = 1.0  #: seconds after a call in vain
_T = TypeVar("_T")

After = Literal["claim", "run"]
Lost = Literal["machine", "process"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task. ``attempt`` counts its deliveries from 1. ``status`` is what was recorded: SUCCESS, FAILED,
    RETRYING or CANCELLED; None where nothing was, as the worker died or somebody else had the task by then."""

    task_id: str
    name: str
    at: datetime
    attempt: int
    status: Status | None


@dataclass(frozen=True, slots=True)
class Accident:
    """What is to befall the next worker that has claimed a task, of this name if there is one: the death of its
    process or its machine, or, with nothing ``lost``, a lease that is over before the outcome comes."""

    after: After
    lost: Lost | None
    task: str | None


class SimulatedWorker:
    """One lives at any time, and serves all queues. Those that have died with their machine are registered until their
    leases are over."""

    def __init__(self, app: MiniCelery, memory: "Memory") -> None:
        self._app = app
        self._memory = memory
        self._executor = app.make_executor(cancelled=self._is_cancelled)
        self._number = self._claims = 0
        self._facts: dict[str, object] = {"schedules": []}
        self._id = ""
        self._unrecorded: list[Settlement] = []
        self.accidents: list[Accident] = []
        self.is_running = False
        self._places = (app.keys.queue(""), app.keys.priorities(""), app.keys.quarantine(""))
        memory.keep_in_view(*self._places)
        self.succeed()

    def succeed(self) -> None:
        """A new worker takes the place of the last one."""
        self._number += 1
        self._claims = 0
        self._id = f"simulated-{self._number}"
        self._beat(_ALWAYS)

    def learn(self) -> bool:
        """Tell others what the code has by now; whether it declares other schedules than before."""
        before, self._facts = self._facts, self._describe()
        if self._facts != before:
            self._beat(_ALWAYS)
        return self._facts["schedules"] != before["schedules"]

    def work_once(self) -> tuple[bool, Run | None]:
        """Claim one task and run it: whether there was one, and the run, which there is not if the worker died before
        it could begin."""
        if self._unrecorded:
            self._record(self._id)
        delivery = self._claim()
        if delivery is None:
            return False, None
        accident = self._next_accident(delivery)
        if accident and accident.after == "claim":
            self._die(accident.lost, ())
            return True, None
        at = utc(self._memory.clock.now())
        self.is_running = True
        try:
            outcome = self._executor.execute(delivery)
        finally:
            self.is_running = False
        worker, status = self._id, None
        if accident:
            self._die(accident.lost, (delivery.id,))
        if outcome and not (accident and accident.lost):
            one = Settlement(delivery.id, delivery.token, outcome.status, outcome.body, outcome.delay)
            self._unrecorded.append(one)
            if self._memory.connected:
                [kept] = self._record(worker)
                status = {True: outcome.status, None: Status.CANCELLED, False: None}[kept]
        return True, Run(delivery.id, delivery.name, at, delivery.deliveries, status)

    def insist(self, call: Callable[[], _T]) -> _T:
        """The answer to a call, which is repeated with pauses for as long as its connection is cut on demand."""
        while True:
            left = self._memory.to_lose
            try:
                return call()
            except RedisUnreachable:
                if self._memory.to_lose == left:
                    raise
            self._app.world.sleep(_PAUSE)

    def _record(self, worker: str) -> list[Kept]:
        """Record what is kept of outcomes, more than one only if tasks have left Redis down."""
        ended, self._unrecorded = self._unrecorded, []
        return self.insist(lambda: self._app.broker.settle(worker, ended))

    def _next_accident(self, delivery: Delivery) -> Accident | None:
        for accident in self.accidents:
            if accident.task in (None, delivery.name):
                self.accidents.remove(accident)
                return accident
        return None

    def _die(self, lost: Lost | None, begun: Iterable[str]) -> None:
        worker = self._id
        if lost == "process":
            self.insist(lambda: self._app.broker.recover(worker, begun, cause=_KILLED))
        elif lost == "machine":
            self._beat(self._app.config.lease)
        else:
            self._beat(0.0)
            self.insist(lambda: self._app.broker.recover(worker, expired=True, cause=LOST))
        self.succeed()

    # ---- claiming -------------------------------------------------------------------------------

    def _claim(self) -> Delivery | None:
        """The next task: of the queues of the configuration in their order, then of the others by their names, then of
        those in quarantine."""
        lists, priorities, quarantines = self._places
        found = [key for key in self._memory.seen() if key != self._app.keys.dead_letter]
        waiting = {one.removeprefix(start) for one in found for start in (lists, priorities) if one.startswith(start)}
        alone = sorted(one.removeprefix(quarantines) for one in found if one.startswith(quarantines))
        named = self._app.config.turns.order(self._app.world.random)
        queues = [*(one for one in named if one in waiting), *sorted(waiting.difference(named))]
        return self._claim_of(queues, quarantine=False) or self._claim_of(alone, quarantine=True)

    def _claim_of(self, queues: Iterable[str], *, quarantine: bool) -> Delivery | None:
        named, nonce = tuple(queues), self._app.world.nonce
        while named:
            self._claims += 1
            claim = Claim(self._id, 0, self._claims, nonce(), named, quarantine=quarantine)
            claimed = self.insist(partial(self._app.broker.claim, claim))
            if claimed.deliveries:
                return claimed.deliveries[0]
            if not claimed.leased:
                self._beat(_ALWAYS)
            elif not claimed.may_be_more:
                break
        return None

    def _is_cancelled(self, delivery: Delivery) -> bool:
        return self._app.inspector.orders([(delivery.id, delivery.token)]) != [None]

    def _beat(self, lease: float) -> None:
        beat, facts = self._app.broker.beat, codec.encode(self._facts)
        self.insist(lambda: beat({self._id: facts}, lease, self._app.queues.texts()))

    def _describe(self) -> dict[str, object]:
        app = self._app
        queues = dict.fromkeys([*app.config.turns.queues, *sorted(task.settings.queue for task in app.tasks)])
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(queues),
            "threads": 1,
            "quarantine": False,
            "tasks": sorted(task.name for task in app.tasks),
            "schedules": [f"{one.name} {one.version}" for one in app.periodics],
            "settings": facts_of(app.queues.texts()),
            "machine": "",
            "processes": [],
        }
