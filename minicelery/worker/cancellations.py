"""What a child is told of its tasks while they run: that somebody has cancelled them."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from .. import logs
from ..connection import Client, translated
from ..errors import RedisUnavailable
from ..inspector import Inspector
from ..message import Delivery
from ..trouble import Trouble
from ..world import World

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))
#: Seconds after which what is in hand is looked at anew, in case a word was lost or the connection is silently dead.
_RECHECK = 5.0
_TICK = 0.5
#: Seconds until another try to interrupt a run.
_SOON = 0.01
#: Cancelled tasks that are remembered. A word may come before the task itself, and after it has ended.
_MOST = 10_000

#: A task and the token of its delivery.
Pair = tuple[str, str]


class Cancellations:
    """Listens to the channel of one worker, in a thread of its own, and remembers which deliveries are cancelled.

    ``in_hand`` gives what the child has claimed: of that it asks itself when it may have missed a word. ``interrupt``
    raises an exception in a run, or ends its process; it says whether the run was inside its function.
    """

    def __init__(
        self,
        channel: str,
        client: Client,
        inspector: Inspector,
        world: World,
        trouble: Trouble,
        in_hand: Callable[[], list[Pair]],
        interrupt: Callable[[Pair], bool],
    ) -> None:
        self._channel_name = channel
        self._client = client
        self._inspector = inspector
        self._world = world
        self._trouble = trouble
        self._in_hand = in_hand
        self._interrupt = interrupt
        self._to_interrupt: set[Pair] = set()
        self._cancelled: OrderedDict[Pair, str] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cancellations", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer. The thread ends with its process, or within half a second."""
        self._stopping.set()

    def has(self, delivery: Delivery) -> bool:
        """Whether a delivery is cancelled."""
        return bool(self._cancelled) and (delivery.id, delivery.token) in self._cancelled

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with translated("listening for cancellations"):
                    self._listen()
            except RedisUnavailable as error:
                self._stopping.wait(self._trouble.pause_after(error))
            except Exception:
                _log.exception("listening for cancellations met an error of the worker itself")
                self._stopping.wait(1.0)

    def _listen(self) -> None:
        channel = self._client.pubsub()
        try:
            channel.subscribe(self._channel_name)
            asked_at = self._world.monotonic()
            while not self._stopping.is_set():
                self._interrupt_runs()
                message = channel.get_message(timeout=_SOON if self._to_interrupt else _TICK) or {"type": "silence"}
                if message["type"] == "message":
                    self._take(message["data"])
                # What is said after the subscription is heard; what was said before it is to be asked for.
                if message["type"] == "subscribe" or self._world.monotonic() - asked_at > _RECHECK:
                    asked_at = self._world.monotonic()
                    self._ask()
        finally:
            channel.close()

    def _ask(self) -> None:
        """Look at all that is in hand."""
        pairs = self._in_hand()
        for pair, order in zip(pairs, self._inspector.orders(pairs), strict=True):
            if order and self._cancelled.get(pair) not in (order, "interrupt"):
                self._note(pair, order)
        self._trouble.over()

    def _take(self, text: str) -> None:
        """What the script ``cancel`` says: an order, an id, a token."""
        order, task_id, token = [*text.split(" "), "", ""][:3]
        self._note((task_id, token), order)

    def _note(self, pair: Pair, order: str) -> None:
        self._cancelled[pair] = order
        while len(self._cancelled) > _MOST:
            self._cancelled.popitem(last=False)
        if order == "interrupt":
            self._to_interrupt.add(pair)

    def _interrupt_runs(self) -> None:
        """Interrupt what is to be. What is in hand and not inside its function may be about to begin: once more,
        soon."""
        for pair in [*self._to_interrupt]:
            if self._interrupt(pair) or pair not in self._in_hand():
                self._to_interrupt.discard(pair)
