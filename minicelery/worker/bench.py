"""What all threads of one child share."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ..broker import Broker
from ..doorbell import Doorbell
from ..interrupt import Run
from ..message import Delivery
from ..outcome import Outcome
from ..trouble import Trouble
from ..turns import Turns
from ..world import World
from .board import Board, Limit
from .buffer import Buffer
from .crew import Crew
from .pace import Pace


@dataclass(frozen=True)
class Bench:
    """The tools of a child's threads. ``share``: threads among whom what waits in a queue should be spread.

    ``least_lease``: seconds that its lease must last yet when a thread that has waited is given work.
    """

    worker: str
    turns: Turns
    broker: Broker
    doorbell: Doorbell
    execute: Callable[[Delivery], Outcome | None]
    board: Board
    trouble: Trouble
    world: World
    stopping: threading.Event
    limit: Callable[[Delivery], Limit | None] = lambda _: None
    interrupt: Callable[[Run, type[BaseException]], bool] = lambda *_: False
    knows: Callable[[str], bool] = lambda _: True
    cancelled: Callable[[Delivery], bool] = lambda _: False
    after_task: Callable[[], None] = lambda: None
    quarantine: bool = False
    share: int = 1
    least_lease: float = 0.0
    buffer: Buffer = field(default_factory=Buffer)
    pace: Pace = field(default_factory=Pace)
    crew: Crew = field(default_factory=Crew)
