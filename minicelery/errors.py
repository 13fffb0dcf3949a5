"""Every error that Mini-Celery raises, in one tree, each with a sentence that tells what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class MiniCeleryError(Exception):
    """The root: catch this to catch everything that Mini-Celery raises on purpose."""


# ---- what the caller can mend -------------------------------------------------------------------


class InvalidInput(MiniCeleryError):
    """Something handed in is wrong; ``pointer`` is the JSON pointer of the field, such as ``/args/0``."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(f"{pointer}: {detail}" if pointer else detail)
        self.detail = detail
        self.pointer = pointer

    def move_into(self, place: str) -> None:
        """Say that what was looked at stands at ``place`` in something larger."""
        self.pointer = place + self.pointer
        self.args = (f"{self.pointer}: {self.detail}",)


class InvalidPayload(InvalidInput):
    """A value is not plain JSON within the limits, so it could not come back unchanged."""


class InvalidArguments(InvalidInput):
    """The task's function can't be called with these arguments."""


class InvalidName(InvalidInput):
    """A task, queue or id has a name that can't be part of a Redis key."""


class UnknownTask(InvalidInput):
    """No task of this name is registered."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = nearest(name[:128], known)
        hint = f"; did you mean '{near}'?" if near else "."
        listed = ", ".join(known[:20]) or "none"
        super().__init__(f"no task '{name:.100}'{hint} Registered: {listed}.", "/name")
        self.name = name
        self.known = known
        self.did_you_mean = near


class DuplicateTaskName(MiniCeleryError):
    """Two functions want the same task name; give one of them ``name=...``."""


class ConfigError(MiniCeleryError):
    """The configuration has faults; all of them are listed at once."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("The configuration can't be used:\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class AppNotFound(MiniCeleryError):
    """``--app`` or ``MINICELERY_APP`` does not lead to a MiniCelery object."""


# ---- schedules ----------------------------------------------------------------------------------


class DuplicateScheduleName(MiniCeleryError):
    """Two schedules in the code want the same name; give one of them ``name=...``."""


class ScheduleNotFound(MiniCeleryError):
    """No schedule has this name; it was never added, was deleted, or is not declared."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No schedule '{name:.100}': it was never added, was deleted, or is not declared.")
        self.name = name


class ScheduleExists(InvalidInput):
    """Another schedule already has this name; choose another, or change the one that is there."""


class ScheduleFromCode(MiniCeleryError):
    """A schedule that is declared in the code is changed and deleted there; at run time it can be paused."""


class ScheduleStuck(MiniCeleryError):
    """A schedule was changed by others again and again; look at it, and try again."""


# ---- the state of a task ------------------------------------------------------------------------


class TaskNotFound(MiniCeleryError):
    """No task has this id; it was never submitted, was deleted, or its result has expired."""

    reason = "it was never submitted, was deleted, or its result has expired."

    def __init__(self, task_id: str) -> None:
        super().__init__(f"No task '{task_id}': {self.reason}")
        self.task_id = task_id


class DamagedTask(TaskNotFound):
    """Another program has changed or replaced what is stored of this task, and it can't be read any more."""

    reason = "what is stored under its key is damaged; minicelery doctor tells more."


class TaskIdTaken(InvalidInput):
    """Another task already has this id; use a fresh id, or the same name, arguments and queue.

    Of a batch, ``places`` has the numbers of the calls that were refused so; all others are submitted. ``task_ids`` has
    the ids of all its calls.
    """

    places: Sequence[int] = ()
    task_ids: Sequence[str] = ()


class IdempotencyKeyReused(InvalidInput):
    """Something else was asked under this idempotency key before."""

    def __init__(self) -> None:
        super().__init__(
            "another request was sent with this Idempotency-Key before; use a fresh key, or send the same body again"
        )


class NotADeadLetter(MiniCeleryError):
    """Only a task that failed for good can be retried or deleted as a dead letter."""


class TaskFailed(MiniCeleryError):
    """``result.get()`` of a task that failed for good; the worker's traceback is in ``traceback``."""

    def __init__(self, task_id: str, error: dict[str, str]) -> None:
        super().__init__(f"task {task_id} failed: {error.get('type', 'Error')}: {error.get('message', '')}")
        self.task_id = task_id
        self.error_type = error.get("type", "Error")
        self.error_message = error.get("message", "")
        self.traceback = error.get("traceback", "")


