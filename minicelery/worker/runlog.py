"""The log's line about each run, and about what is left to others."""

import logging

from .. import codec, logs
from ..handover import Kept
from ..message import Delivery
from ..outcome import Outcome
from ..states import Status

log = logs.Unfailing(logging.getLogger("minicelery.worker"))


def tell(delivery: Delivery, outcome: Outcome | None, seconds: float, kept: Kept = True) -> None:
    """One line for a run; ``outcome`` is None where the run itself found that its lease was lost."""
    if not kept:
        outcome = None
    if outcome and outcome.status is Status.SUCCESS and not log.isEnabledFor(logging.INFO):
        return
    task = name(delivery)
    spent = f"{seconds * 1000:.0f} ms (waited {delivery.waited * 1000:.0f} ms)"
    facts = {"task": delivery.name, "task_id": delivery.id, "queue": delivery.queue}
    if kept is None:
        log.info("%s was cancelled; its run has ended after %s", task, spent, extra=facts)
        return
    if outcome is None:
        log.warning("%s lost its lease after %s; another run counts", task, spent, extra=facts)
        return
    if outcome.status is Status.SUCCESS:
        log.info("%s succeeded in %s", task, spent, extra=facts)
        return
    error = codec.decode(outcome.body)
    reason = _on_one_line(f"{error['type']}: {error['message']:.200}")
    if outcome.status is Status.RETRYING:
        again = f"retry {delivery.retry_count + 1} of {delivery.max_retries} in {outcome.delay:.1f} s"
        log.warning("%s failed after %s, %s: %s", task, spent, again, reason, extra=facts)
        return
    facts["traceback"] = error["traceback"]
    log.error("%s failed for good after %s: %s", task, spent, reason, extra=facts)


def name(delivery: Delivery) -> str:
    """A task for people: its name and id."""
    return _on_one_line(f"{delivery.name} {delivery.id}")


def _on_one_line(text: str) -> str:
    """Without line breaks and control characters, with which an error could forge a line of the log."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
