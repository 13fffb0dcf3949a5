"""What is kept for each app beside its requests."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from ..app import MiniCelery
from ..connection import Clients
from ..world import World

_T = TypeVar("_T")


class Lasting(Generic[_T]):
    """One thing for each app, which is made anew when the app is simulated or configured, and afterwards."""

    def __init__(self, make: Callable[[MiniCelery], _T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: WeakKeyDictionary[MiniCelery, tuple[World, Clients, _T]] = WeakKeyDictionary()

    def of(self, app: MiniCelery) -> _T:
        """That of an app, as it is now."""
        return self._found(app) or self._put(app)

    def _put(self, app: MiniCelery) -> _T:
        with self._lock:
            made = self._found(app) or self._make(app)
            self._made[app] = (app.world, app.clients, made)
        return made

    def _found(self, app: MiniCelery) -> _T | None:
        world, clients, made = self._made.get(app, (None, None, None))
        return made if world is app.world and clients is app.clients else None