class TaskCancelled(MiniCeleryError):
    """The task was cancelled: raised by ``result.get()``, and in the task by ``self.check_cancelled()``, by its next
    report, or anywhere if it was to be interrupted. A task may catch it to clean up; whatever it returns is not
    recorded.
    """

    def __init__(self, task_id: str = "") -> None:
        super().__init__(f"task {task_id} was cancelled" if task_id else "the task was cancelled")
        self.task_id = task_id


class TaskExpired(MiniCeleryError):
    """The task had not begun in time, and never will; submit it again, with a later ``expires`` or with more
    workers."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id} has expired before it could begin")
        self.task_id = task_id


class AlreadyFinished(MiniCeleryError):
    """What has finished can't be cancelled; its result or error stays."""


class ResultTimeout(MiniCeleryError, TimeoutError):
    """The task had not finished in the time given to ``result.get()``; it goes on running."""


class LeaseLost(MiniCeleryError):
    """This delivery of the task is no longer the current one: stop, another worker has it."""


class TimeLimitExceeded(MiniCeleryError):
    """A run took longer than its ``time_limit``; it was given up on, and whatever it still does is in vain."""


class SoftTimeLimitExceeded(MiniCeleryError):
    """Raised in a task that runs for longer than its ``soft_time_limit``: catch it to clean up, and end soon.

    It comes once a run, before the next step of Python code: not while the task is in C code or waits for a lock, a
    sleep or an answer, until that returns. In a process of its own (``isolation="process"``) waits end for it, too.
    """

    def __init__(self, detail: str = "the run took longer than its soft time limit") -> None:
        super().__init__(detail)


class MemoryLimitExceeded(MiniCeleryError):
    """The process of a run had more memory than its ``max_memory_mb``, and was ended: give it more, or less to do."""


class TaskCrashed(MiniCeleryError):
    """The process of an isolated run has ended before the run did; the message names the signal or exit code."""


# ---- locks --------------------------------------------------------------------------------------


class LockNotAcquired(MiniCeleryError):
    """A lock was not to be had in time, or at once; try again later, or wait longer by ``timeout``."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The lock '{name}' is held by others; try again later, or wait longer by its timeout.")
        self.name = name


class LockLost(MiniCeleryError):
    """A lock is not held, or not any more: stop, and repeat what relied on it under a new one."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"The lock '{name}' {why}. Stop here, and repeat under a new lock what must not be done by two."
        )
        self.name = name


class LockNotHeld(MiniCeleryError):
    """Nobody holds a lock of this name; there is nothing to show or to break."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Nobody holds a lock '{name}'; those that are held are listed by minicelery locks list.")
        self.name = name


# ---- Redis and servers --------------------------------------------------------------------------


class RedisUnavailable(MiniCeleryError):
    """Redis can't be reached or refuses to work; nothing is half-written, so try again later.

    What was asked may have been done all the same, if only the answer was lost. A submission is therefore
    repeated under its ``task_id``, which the error has. Of ``submit_many``, ``submitted`` has the handles of what
    was answered before, and ``task_ids`` the ids of all its calls.
    """

    submitted: Sequence[object] = ()
    task_id: str | None = None
    task_ids: Sequence[str] = ()


class RedisUnreachable(RedisUnavailable):
    """Nothing answers at the address of Redis, or the connection was lost."""


class RedisFull(RedisUnavailable):
    """Redis has reached its memory limit and takes no new tasks until some are finished."""


class ForeignData(RedisUnavailable):
    """Another program has put something else under a key of ours; ``minicelery doctor`` names it."""


class NotReplicated(RedisUnavailable):
    """No replica has confirmed the submission in time. The task is in Redis and may be run, but would be lost with it.

    Submit it again under its ``task_id``: it stays one task.
    """


class ServerNotFound(MiniCeleryError):
    """No Redis or Valkey server program is installed."""


class ServerFailed(MiniCeleryError):
    """A server program did not start, or ended too early."""


class SimulationError(MiniCeleryError):
    """A simulation can't do what is asked of it, or has found the law of conservation broken; see ``testing``."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` most like ``word``, if one is like it at all."""
    found = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None
