"""Mini-Celery: a task queue for Python web applications, on Redis."""

from .app import MiniCelery
from .context import TaskContext
from .errors import (
    ForeignData,
    InvalidInput,
    LockLost,
    LockNotAcquired,
    MiniCeleryError,
    NotReplicated,
    RedisFull,
    RedisUnavailable,
    ResultTimeout,
    SoftTimeLimitExceeded,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskIdTaken,
    TaskNotFound,
)
from .locks import Lock, Semaphore
from .outcome import Retry
from .result import AsyncResult
from .states import Status
from .task import Signature, Task
from .version import __version__

__all__ = [
    "AsyncResult",
    "ForeignData",
    "InvalidInput",
    "Lock",
    "LockLost",
    "LockNotAcquired",
    "MiniCelery",
    "MiniCeleryError",
    "NotReplicated",
    "RedisFull",
    "RedisUnavailable",
    "ResultTimeout",
    "Retry",
    "Semaphore",
    "Signature",
    "SoftTimeLimitExceeded",
    "Status",
    "Task",
    "TaskCancelled",
    "TaskContext",
    "TaskExpired",
    "TaskFailed",
    "TaskIdTaken",
    "TaskNotFound",
    "__version__",
]
