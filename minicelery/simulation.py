"""An app in a memory of its own, with a worker that runs when it is told to and a clock that goes on by hand."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING

from . import scripts
from .app import MiniCelery
from .clock import VirtualClock, due_at, moment_of, utc, world_of
from .dispatch import Dispatch
from .errors import InvalidInput, SimulationError
from .firing import Clockwork
from .lock_keeper import HandKeeper
from .record import TaskRecord
from .recovery import EVERY, LOST
from .simulated_waits import Glance, SimulatedLocks
from .simulated_worker import Accident, After, Lost, Run, SimulatedWorker
from .spans import seconds_of

if TYPE_CHECKING:
    from .memory import Memory, Way

#: When a simulation begins, unless it is told otherwise.
START = datetime(2030, 1, 1, tzinfo=UTC)
#: Runs at one moment, beside those of the tasks that were there, and rounds of one duty, after which something goes
#: round in circles.
_MOST_AT_ONCE, _MOST_ROUNDS = 20_000, 1000
_NEEDS = (
    "a simulation needs fakeredis with Lua, which can't be used here ({}): pip install 'fakeredis[lua]>=2.41,<2.42'"
)


class Simulation:
    """What a test has in hand inside ``simulated(app)``. Nothing runs and no time passes by itself."""

    def __init__(self, app: MiniCelery, memory: "Memory", clock: VirtualClock) -> None:
        self._app = app
        self._memory = memory
        self._clock = clock
        self._clockwork = Clockwork(app.timetable, app.agenda, app.world)
        self._worker = SimulatedWorker(app, memory)
        self._learn()

    # ---- looking --------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time that all of the app lives by, in UTC."""
        return utc(self._clock.now())

    @property
    def waiting(self) -> list[TaskRecord]:
        """The tasks that are not finished: ready, delayed, stopped by a limit, or lost with a worker; who came first is
        in front."""
        ids = sorted(self._app.inspector.task_ids())
        found = [record for record in self._app.inspector.tasks(ids) if record and not record.finished]
        return sorted(found, key=lambda record: record.created_at)

    def queues(self) -> dict[str, int]:
        """The queues in which tasks are ready → how many; those in quarantine are not among them."""
        inspector = self._app.inspector
        return {queue: inspector.queue_length(queue) for queue in inspector.queues()}

    def check(self) -> None:
        """Raise ``SimulationError`` unless every task is in exactly one place, the one that its state names."""
        found = [str(violation) for violation in self._app.doctor.violations()]
        if found:
            raise SimulationError(f"the law of conservation is broken: {'; '.join(found)}")

    # ---- letting it go on -----------------------------------------------------------------------

    def run(self, most: int | None = None) -> list[Run]:
        """Run what is ready now, and what that submits, until nothing is; or ``most`` runs at most. No time passes."""
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise InvalidInput(f"{most!r:.100} is not a number of runs; use 1 or more, or None for all", "/most")
        self._begin()
        return self._moment(most)

    def advance(self, span: str | float | timedelta | datetime) -> list[Run]:
        """Let time pass: a span such as ``"1h30m"``, ``"2d"``, seconds or a ``timedelta``, or until a ``datetime``.

        The clock goes from one moment at which something is due to the next: delayed tasks and retries become ready,
        what is too late expires, schedules fire, limits let tasks pass, lost workers are recovered, and what is ready
        runs. The runs, in the order of time. While Redis is down time passes, and nothing else happens.
        """
        now = self._clock.now()
        target = due_at(moment_of(span) if isinstance(span, datetime) else now + seconds_of(span))
        if target < now:
            raise InvalidInput(f"{span} is past: it is {self.now}, and time only goes on")
        self._begin()
        runs = self._moment()
        while (due := self._next_moment()) is not None and due <= target:
            self._clock.go_to(due)
            runs += self._moment()
        self._clock.go_to(target)
        return runs

    def sleep(self, seconds: str | float | timedelta) -> None:
        """Let time pass and run nothing: for a task that takes a while, in the place of its ``time.sleep``. What
        becomes due meanwhile runs afterwards, late."""
        self._clock.sleep(seconds_of(seconds))

    # ---- what goes wrong ------------------------------------------------------------------------

    def kill_worker(self, after: After = "claim", *, lost: Lost = "machine", task: str | None = None) -> None:
        """Have the worker die that next claims a task (of this name, if one is given), and another take its place.

        ``after="claim"``: the run never begins; ``"run"``: it has ended, and nothing of it was recorded. With the
        ``"machine"`` its tasks come back when its lease is over (``MINICELERY_LEASE``, 15 s); of a ``"process"`` its
        parent sees the end at once. Crashes count, and lead into quarantine, as they do outside.
        """
        _check(after, ("claim", "run"), "/after")
        _check(lost, ("machine", "process"), "/lost")
        self._worker.accidents.append(Accident(after, lost, self._known(task)))

    def deliver_twice(self, task: str | None = None) -> None:
        """Have the next task (of this name, if one is given) run twice, as if its worker's lease had run out while it
        ran: it is delivered again, and what the first run ends with comes too late to be recorded."""
        self._worker.accidents.append(Accident("run", None, self._known(task)))

    def lose_connection(self, times: int = 1, when: "Way" = "request", script: str | None = None) -> None:
        """Cut the connection in the next call of a script (of this one, such as ``"enqueue"`` or ``"settle"``), and in
        those that follow it, ``times`` in a row: before Redis has the ``"request"``, or before its ``"reply"`` is here.

        The call is repeated as it is outside, and the pauses in between pass on the clock. What the worker calls is
        repeated until it is done; a submission for as long as the patience of the app.
        """
        _check(when, ("request", "reply"), "/when")
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise InvalidInput(f"{times!r:.100} is not a number of calls; use 1 or more", "/times")
        if script is not None:
            _check(script, scripts.NAMES, "/script")
        self._memory.lose(when, times, "" if script is None else scripts.load(script).sha)

    def redis_down(self) -> AbstractContextManager[None]:
        """Inside, Redis can't be reached: submissions raise ``RedisUnavailable`` after the patience of the app, which
        passes on the clock; nothing runs. Tasks that are there stay there."""
        return self._memory.down()

    def refuse_leftovers(self) -> None:
        """Raise ``SimulationError`` for what was to go wrong and never has: a test that shows nothing."""
        left = self._memory.to_lose
        if self._worker.accidents or left:
            raise SimulationError(
                "something was to go wrong in this simulation, and it has ended before: after kill_worker(), "
                "deliver_twice() or lose_connection() a task has to run, or a script to be called"
                + (f" ({left} more times)" if left else "")
            )

    # ---- how it goes on -------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._worker.is_running:
            raise SimulationError("a task can't let the simulation go on that it runs in; sim.sleep() lets time pass")
        if self._memory.connected:
            self._learn()

    def _learn(self) -> None:
        """See what the code declares by now."""
        if self._worker.learn():
            self._clockwork.declared = [*self._app.periodics]
            self._worker.insist(self._clockwork.declare)

    def _known(self, task: str | None) -> str | None:
        return None if task is None else self._app.tasks.find(task).name

    def _moment(self, most: int | None = None) -> list[Run]:
        """Do all that is to be done at this moment."""
        runs: list[Run] = []
        limit = _MOST_AT_ONCE + 2 * self._memory.size  # what is there may all run, and submit one more each
        for _ in range(limit):
            if not self._memory.connected or len(runs) == most:
                return runs
            self._keep_up()
            found, run = self._worker.work_once()
            runs += [run] if run else []
            if not found:
                return runs
        raise SimulationError(
            f"{limit:,} runs at one moment, {self.now}, and no end: perhaps a task submits itself again and "
            "again without a countdown, or is always retried at once"
        )

    def _keep_up(self) -> None:
        """What a worker does for all, as far as it is due."""
        broker, keys, now = self._app.broker, self._app.keys, self._clock.now()
        duties: dict[str, Callable[[], float | None]] = {
            keys.delayed: lambda: broker.promote()[1],
            keys.expiring: lambda: broker.expire()[1],
            keys.gates: broker.admit,
            keys.schedules: self._fire,
            keys.workers: self._recover,
            keys.open_runs: self._clockwork.note_ends,
        }
        for key, moment in self._due().items():
            if moment <= now:
                self._worker.insist(partial(_repeat, duties[key]))

    def _fire(self) -> float | None:
        self._clockwork.fire()
        due = self._memory.first_score(self._app.keys.schedules)
        is_more = due is not None and due <= self._clock.now()
        return 0.0 if is_more else None

    def _recover(self) -> None:
        for worker in self._app.inspector.expired_workers()[1]:
            self._app.broker.recover(worker, expired=True, cause=LOST)

    def _due(self) -> dict[str, float]:
        """The timetables in which something stands → when it is due, in the order in which they are looked after."""
        keys = self._app.keys
        tables = (keys.delayed, keys.expiring, keys.gates, keys.schedules, keys.workers)
        found = {key: self._memory.first_score(key) for key in tables}
        looked_at = self._memory.first_score(keys.open_runs)
        if looked_at is not None:  # how runs of schedules have ended is to be noted before their tasks are gone
            found[keys.open_runs] = looked_at + self._app.config.result_ttl / 2
        return {key: due_at(moment) for key, moment in found.items() if moment is not None}

    def _next_moment(self) -> float | None:
        """When something is due next. What could not be done now is tried again as often as a worker would."""
        if not self._memory.connected:
            return None
        now = self._clock.now()
        return min((moment if moment > now else now + EVERY for moment in self._due().values()), default=None)


