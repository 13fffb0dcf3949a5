"""Mini-Celery: a task queue for Python web applications, on Redis."""

from .app import MiniCelery
from .context import TaskContext
from .errors import (
    LockLost,
    LockNotAcquired,
    MiniCeleryError,
    RedisUnavailable,
    ResultTimeout,
    SoftTimeLimitExceeded,
    TaskFailed,
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
    "Lock",
    "LockLost",
    "LockNotAcquired",
    "MiniCelery",
    "MiniCeleryError",
    "RedisUnavailable",
    "ResultTimeout",
    "Retry",
    "Semaphore",
    "Signature",
    "SoftTimeLimitExceeded",
    "Status",
    "Task",
    "TaskContext",
    "TaskFailed",
    "TaskNotFound",
    "__version__",
]
