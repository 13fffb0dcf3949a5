"""Events on their way to those who watch: in order for each task, a few sockets at a time."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..events import Event, EventName
from .socket import framed
from .watching import Topic, Viewer

#: At most so many sockets are sent something before others get their turn.
SLICE = 32
#: With so many sends, or bytes of frames, to come, nothing more is to be added as far as that can be helped.
MOST_SENDS = 20_000
MOST_BYTES = 1_048_576


@dataclass(eq=False, slots=True)
class _Delivery:
    """An event, framed once, and who is to be sent it: those who watched when it came."""

    event: Event
    frame: bytes
    viewers: tuple[Viewer, ...]
    begun: int = 0

    @property
    def left(self) -> int:
        return len(self.viewers) - self.begun

    def take(self, most: int) -> tuple[Viewer, ...]:
        start, self.begun = self.begun, min(len(self.viewers), self.begun + most)
        return self.viewers[start : self.begun]


class Fanout:
    """What is still to be sent, by ``show``. Tasks take turns, so that few watchers do not wait for many.

    Every event is sent to all, with one exception: while it ``is_full``, a task's progress takes the place of an
    earlier one that nobody has been sent yet.
    """

    def __init__(self, show: Callable[[Sequence[Viewer], Event, bytes], None]) -> None:
        self._show = show
        self._queues: dict[Topic, deque[_Delivery]] = {}
        self._turns: deque[Topic] = deque()
        self._sends = 0
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def is_full(self) -> bool:
        return self._sends >= MOST_SENDS or self._bytes >= MOST_BYTES

    def add(self, topic: Topic, event: Event) -> None:
        """Have an event sent to all who watch the topic now."""
        if not topic.viewers:
            return
        queue = self._queues.get(topic)
        if queue is None:
            queue = self._queues[topic] = deque()
            self._turns.append(topic)
        elif self.is_full and _outdates(event, queue[-1]):
            self._count(queue.pop(), -1)
        queue.append(_Delivery(event, framed(event.text), tuple(topic.viewers)))
        self._count(queue[-1], 1)

    def hand_out(self) -> None:
        """Send one slice."""
        left = SLICE
        while left and self._turns:
            left -= self._send(self._turns.popleft(), left)

    def _send(self, topic: Topic, most: int) -> int:
        queue = self._queues[topic]
        delivery = queue[0]
        viewers = delivery.take(most)
        self._show(viewers, delivery.event, delivery.frame)
        self._sends -= len(viewers)
        if not delivery.left:
            self._bytes -= len(queue.popleft().frame)
        if queue:
            self._turns.append(topic)
        else:
            del self._queues[topic]
        return len(viewers)

    def _count(self, delivery: _Delivery, sign: int) -> None:
        self._sends += sign * delivery.left
        self._bytes += sign * len(delivery.frame)


def _outdates(event: Event, waiting: _Delivery) -> bool:
    return not waiting.begun and event.name is waiting.event.name is EventName.PROGRESS
