"""The tasks of one application, by name."""

from collections.abc import Iterator
from typing import Any

from .errors import DuplicateTaskName, UnknownTask
from .task import Task


class Registry:
    """Knows every task that was declared on an app."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[..., Any]] = {}

    def add(self, task: Task[..., Any]) -> None:
        """Raises ``DuplicateTaskName`` if the name is taken."""
        if task.name in self._tasks:
            first = self._tasks[task.name].function
            raise DuplicateTaskName(
                f"two tasks are named '{task.name}': {first.__module__}.{first.__qualname__} and "
                f"{task.function.__module__}.{task.function.__qualname__}; give one of them name=..."
            )
        self._tasks[task.name] = task

    def find(self, name: str) -> Task[..., Any]:
        """The task of this name, or ``UnknownTask`` with the nearest name."""
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTask(name, self._tasks) from None

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[Task[..., Any]]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)
