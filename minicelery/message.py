"""A task on its way to Redis, and a task on its way to a worker thread."""

from typing import NamedTuple


class Message(NamedTuple):
    """What is to be done. ``args`` and ``kwargs`` are JSON texts; Redis never looks inside.

    ``delay`` counts in seconds from the moment Redis takes the message; ``due`` is a point in epoch seconds. ``more``
    is what only some tasks have, see ``options.more_of``: the JSON object that enqueue.lua takes, or nothing. A named
    tuple, as are other values on the way of every task: a frozen dataclass takes five times as long to make.
    """

    id: str
    name: str
    args: str
    kwargs: str
    queue: str
    max_retries: int
    delay: float | None = None
    due: float | None = None
    more: str = ""


class Idempotency(NamedTuple):
    """What a request is told by when it is sent again: hashes of its key and of itself, and for how many seconds."""

    key: str
    request: str
    seconds: float


class Delivery(NamedTuple):
    """One claim of a task by one thread. Only the holder of ``token`` may record how it ended.

    ``options`` is the JSON object of what the caller has asked of the worker, or nothing.
    """

    id: str
    token: str
    name: str
    args: str
    kwargs: str
    queue: str
    retry_count: int
    max_retries: int
    waited: float
    options: str = ""

    @property
    def deliveries(self) -> int:
        return deliveries_of(self.token)


def deliveries_of(token: str) -> int:
    """How often a task has been claimed when it has this token: '<deliveries>.<nonce>', or none yet."""
    return int(token.partition(".")[0] or 0)
