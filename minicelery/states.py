"""The states of a task and the sets of them that are spoken of."""

from enum import StrEnum


class Status(StrEnum):
    """Where a task is. At any moment it is in exactly one of these, and in exactly one place in Redis."""

    PENDING = "PENDING"  #: ready, in its queue
    SCHEDULED = "SCHEDULED"  #: due later: its first try, or after it was passed on
    RETRYING = "RETRYING"  #: due later, after a failure
    RUNNING = "RUNNING"  #: claimed by a live worker
    SUCCESS = "SUCCESS"  #: finished with a result
    FAILED = "FAILED"  #: failed for good, in the dead letters


FINISHED = frozenset({Status.SUCCESS, Status.FAILED})
UNSUCCESSFUL = frozenset({Status.FAILED})
