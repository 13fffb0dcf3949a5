"""The states of a task and the sets of them that are spoken of."""

from enum import StrEnum


class Status(StrEnum):
    """Where a task is. At any moment it is in exactly one of these, and in exactly one place in Redis."""

    PENDING = "PENDING"  #: ready, in its queue
    SCHEDULED = "SCHEDULED"  #: due later: its first try, or after it was passed on
    RETRYING = "RETRYING"  #: due later, after a failure
    WAITING = "WAITING"  #: for others of its name or key to make room, the end of a pause, or its tenant's turn
    RUNNING = "RUNNING"  #: claimed by a live worker
    SUCCESS = "SUCCESS"  #: finished with a result
    FAILED = "FAILED"  #: failed for good, in the dead letters
    CANCELLED = "CANCELLED"  #: somebody has cancelled it; it never begins, or how its run ends is not recorded
    EXPIRED = "EXPIRED"  #: it had not begun in time, and never does


FINISHED = frozenset({Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
UNSUCCESSFUL = FINISHED - {Status.SUCCESS}
#: Kept for as long as a result is. A dead letter stays until somebody takes care of it.
PASSING = FINISHED - {Status.FAILED}