@contextmanager
def simulated(app: MiniCelery, start: datetime = START, seed: int = 0) -> Iterator[Simulation]:
    """Inside, the app has a Redis in memory, a worker that runs by ``sim.run()`` and a clock that goes on by
    ``sim.advance("1h")``. All scripts are the real ones.

    ``delay`` only submits; so does the HTTP API of the app, asked by a test client. Delays, retries, schedules,
    expiries, limits, leases, locks and what Redis keeps for a while live by the clock, which begins at ``start``; ids,
    jitter and whatever else is chance follow from ``seed``: the same test sees the same every time. At the end the law
    of conservation is checked, unless something was raised, and the app is as before.

    Everything runs in this thread, one after the other: isolated tasks, too, and no limit of time or memory is kept. A
    run takes no time, unless it calls ``sim.sleep``. The time of Python (``time.time()``, ``datetime.now()``) is not
    touched: where a task looks at it, set it to ``sim.now`` by a tool such as time-machine. Parts of the app that were
    taken before, as in ``broker = app.broker``, are still those of the real Redis.
    """
    try:
        from . import memory as store
    except ImportError as error:
        raise SimulationError(_NEEDS.format(error)) from error
    store.prove(_NEEDS)
    if isinstance(vars(app).get("clients"), store.MemoryClients):
        raise SimulationError("this app is simulated already; use the simulation that there is")
    clock = VirtualClock(moment_of(start, "/start"))
    memory = store.Memory(clock)
    with _in_place(app, memory, clock, seed):
        simulation = Simulation(app, memory, clock)
        yield simulation
        simulation.refuse_leftovers()
        simulation.check()


