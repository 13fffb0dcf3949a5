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
    """An event, framed once, and who is to be sent it: those who watched when it came. ``then`` is the task's next."""

    topic: Topic
    event: Event
    frame: bytes
    viewers: tuple[Viewer, ...]
    begun: int = 0
    then: "_Delivery | None" = None


class Fanout:
    """What is still to be sent, by ``show``. Tasks take turns, so that few watchers do not wait for many.

    Every event is sent to all, with one exception: while it ``is_full``, a task's progress takes the place of an
    earlier one that nobody has been sent yet.
    """

    def __init__(self, show: Callable[[Sequence[Viewer], Event, bytes], None]) -> None:
        self._show = show
        self._turns: deque[_Delivery] = deque()
        self._last: dict[Topic, _Delivery] = {}
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
        delivery = _Delivery(topic, event, framed(event.text), tuple(topic.viewers))
        last = self._last.get(topic)
        if last is None:
            self._turns.append(delivery)
        elif self.is_full and _outdates(event, last):
            self._sends += len(delivery.viewers) - len(last.viewers)
            self._bytes += len(delivery.frame) - len(last.frame)
            last.event, last.frame, last.viewers = event, delivery.frame, delivery.viewers
            return
        else:
            last.then = delivery
        self._last[topic] = delivery
        self._sends += len(delivery.viewers)
        self._bytes += len(delivery.frame)

    def hand_out(self) -> None:
        """Send one slice."""
        left = SLICE
        while left and self._turns:
            left -= self._send(self._turns.popleft(), left)

    def _send(self, delivery: _Delivery, most: int) -> int:
        viewers = delivery.viewers[delivery.begun : delivery.begun + most]
        self._show(viewers, delivery.event, delivery.frame)
        self._sends -= len(viewers)
        delivery.begun += len(viewers)
        if delivery.begun < len(delivery.viewers):
            self._turns.append(delivery)
        else:
            self._end(delivery)
        return len(viewers)

    def _end(self, delivery: _Delivery) -> None:
        self._bytes -= len(delivery.frame)
        if delivery.then:
            self._turns.append(delivery.then)
        else:
            del self._last[delivery.topic]


def _outdates(event: Event, waiting: _Delivery) -> bool:
    return not waiting.begun and event.name is waiting.event.name is EventName.PROGRESS
