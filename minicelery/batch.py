"""Many calls at once: all are checked before the first is sent, and a fault names the call that it is in."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from .errors import InvalidInput
from .message import Message

C = TypeVar("C")


def gather(calls: Iterable[C], make: Callable[[C], Message], place: Callable[[int], str]) -> list[Message]:
    """The messages of calls, in order. Raises the first ``InvalidInput``, with ``place(number)`` before its pointer."""
    made: list[Message] = []
    by_id: dict[str, Message] = {}
    for number, call in enumerate(calls):
        try:
            message = make(call)
            first = by_id.setdefault(message.id, message)
            if first is not message:
                _refuse_another(first, message)
        except InvalidInput as error:
            error.move_into(place(number))
            raise
        made.append(message)
    return made


def _refuse_another(first: Message, second: Message) -> None:
    """Redis would keep the first one only."""
    if _call(first) != _call(second):
        raise InvalidInput(f"another call of this batch has the id {first.id}; give each call its own", "/task_id")


def _call(message: Message) -> tuple[str, ...]:
    """What must be the same for one id to mean one task, see enqueue.lua."""
    return message.name, message.args, message.kwargs, message.queue
