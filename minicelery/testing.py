"""A kit for the tests of applications: run tasks at once, drain the queues right here, or simulate all of it."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from . import codec
from .app import MiniCelery
from .bulk import Progress
from .dispatch import Sent
from .errors import InvalidInput, TaskNotFound
from .handover import Claim, Settlement
from .keys import NORMAL_PRIORITY
from .message import Delivery, Idempotency, Message
from .outcome import Outcome
from .queue_settings import facts_of
from .record import TaskRecord
from .result import AsyncResult
from .simulated_worker import Run
from .simulation import Simulation, simulated
from .states import FINISHED, Status
from .why import Explanation

__all__ = ["EagerSender", "Run", "Simulation", "drain", "eager", "simulated"]

_LEASE = 3600.0


@contextmanager
def eager(app: MiniCelery) -> Iterator[None]:
    """Inside, ``delay`` runs the task at once in the caller's thread, without Redis.

    Delays are skipped and retries follow at once; a failed task raises when its result is asked for. Isolated tasks run
    here, too, and no limit of time or memory is kept. No call is taken for the same as one before it.
    """
    before = app.__dict__.get("sender")
    app.__dict__["sender"] = EagerSender(app)
    try:
        yield
    finally:
        del app.__dict__["sender"]
        if before is not None:
            app.__dict__["sender"] = before


def drain(app: MiniCelery, *, early: bool = False) -> int:
    """Run everything that is ready, in all queues, in this thread, until nothing is left. How many runs that were.

    What tasks submit meanwhile is run too. Delayed tasks are run when they are due; with ``early`` all of
    them at once, retries included. Isolated tasks run here, too, and no limit of time or memory is kept.
    """
    worker, runs = f"drain-{app.world.nonce()}", 0
    said = app.queues.texts()
    app.broker.beat({worker: codec.encode({"settings": facts_of(said)})}, _LEASE, said)
    try:
        for number in range(1, 1_000_000):
            app.broker.expire()
            app.broker.promote(early=early)
            app.broker.admit()
            queues = tuple(app.inspector.queues())
            claimed = app.broker.claim(Claim(worker, 0, number, app.world.nonce(), queues))
            for delivery in claimed.deliveries:
                _run(app, worker, delivery)
                runs += 1
            if not claimed.deliveries and not claimed.may_be_more:
                return runs
        raise InvalidInput("the queues do not become empty: a task submits itself again and again")
    finally:
        app.broker.recover(worker)


def _run(app: MiniCelery, worker: str, delivery: Delivery) -> None:
    outcome = app.executor.execute(delivery)
    if outcome:
        one = Settlement(delivery.id, delivery.token, outcome.status, outcome.body, outcome.delay)
        app.broker.settle(worker, [one])


class EagerSender:
    """Stands in for ``Dispatch``: executes each message on the spot and remembers the records."""

    def __init__(self, app: MiniCelery) -> None:
        self._app = app
        self._records: dict[str, TaskRecord] = {}

    def send(self, message: Message) -> Sent:
        record = _accepted(message)
        self._records[message.id] = record
        while not record.finished:
            record = self._run_once(record, message)
            self._records[message.id] = record
        return AsyncResult(message.id, self), record.status

    def send_many(
        self, messages: Iterable[Message], progress: Progress | None = None, into: list[Sent] | None = None
    ) -> list[Sent]:
        sent = [] if into is None else into
        sent.extend(self.send(message) for message in messages)
        if progress and sent:
            progress(len(sent), len(sent))
        return sent

    def send_once(self, messages: Sequence[Message], idempotency: Idempotency) -> tuple[list[Sent], bool]:
        """All is done at once, and nothing remembered of it."""
        return self.send_many(messages), False

    def task(self, task_id: str) -> TaskRecord:
        try:
            return self._records[task_id]
        except KeyError:
            raise TaskNotFound(task_id) from None

    def wait(self, task_id: str, timeout: float | None) -> TaskRecord:
        return self.task(task_id)

    def cancel(self, task_id: str, *, interrupt: bool) -> Status:
        """All has finished as soon as it is sent."""
        return self.task(task_id).status

    def why(self, task_id: str) -> Explanation:
        """Nothing waits here."""
        status = self.task(task_id).status
        return Explanation(task_id, status, None, (f"it is over: {status}",))

    def forget(self, task_id: str) -> Status | None:
        record = self._records.get(task_id)
        if record and record.status in FINISHED:
            del self._records[task_id]
        return record.status if record else None

    def _run_once(self, record: TaskRecord, message: Message) -> TaskRecord:
        number = record.deliveries + 1
        delivery = Delivery(
            id=record.id,
            token=f"{number}.eager",
            name=record.name,
            args=message.args,
            kwargs=message.kwargs,
            queue=record.queue,
            retry_count=record.retry_count,
            max_retries=record.max_retries,
            waited=0.0,
            options=codec.decode(message.more or "{}").get("options", ""),
        )
        executor = self._app.make_executor(self._report)
        outcome = executor.execute(delivery)
        return _settled(replace(self._records[record.id], deliveries=number), outcome)

    def _report(self, task_id: str, token: str, members: str) -> bool:
        self._records[task_id] = replace(self._records[task_id], progress=codec.decode("{" + members + "}"))
        return True


def _settled(record: TaskRecord, outcome: Outcome | None) -> TaskRecord:
    assert outcome is not None, "nobody else can have the task"
    body, now = codec.decode(outcome.body), time.time()
    if outcome.status is Status.SUCCESS:
        return replace(record, status=outcome.status, result=body, error=None, updated_at=now)
    again = int(outcome.status is Status.RETRYING)
    return replace(record, status=outcome.status, error=body, retry_count=record.retry_count + again, updated_at=now)


def _accepted(message: Message) -> TaskRecord:
    now, more = time.time(), codec.decode(message.more or "{}")
    return TaskRecord(
        id=message.id,
        name=message.name,
        args=codec.decode(message.args),
        kwargs=codec.decode(message.kwargs),
        queue=message.queue,
        status=Status.PENDING,
        result=None,
        error=None,
        progress=None,
        retry_count=0,
        max_retries=message.max_retries,
        deliveries=0,
        crashes=0,
        last_crash=None,
        quarantined=False,
        released=0,
        worker=None,
        created_at=now,
        updated_at=now,
        started_at=now,
        due=None,
        expires=_expires(more, now),
        fair_key=more.get("fair"),
        priority=int(more.get("priority", NORMAL_PRIORITY)),
        tags=tuple(more.get("tags", "").split()),
    )


def _expires(more: Mapping[str, str], now: float) -> float | None:
    if "expires_in" in more:
        return now + float(more["expires_in"])
    return float(more["expires"]) if "expires" in more else None
