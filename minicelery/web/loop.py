"""The thread that serves all detached WebSockets of a process, and brings them the events they watch."""

import contextlib
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from ..errors import MiniCeleryError, RedisUnavailable
from ..events import Event, parse
from ..inspector import Inspector
from ..world import World
from .channels import Channels, Link
from .fanout import SLICE, Fanout
from .socket import Limits, framed
from .viewers import Viewers
from .watching import Arrival, Subscription, Topic, Viewer, first_events

_log = logging.getLogger("minicelery.hub")

#: Seconds of sleep between two slices of work. Merely letting go of Python's lock for a moment, as each send does,
#: is too short for a request thread to wake up and take it.
REST = 0.00005
_BATCH = 100
_PAUSE = 0.5


class Stopping(MiniCeleryError):
    """This process is about to end and takes no more watchers; connect again in a moment."""


class Loop:
    """One selector, all sockets, one Pub/Sub connection. Other threads hand it work by ``post``."""

    def __init__(self, connect: Callable[[], Link], inspector: Inspector, limits: Limits, world: World) -> None:
        self._inspector = inspector
        self._world = world
        self._selector = selectors.DefaultSelector()
        self._channels = Channels(connect, self._selector, self.post, self, world)
        self._topics: dict[str, Topic] = {}
        self._viewers = Viewers(self._selector, limits, world, self._leave)
        self._fanout = Fanout(self._viewers.show)
        self._inbox: deque[Callable[[], None]] = deque()
        self._inbox_lock = threading.Lock()
        self._has_ended = False
        self._stop_by: float | None = None
        self._stopping = threading.Event()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._hear_bell)

    # ---- for other threads --------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many sockets it serves."""
        return len(self._viewers)

    def post(self, call: Callable[[], None]) -> bool:
        """Have ``call`` run in the loop's thread, soon. False when the loop has ended."""
        with self._inbox_lock:
            if self._has_ended:
                return False
            self._inbox.append(call)
        with contextlib.suppress(OSError):  # it is ringing already, or has just ended
            self._ringer.send(b"!")
        return True

    def run(self) -> None:
        """Serve until ``stop``. The target of the thread."""
        try:
            while not self._is_done():
                try:
                    self._turn()
                except Exception:
                    _log.exception("The WebSocket loop has met an unexpected error and goes on.")
                    self._stopping.wait(0.1)
        finally:
            self._dismantle()

    # ---- work that is posted ------------------------------------------------------------------

    def watch(self, subscription: Subscription) -> None:
        """Have the subscription confirmed, or failed at once while Redis is away."""
        if self._stop_by is not None:
            subscription.fail(Stopping("This process is about to end; connect again in a moment."))
            return
        if self._channels.is_away:
            subscription.fail(RedisUnavailable("Redis can't be reached for live events; try again in a moment"))
            return
        channel = subscription.channel
        topic = self._topics.setdefault(channel, Topic(subscription.task_id, channel))
        topic.waiting.add(subscription)
        self._channels.want(channel)
        if self._channels.is_confirmed(channel):
            subscription.confirm(self._channels.epoch)

    def abandon(self, subscription: Subscription) -> None:
        """Forget a subscription that no socket came for."""
        if topic := self._topics.get(subscription.channel):
            topic.waiting.discard(subscription)
            self._release(topic)

    def attach(self, subscription: Subscription, arrival: Arrival) -> None:
        """Serve a socket, from its first events on."""
        topic = self._topics[subscription.channel]
        try:
            viewer = self._viewers.admit(arrival)
        except (OSError, ValueError):
            self.abandon(subscription)
            raise
        viewer.topic = topic
        topic.viewers.add(viewer)
        topic.waiting.discard(subscription)
        self._viewers.welcome(viewer, arrival)
        for event in subscription.since(arrival.since):
            self._viewers.show([viewer], event, framed(event.text))
        if self._stop_by is not None:
            self._viewers.close(viewer, 1001, "the server is stopping")
        elif viewer.topic and subscription.epoch != self._channels.epoch:
            self._reread([viewer.topic])

    def refuse(self, arrival: Arrival, code: int, reason: str) -> None:
        """Close a socket that has nothing to watch."""
        self._viewers.close(self._viewers.admit(arrival), code, reason)

    def stop(self, code: int, reason: str, stop_by: float) -> None:
        """Close all sockets; end when they are closed, or at ``stop_by``."""
        self._stop_by = stop_by
        self._stopping.set()
        self._viewers.close_all(code, reason)
        for topic in list(self._topics.values()):
            self._fail_waiting(topic, Stopping("This process is about to end; connect again in a moment."))

    # ---- what the channels tell ---------------------------------------------------------------

    def heard(self, channel: str, text: str) -> None:
        topic, event = self._topics.get(channel), parse(text)
        if topic is None or event is None:
            return
        topic.is_quiet = False
        for subscription in topic.waiting:
            subscription.heard.append(event)
        self._fanout.add(topic, event)

    @property
    def is_behind(self) -> bool:
        return self._fanout.is_full

    def confirmed(self, channel: str) -> None:
        if topic := self._topics.get(channel):
            for subscription in topic.waiting:
                subscription.confirm(self._channels.epoch)

    def lost(self, error: RedisUnavailable) -> None:
        for topic in list(self._topics.values()):
            self._fail_waiting(topic, error)

    def restored(self) -> None:
        self._reread([topic for topic in self._topics.values() if topic.viewers])

    def _fail_waiting(self, topic: Topic, error: MiniCeleryError) -> None:
        """Those that wait for a confirmation. The others have it, and will come with their socket."""
        for subscription in [one for one in topic.waiting if not one.is_confirmed]:
            topic.waiting.discard(subscription)
            subscription.fail(error)
        self._release(topic)

    # ---- what was missed ----------------------------------------------------------------------

    def _reread(self, topics: Sequence[Topic]) -> None:
        """Tell the viewers of these topics the present state, as if they came now: they have missed events."""
        for topic in topics:
            topic.is_quiet = True
        channels = {topic.channel: topic.task_id for topic in topics}
        if channels:
            reader = partial(self._read_states, channels, self._channels.epoch)
            threading.Thread(target=reader, name="minicelery-hub-reread", daemon=True).start()

    def _read_states(self, channels: dict[str, str], epoch: int) -> None:
        """In a thread of its own; gives up when the connection is lost again, as that leads to another reading."""
        left = iter(channels.items())
        while batch := dict(islice(left, _BATCH)):
            while True:
                if epoch != self._channels.epoch or self._stopping.is_set():
                    return
                try:
                    states = first_events(self._inspector, batch)
                    break
                except RedisUnavailable:
                    self._stopping.wait(_PAUSE)
                except Exception:
                    _log.exception("The present state of %d watched tasks can't be read.", len(batch))
                    return
            self.post(partial(self._tell_states, states))

    def _tell_states(self, states: dict[str, list[Event]]) -> None:
        for channel, events in states.items():
            topic = self._topics.get(channel)
            if topic and topic.is_quiet:  # else an event came meanwhile, which is newer
                for event in events:
                    self._fanout.add(topic, event)

    # ---- topics -------------------------------------------------------------------------------

    def _leave(self, viewer: Viewer) -> None:
        if topic := viewer.topic:
            viewer.topic = None
            topic.viewers.discard(viewer)
            self._release(topic)

    def _release(self, topic: Topic) -> None:
        if not topic.viewers and not topic.waiting and topic.channel in self._topics:
            del self._topics[topic.channel]
            self._channels.forget(topic.channel)

    # ---- turning ------------------------------------------------------------------------------

    def _turn(self) -> None:
        for number, (key, mask) in enumerate(self._selector.select(self._idle_time()), 1):
            if isinstance(key.data, Viewer):
                self._viewers.serve(key.data, mask)
            else:
                key.data(mask)
            if number % SLICE == 0:
                self._rest()
        for call in [self._inbox.popleft() for _ in range(len(self._inbox))]:
            self._run_posted(call)
        self._viewers.tick()
        if self._stop_by is None:
            self._channels.turn()
        self._fanout.hand_out()
        if self._fanout:
            self._rest()

    def _rest(self) -> None:
        """Let request threads have Python's lock, unless the process is to end soon."""
        if self._stop_by is None:
            self._world.sleep(REST)

    def _run_posted(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            _log.exception("The WebSocket loop could not do %r.", call)

    def _idle_time(self) -> float | None:
        if self._fanout:
            return 0.0
        dues = [self._channels.due, self._stop_by, self._viewers.due]
        first = min((due for due in dues if due is not None), default=None)
        return None if first is None else max(0.0, first - self._world.monotonic())

    def _hear_bell(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(65_536)

    def _is_done(self) -> bool:
        if self._stop_by is None:
            return False
        return not self._viewers or self._world.monotonic() >= self._stop_by

    def _dismantle(self) -> None:
        with self._inbox_lock:
            self._has_ended = True
        self._stopping.set()
        for call in self._inbox:
            self._run_posted(call)
        self._viewers.drop_all()
        self._channels.close()
        self._selector.close()
        self._bell.close()
        self._ringer.close()
