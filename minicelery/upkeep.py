"""What every worker does for all: renews leases, makes ready what is due, recovers what the dead had claimed."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .broker import Broker
from .doorbell import Alarm
from .errors import ForeignData, RedisUnavailable
from .firing import Clockwork
from .recovery import EVERY, Recovery
from .trouble import Trouble
from .world import World

_log = logging.getLogger("minicelery.upkeep")
_BEATS_A_LEASE = 3
#: Seconds after which what is due later is looked at although nobody has rung.
_LOOK_AHEAD = 5.0
#: Seconds between two looks at how the last runs of schedules have ended.
_NOTE_ENDS = 5.0
#: A worker that was just enrolled waits this long for its first beat at most. Waking costs Redis nothing.
_LONGEST_WAIT = 0.1


@dataclass(frozen=True)
class Office:
    """Who keeps up: the ``host`` whose dead are ours to recover, the length of a ``lease``, whether the server that
    was just reached will do, and what else to do every second."""

    host: str
    lease: float
    will_do: Callable[[], bool] = lambda: True
    every_second: Callable[[], None] = lambda: None


@dataclass
class _Due:
    """When each duty is next due, on the monotonic clock."""

    beat: float = 0.0
    promote: float = 0.0
    expire: float = 0.0
    admit: float = 0.0
    fire: float = 0.0
    note: float = 0.0
    recover: float = 0.0


class Upkeep:
    """One thread of a worker's parent. Each step is one atomic script, so any number of workers may do it at once."""

    def __init__(
        self, broker: Broker, recovery: Recovery, clockwork: Clockwork, alarm: Alarm, world: World, office: Office
    ) -> None:
        self._broker = broker
        self._recovery = recovery
        self._clockwork = clockwork
        self._alarm = alarm
        self._world = world
        self._office = office
        self._trouble = Trouble(_log, world)
        self._lock = threading.Lock()
        self._workers: dict[str, str] = {}
        #: What the code of this worker says of queues, as its newest child has said.
        self.queue_settings: Mapping[str, str] = {}
        self._registered: set[str] = set()
        self._stopping = threading.Event()
        self._due = _Due()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=2)

    def enrol(self, worker: str, info: str) -> None:
        """Register a worker and renew its lease from now on. ``info`` is the JSON that others are shown."""
        with self._lock:
            self._workers[worker] = info
        self._due.beat = self._due.fire = 0.0

    def dismiss(self, worker: str) -> None:
        """Renew its lease no longer."""
        with self._lock:
            self._workers.pop(worker, None)
            self._registered.discard(worker)

    def _run(self) -> None:
        listening = False
        while not self._stopping.is_set():
            try:
                if not listening:
                    self._alarm.open()
                    if not self._office.will_do():
                        break
                    self._due, listening = _Due(), True
                self._turn()
                self._trouble.over()
            except RedisUnavailable as error:
                self._alarm.close()
                listening = False
                self._stopping.wait(self._trouble.pause_after(error))
            except Exception as error:
                if self._trouble.is_news(error):
                    _log.exception("upkeep met an error that is no outage; 'minicelery doctor' may know more")
                self._stopping.wait(1)
        self._alarm.close()

    def _turn(self) -> None:
        """Do what is due, then wait for the next duty or for a ring."""
        now, due = self._world.monotonic(), self._due
        if now >= due.beat:
            due.beat = now + self._office.lease / _BEATS_A_LEASE
            self._do(self._beat)
            self._do(self._clockwork.declare)
        if now >= due.promote:
            due.promote = now + EVERY
            self._do(self._promote)
        if now >= due.expire:
            due.expire = now + EVERY
            self._do(self._expire)
        if now >= due.admit:
            due.admit = now + EVERY
            self._do(self._admit)
        if now >= due.fire:
            due.fire = now + EVERY
            self._do(self._fire)
        if now >= due.recover:
            due.recover = now + EVERY
            own = self._own()
            self._do(lambda: self._recovery.recover_kin(own, self._office.host))
            self._do(lambda: self._recovery.recover_expired(own))
            self._do(self._office.every_second)
        if now >= due.note:
            due.note = now + _NOTE_ENDS
            self._do(self._clockwork.note_ends)
        left = min(due.beat, due.promote, due.expire, due.admit, due.fire, due.recover) - self._world.monotonic()
        if left > 0 and self._alarm.wait(min(left, _LONGEST_WAIT)):
            due.promote = due.expire = due.admit = due.fire = 0.0

    def _do(self, duty: Callable[[], None]) -> None:
        """One duty. Where another program has taken a key of ours, or something else is wrong with one that is no
        outage, the other duties go on."""
        try:
            duty()
        except ForeignData as error:
            if self._trouble.is_news(error):
                _log.error("%s", error)
        except RedisUnavailable:
            raise
        except Exception as error:
            if self._trouble.is_news(error):
                _log.exception("upkeep met an error that is no outage; 'minicelery doctor' may know more")

    def _promote(self) -> None:
        now = self._world.monotonic()
        _, wait = self._broker.promote()
        self._due.promote = now + min(_LOOK_AHEAD, _LOOK_AHEAD if wait is None else wait)

    def _expire(self) -> None:
        now = self._world.monotonic()
        _, wait = self._broker.expire()
        self._due.expire = now + min(_LOOK_AHEAD, _LOOK_AHEAD if wait is None else wait)

    def _fire(self) -> None:
        if not self._registered:
            return  # our own code's schedules would be taken for those of nobody
        now = self._world.monotonic()
        wait = self._clockwork.fire()
        self._due.fire = now + min(_LOOK_AHEAD, _LOOK_AHEAD if wait is None else wait)

    def _admit(self) -> None:
        now = self._world.monotonic()
        wait = self._broker.admit()
        self._due.admit = now + min(_LOOK_AHEAD, _LOOK_AHEAD if wait is None else wait)

    def _own(self) -> set[str]:
        with self._lock:
            return set(self._workers)

    def _beat(self) -> None:
        with self._lock:  # also while the script runs: who is dismissed meanwhile must not be registered again
            if not self._workers:
                return
            answers = self._broker.beat(self._workers, self._office.lease, self.queue_settings)
            before = self._registered
            self._registered = set(answers)
        for worker, known in answers.items():
            if not known and worker in before:
                _log.warning("worker %s had lost its lease; what it was running is run again by others", worker)
