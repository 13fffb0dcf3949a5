"""The way from an app to Redis: sends messages, and answers the questions of result handles."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from . import codec
from .broker import Broker
from .bulk import Progress
from .errors import RedisUnavailable, TaskIdTaken, TaskNotFound
from .handover import Accepted, Answer
from .inspector import Inspector
from .message import Idempotency, Message
from .record import TaskRecord
from .result import AsyncResult
from .states import FINISHED, Status
from .watch import Watch
from .why import Explanation
from .world import World

BATCH = 200
_MOST_SHOWN = 20
#: A handle on a task, and its state; None where it is gone, though another call was the same as its.
Sent = tuple[AsyncResult[Any], Status | None]


class Dispatch:
    """Sends through the broker and reads through the inspector. What has been answered is in Redis."""

    def __init__(
        self,
        broker: Broker,
        inspector: Inspector,
        watch: Watch,
        world: World,
        patience: float,
        why: Callable[[str], Explanation],
    ) -> None:
        self._broker = broker
        self._inspector = inspector
        self._watch = watch
        self._world = world
        self._patience = patience
        self.why = why

    def send(self, message: Message) -> Sent:
        """Submit one message: its handle, and the state it is in now."""
        try:
            [answer] = self._broker.enqueue((message,))
        except RedisUnavailable as error:
            error.task_id = message.id
            raise
        if answer is None:
            raise TaskIdTaken(_taken_words([message.id]), "/task_id")
        return self._sent(message, answer)

    def send_many(
        self, messages: Iterable[Message], progress: Progress | None = None, into: list[Sent] | None = None
    ) -> list[Sent]:
        """Submit messages in batches, each on its way before the one in front of it is answered.

        Raises ``TaskIdTaken`` where ids belong to other tasks; all others are submitted. A ``RedisUnavailable`` has the
        handles of what was submitted before it in ``submitted``: of the batch that it met, and of the next one, all may
        be there or none, and of those behind them nothing is. Where a batch has to be sent again, the next one may
        come before it. ``into`` is an empty list that takes what is answered, for who ends it early.
        """
        waiting = list(messages)
        sent: list[Sent] = [] if into is None else into
        taken: list[int] = []
        answers = self._answers(waiting)
        try:
            for message, answer in zip(
                waiting, _told(answers, len(waiting), progress) if progress else answers, strict=True
            ):
                if answer is None:
                    taken.append(len(sent) + len(taken))
                elif type(answer) is Status:  # nearly always
                    sent.append((AsyncResult(message.id, self), answer))
                else:
                    sent.append(self._sent(message, answer))
        except RedisUnavailable as away:
            away.submitted = [result for result, _ in sent]
            away.task_ids = [message.id for message in waiting]
            away.task_id = waiting[0].id if len(waiting) == 1 else None
            raise
        _refuse_taken(waiting, taken, sent)
        return sent

    def send_once(self, messages: Sequence[Message], idempotency: Idempotency) -> tuple[list[Sent], bool]:
        """As ``send_many``; but what was sent before with the same key and request is not sent again, but answered as
        the first time. Whether that was so for all of it. Raises ``IdempotencyKeyReused``."""
        marked = list(messages)
        for part, start in enumerate(range(0, len(marked), BATCH)):
            marked[start] = _marked(marked[start], idempotency, part)
        answers = list(self._answers(marked))
        sent = [self._sent(message, answer) for message, answer in zip(messages, answers, strict=True) if answer]
        _refuse_taken(messages, [place for place, answer in enumerate(answers) if answer is None], sent)
        return sent, all(isinstance(answer, Accepted) and answer.replayed for answer in answers)

    def _answers(self, messages: Sequence[Message]) -> Iterator[Answer]:
        batches = [messages[start : start + BATCH] for start in range(0, len(messages), BATCH)]
        return chain.from_iterable(self._broker.enqueue_each(batches))

    def _sent(self, message: Message, answer: Status | Accepted) -> Sent:
        if isinstance(answer, Accepted):
            return AsyncResult(answer.id, self, answer.duplicate), answer.status
        return AsyncResult(message.id, self), answer

    def task(self, task_id: str) -> TaskRecord:
        return self._inspector.task(task_id)

    def wait(self, task_id: str, timeout: float | None) -> TaskRecord:
        return self._watch.wait(task_id, timeout, self._patience)

    def cancel(self, task_id: str, *, interrupt: bool) -> Status:
        """Cancel one task: its state now. Raises ``TaskNotFound``."""
        [status] = self._broker.cancel([task_id], interrupt=interrupt)
        if status is None:
            raise TaskNotFound(task_id)
        return status

    def forget(self, task_id: str) -> Status | None:
        return self._broker.forget(task_id, FINISHED, self._world.nonce())


def _told(answers: Iterable[Answer], total: int, progress: Progress) -> Iterator[Answer]:
    """The answers; how many there are by now is told with the last one of each batch."""
    for number, answer in enumerate(answers, 1):
        yield answer
        if number % BATCH == 0 or number == total:
            progress(number, total)


def _taken_words(task_ids: Sequence[str]) -> str:
    more = f" and {len(task_ids) - _MOST_SHOWN:,} more" if len(task_ids) > _MOST_SHOWN else ""
    return f"another task already has the id {', '.join(task_ids[:_MOST_SHOWN])}{more}; use a fresh one"


def _refuse_taken(messages: Sequence[Message], taken: Sequence[int], sent: Sequence[Sent]) -> None:
    """Raise ``TaskIdTaken`` where calls at some places were refused; the others are those that were sent."""
    if not taken:
        return
    ids, others = {place: messages[place].id for place in taken}, (result.id for result, _ in sent)
    words = _taken_words([messages[place].id for place in taken])
    are_others = len(taken) < len(messages)
    error = TaskIdTaken(f"{words}. All other calls are submitted" if are_others else words, "/task_id")
    error.places = taken
    error.task_ids = [ids.get(place) or next(others) for place in range(len(messages))]
    raise error


def _marked(message: Message, idempotency: Idempotency, part: int) -> Message:
    """The first message of a part, which tells enqueue.lua what the whole of it was asked under."""
    words = f"{idempotency.key} {idempotency.request} {part} {idempotency.seconds * 1000:.0f}"
    return message._replace(more=codec.write(codec.decode(message.more or "{}") | {"idempotency": words}))
