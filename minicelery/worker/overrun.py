"""How a run that has overrun its time limit is recorded, by its child or, where that is stuck, by the parent."""

from .. import codec
from ..handover import Settlement
from ..outcome import describe_error, overrun
from ..states import Status
from .board import Held


def settlement(held: Held, stack: str = "") -> Settlement:
    """A failure, to be retried as the task's policy says. ``stack`` shows where the run was."""
    body = codec.encode(describe_error(overrun(held.limit.seconds, stack)))
    retry_after = held.limit.retry_after
    status = Status.FAILED if retry_after is None else Status.RETRYING
    return Settlement(held.id, held.token, status, body, retry_after or 0.0)