@contextmanager
def _in_place(app: MiniCelery, memory: "Memory", clock: VirtualClock, seed: int) -> Iterator[None]:
    """Put the memory into the place of all that the app has made of its Redis, and take it away again."""
    names = [name for name, part in vars(MiniCelery).items() if isinstance(part, cached_property)]
    parts = {name: vars(app).pop(name) for name in names if name in vars(app)}
    world, config = app.world, app.config
    clients = memory.connect()
    try:
        app.world = world_of(clock, seed)
        app.config = config.overridden(durability="fast")  # there is no replica
        vars(app)["clients"] = clients
        app.scripts.load_all()
        vars(app)["locks"] = locks = SimulatedLocks(
            clients, app.scripts, app.keys, app.inspector, app.world, HandKeeper
        )
        assert isinstance(locks.keeper, HandKeeper)
        clock.next_duty, clock.duty = locks.keeper.next, locks.keeper.tend
        watch = Glance(clients.blocking, app.keys, app.inspector, app.world)
        vars(app)["sender"] = Dispatch(app.broker, app.inspector, watch, app.world, app.config.patience, app.why)
        yield
    finally:
        for name in names:
            vars(app).pop(name, None)
        vars(app).update(parts)
        app.world, app.config = world, config
        clients.end()


def _repeat(duty: Callable[[], float | None]) -> None:
    """Do a duty until there is nothing more to do now."""
    for _ in range(_MOST_ROUNDS):
        if duty() != 0.0:
            return


def _check(value: object, words: tuple[str, ...], pointer: str) -> None:
    if value not in words:
        raise InvalidInput(f"{value!r:.100} is unknown; use {', '.join(words)}", pointer)
