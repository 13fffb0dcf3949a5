"""The composition root: one object that an application declares its tasks on and sends them with."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from .agenda import Agenda
from .batch import gather
from .broker import Broker
from .bulk import BATCH, Bulk, Progress, batches, checked_ids
from .config import PREFIX, Config
from .connection import Clients, connect
from .context import Report, TaskContext
from .dispatch import Dispatch, Sent
from .doctor import Doctor
from .errors import InvalidInput, NotADeadLetter, TaskNotFound
from .executor import Executor, Isolate, is_not
from .inspector import Inspector
from .keys import Keys
from .limits import Limits
from .locks import Lock, LockOptions, Locks, Semaphore
from .message import Delivery, Idempotency, Message
from .names import check_name
from .options import TaskOptions, task_settings
from .periodic import Declarations, PeriodicOptions
from .queue_settings import QueueDeclarations, QueueOptions
from .record import TaskRecord
from .registry import Registry
from .reporter import Reporter
from .result import AsyncResult
from .schedules import Schedules
from .scripts import Scripts
from .states import Status
from .task import Signature, Task
from .timetable import Timetable
from .watch import Watch
from .why import Explanation, Why
from .world import World

if TYPE_CHECKING:
    from flask import Flask

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=Task[..., Any])
EXTENSION = "minicelery"


class Sender(Protocol):
    """What sends messages and answers for them: ``Dispatch``, or a stand-in for tests."""

    def send(self, message: Message) -> Sent: ...

    def send_many(
        self, messages: Iterable[Message], progress: Progress | None = None, into: list[Sent] | None = None
    ) -> list[Sent]: ...

    def send_once(self, messages: Sequence[Message], idempotency: Idempotency) -> tuple[list[Sent], bool]: ...

    def task(self, task_id: str) -> TaskRecord: ...

    def wait(self, task_id: str, timeout: float | None) -> TaskRecord: ...

    def cancel(self, task_id: str, *, interrupt: bool) -> Status: ...

    def forget(self, task_id: str) -> Status | None: ...

    def why(self, task_id: str) -> Explanation: ...


class MiniCelery:
    """A task queue. Declares tasks, sends them, reads their results.

    ``name`` is for people: it stands in the banner and the logs. Settings come from the environment and a
    ``.env`` file in the working directory; keywords (``redis_url=...``) win over both. All faults are
    reported at once, as ``ConfigError``. Nothing connects to Redis before the first call that needs it.
    """

    def __init__(
        self,
        name: str = "minicelery",
        *,
        config: Config | None = None,
        clients: Clients | None = None,
        world: World | None = None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.world = world or World()
        self.tasks = Registry()
        self.periodics = Declarations()
        self.queues = QueueDeclarations()
        self.around: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._settings = settings
        self.config = config or read_config(settings)
        if clients:
            self.__dict__["clients"] = clients

    def configure(self, **settings: Any) -> None:
        """Replace settings, checked as at the start. Connections that were made with the old ones are closed.

        For tests and programs that know the address only after the application was imported.
        """
        self.config = self.config.overridden(**settings)
        made = [name for name, part in vars(type(self)).items() if isinstance(part, cached_property)]
        if "clients" in self.__dict__:
            self.clients.close()
        for name in made:
            self.__dict__.pop(name, None)

    # ---- declaring tasks ----------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self, *, bind: Literal[True], **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[Concatenate[TaskContext, P], R]], Task[P, R]]: ...

    @overload
    def task(
        self, *, bind: Literal[False] = False, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(  # type: ignore[misc]  # mypy does not match Unpack with **options
        self, function: Callable[..., Any] | None = None, /, **options: Any
    ) -> Any:
        """Declare a function as a task: ``@app.task`` or ``@app.task(max_retries=5, ...)``, see ``TaskOptions``.

        With ``bind=True`` the function gets a ``TaskContext`` as its first argument.
        """

        bind = options.pop("bind", False)

        def declare(function: Callable[..., Any]) -> Task[..., Any]:
            _check_function(function)
            settings = task_settings(getattr(function, "__name__", ""), cast(TaskOptions, options))
            task: Task[..., Any] = Task(function, settings, self.submit, lambda: self.world.new_id(), bind)
            self.tasks.add(task)
            return task

        return declare if function is None else declare(function)

    def periodic(self, **options: Unpack[PeriodicOptions]) -> Callable[[T], T]:
        """Declare that a task is sent again and again: ``@app.periodic(every=30)`` above ``@app.task``.

        Whatever number of workers runs, each due time is one task. It is sent while a worker runs that has this code.
        """

        def declare(task: T) -> T:
            self.periodics.add(task, options)
            return task

        return declare

    def queue(self, name: str, **options: Unpack[QueueOptions]) -> str:
        """Declare what holds for a queue in all workers: ``app.queue("mail", concurrency=3, ageing=60)``. Its name.

        It holds while a worker runs that has this code; what is set at run time (``app.limits``) goes before it.
        """
        return self.queues.add(name, options)

    # ---- sending ------------------------------------------------------------------------------

    def submit(self, message: Message) -> AsyncResult[Any]:
        """Send a message made by ``Task.message``. When this returns, the task is in Redis."""
        return self.sender.send(message)[0]

    def submit_many(self, calls: Iterable[Signature[R]], *, progress: Progress | None = None) -> list[AsyncResult[R]]:
        """Send many calls, a round trip for some hundred. All calls are checked before the first is sent.

        Raises an ``InvalidInput`` that names the call by its number, as in ``/17/args/0``. What ``RedisUnavailable``
        and ``TaskIdTaken`` have left behind, they say themselves.
        """
        messages = gather(calls, _message_of, "/{}".format)
        return [result for result, _ in self.sender.send_many(messages, progress)]

    def message(
        self, name: str, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Message:
        """The checked message of a call by the task's name. Raises an ``InvalidInput`` that names the field."""
        return self.tasks.find(name).message(args, kwargs or {}, options)

    def result(self, task_id: str) -> AsyncResult[Any]:
        """The handle on a task submitted earlier, or elsewhere."""
        return AsyncResult(task_id, self.sender)

    def cancel(
        self, task_ids: Iterable[str], *, interrupt: bool = False, progress: Progress | None = None
    ) -> list[Status | None]:
        """Cancel tasks, see ``AsyncResult.cancel``, a round trip for a hundred. For each its state now: another one
        than CANCELLED where it had finished before, None where there is no such task."""
        ids = checked_ids(task_ids)
        states: list[Status | None] = []
        for batch in batches(ids, BATCH):
            states += self.broker.cancel(batch, interrupt=interrupt)
            if progress:
                progress(len(states), len(ids))
        return states

    def cancel_tagged(self, tag: str, *, interrupt: bool = False, progress: Progress | None = None) -> int:
        """Cancel all unfinished tasks that were submitted with a tag. How many that were."""
        ids = list(self.inspector.tagged(check_name(tag, "/tag")))
        return self.cancel(dict.fromkeys(ids), interrupt=interrupt, progress=progress).count(Status.CANCELLED)

    # ---- dead letters -------------------------------------------------------------------------

    def dead_letters(self, offset: int = 0, limit: int = 50) -> list[TaskRecord]:
        """A page of the tasks that failed for good, newest first."""
        ids = self.inspector.dead_letter_ids(offset, limit)
        return [record for record in self.inspector.tasks(ids) if record]

    def revive(self, task_id: str) -> None:
        """Put a dead letter back into its queue with all its retries. Raises ``NotADeadLetter``."""
        if not self.broker.revive([task_id], self.world.nonce())[0]:
            self._refuse_dead_letter(task_id, self.inspector.task(task_id).status)

    def revive_all(self) -> int:
        """Put all dead letters of this moment back into their queues, oldest first. How many that were."""
        return self.bulk.retry_dead()

    def discard(self, task_id: str) -> None:
        """Delete a dead letter. Raises ``NotADeadLetter`` or ``TaskNotFound``."""
        status = self.broker.forget(task_id, [Status.FAILED], self.world.nonce())
        if status is None:
            raise TaskNotFound(task_id)
        if status is not Status.FAILED:
            self._refuse_dead_letter(task_id, status)

    def _refuse_dead_letter(self, task_id: str, status: Status) -> None:
        raise NotADeadLetter(f"Task {task_id} is {status}, not a dead letter; only FAILED tasks are.")

    # ---- locks --------------------------------------------------------------------------------

    def lock(self, name: str, ttl: float = 30.0, **options: Unpack[LockOptions]) -> Lock:
        """A lock for ``with``. ``Lock`` says what it guarantees, and what it does not."""
        return Lock(self.locks, name, ttl, 1, **options)

    def semaphore(self, name: str, limit: int, ttl: float = 30.0, **options: Unpack[LockOptions]) -> Semaphore:
        """As ``lock``, for up to ``limit`` holders at a time."""
        return Semaphore(self.locks, name, ttl, limit, **options)

    # ---- parts, each made when first needed -----------------------------------------------------

    @cached_property
    def keys(self) -> Keys:
        return Keys(self.config.namespace)

    @cached_property
    def clients(self) -> Clients:
        return connect(self.config)

    @cached_property
    def scripts(self) -> Scripts:
        return Scripts(self.clients.commands, self.keys, self.world, self.config.patience)

    @cached_property
    def broker(self) -> Broker:
        return Broker(self.scripts, self.keys, self.config.result_ttl, self.config.confirm)

    @cached_property
    def schedules(self) -> Schedules:
        return Schedules(self.timetable, self.agenda, self, self.world)

    @cached_property
    def timetable(self) -> Timetable:
        return Timetable(self.scripts, self.keys)

    @cached_property
    def agenda(self) -> Agenda:
        return Agenda(self.clients.commands, self.keys, self.inspector)

    @cached_property
    def inspector(self) -> Inspector:
        return Inspector(self.clients.commands, self.keys)

    @cached_property
    def limits(self) -> Limits:
        """Limits and pauses, of queues and of task names."""
        return Limits(self.broker, self.inspector)

    @cached_property
    def bulk(self) -> Bulk:
        """Retries and deletes by the thousand."""
        return Bulk(self.broker, self.inspector, self.world)

    @cached_property
    def locks(self) -> Locks:
        return Locks(self.clients, self.scripts, self.keys, self.inspector, self.world)

    def why(self, task_id: str) -> Explanation:
        """Why a task has not begun yet. Raises ``TaskNotFound``."""
        return Why(self.clients.commands, self.keys, self.inspector, self.limits).explain(task_id)

    @cached_property
    def doctor(self) -> Doctor:
        return Doctor(self.clients.commands, self.scripts, self.keys, self.inspector, self.broker, self.world)

    @cached_property
    def sender(self) -> Sender:
        watch = Watch(self.clients.listening or self.clients.blocking, self.keys, self.inspector, self.world)
        return Dispatch(self.broker, self.inspector, watch, self.world, self.config.patience, self.why)

    @cached_property
    def executor(self) -> Executor:
        return self.make_executor()

    def make_executor(
        self,
        report: Report | None = None,
        cancelled: Callable[[Delivery], bool] = is_not,
        isolate: Isolate | None = None,
    ) -> Executor:
        """An executor of this app's tasks that hands progress to ``report`` (None: to Redis), and knows from
        ``cancelled`` which deliveries are. Isolated tasks are handed to ``isolate``, or run like any other."""
        report = report or self._reporter.report
        return Executor(self.tasks.find, report, self.world.random, cancelled, lambda: self.around(), isolate)

    @cached_property
    def _reporter(self) -> Reporter:
        impatient = Scripts(self.clients.commands, self.keys, self.world, patience=0.0)
        return Reporter(Broker(impatient, self.keys, self.config.result_ttl), self.world)

    # ---- Flask --------------------------------------------------------------------------------

    def init_app(self, flask_app: "Flask") -> None:
        """Join an existing Flask app: tasks run inside its application context, and its ``MINICELERY_*``
        configuration values count as settings. The HTTP API is a blueprint, see ``minicelery.web``."""
        theirs = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in flask_app.config.items()
            if name.startswith(PREFIX)
        }
        if theirs:
            self.configure(**{**theirs, **self._settings})
        self.around = flask_app.app_context
        flask_app.extensions[EXTENSION] = self


def _check_function(function: object) -> None:
    if not callable(function):
        raise InvalidInput(f"{function!r:.80} is not a function; write @app.task or @app.task(name=...)")
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_kind(function) for is_kind in kinds):
        raise InvalidInput(f"{function!r:.80} is async or a generator; tasks are plain functions that return a value")


def _message_of(call: object) -> Message:
    if not isinstance(call, Signature):
        raise InvalidInput(f"{call!r:.80} is not a call; make it with task.s(...)")
    return call.message()


def read_config(settings: Mapping[str, Any]) -> Config:
    """The settings of this process: its environment over a ``.env`` file here, and ``settings`` over both."""
    return Config.from_env(os.environ, Path(".env"), **settings)
