"""What passes between a worker and the broker: claims and their answers, outcomes, what was recovered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .message import Delivery
from .states import Status


@dataclass(frozen=True, slots=True)
class Claim:
    """One thread's claim. The same ``number`` again is answered with the same tasks.

    It is one task, or up to ``count`` if all of them have names known to be short: ``costs`` has the mean run time of
    each such name in microseconds, and ``budget`` what all may take together. Of a queue it gets no more than one of
    ``share`` threads would if they shared what waits there. With ``quarantine`` it is of the tasks that have crashed
    their process. One that is sent behind a wait is ``woken``, whatever has ended the wait. ``least_lease`` is for how
    many seconds the lease must last yet, so that nothing is given for long to a machine that has died.
    """

    worker: str
    thread: int
    number: int
    nonce: str
    queues: tuple[str, ...]
    count: int = 1
    woken: bool = False
    quarantine: bool = False
    share: int = 1
    budget: int = 0
    costs: Mapping[str, int] = field(default_factory=dict)
    least_lease: float = 0.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim. ``dropped`` are ids in the list that no PENDING task has; ``leased`` is false when the
    worker has no live lease, and so may claim nothing until its parent has renewed it. ``passed`` tells how many ids
    of tasks were put away that were cancelled or have expired: there may be more behind them."""

    deliveries: tuple[Delivery, ...] = ()
    dropped: tuple[str, ...] = ()
    leased: bool = True
    passed: int = 0

    @property
    def may_be_more(self) -> bool:
        """Whether another claim may bring something, although this one has brought no task."""
        return bool(self.dropped or self.passed)


class Accepted(NamedTuple):
    """The answer to a submission that is there already: it is a ``duplicate`` of the task with this id, or it is
    ``replayed``, since the same was asked under its idempotency key before. No status where the task is gone."""

    id: str
    status: Status | None
    duplicate: bool = False
    replayed: bool = False


#: What has become of a submission: the state of its task now; None where another task has its id.
Answer = Status | Accepted | None


#: What has become of something that a worker says of its delivery: True where it is recorded, None where the task was
#: cancelled meanwhile, so that its run is over and nothing else recorded, False where the lease was lost.
Kept = bool | None


class Settlement(NamedTuple):
    """How one delivery ended. ``body`` is the JSON of the result, or of the error."""

    id: str
    token: str
    status: Status
    body: str
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was recovered of a worker: tasks made ready, of these in ``quarantine``, and ``dead`` letters.

    ``stuck`` are tasks that stay with the worker, as another program has overwritten the key that they belong into.
    """

    ready: int = 0
    quarantined: int = 0
    dead: int = 0
    stuck: int = 0
