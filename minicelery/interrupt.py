"""Raises an exception in the thread of a run, and only while it is inside the task's function."""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")
#: Names a run: the id of its task, and the token of its delivery.
Run = tuple[str, str]
_BREATH = 0.0001


class Interrupts:
    """The runs of one process that are inside their functions.

    Python raises such an exception before the next step of Python code of that thread: what waits in C, for a lock, a
    socket or a sleep, hears of it when that returns. A run that has ended never does, nor does the worker's own code:
    a run takes itself out before it looks whether something is on its way, and who interrupts says so before looking
    whether the run is still there. So one of the two sees the other, without a lock on the way of every task.
    """

    def __init__(self) -> None:
        self._inside: dict[Run, int] = {}
        self._shielded: dict[Run, int] = {}
        self._told: set[Run] = set()
        self._noted: dict[Run, type[BaseException]] = {}
        self._telling: Run | None = None
        self._one_at_a_time = threading.Lock()

    def interrupt(self, run: Run, kind: type[BaseException]) -> bool:
        """Raise ``kind()`` inside the function of a run. From another thread than the run's.

        False if the run is not inside its function: it has not begun or has ended, so ask again if it may begin yet.
        """
        with self._one_at_a_time:
            self._telling = run
            try:
                self._told.add(run)
                return self._note(run, kind) or self._tell(run, kind)
            finally:
                self._telling = None

    def _note(self, run: Run, kind: type[BaseException]) -> bool:
        """Whether the run is shielded, and will find the note when it is not any more."""
        if run not in self._shielded:
            return False
        self._noted[run] = kind
        return run in self._shielded or self._noted.pop(run, None) is None

    def _tell(self, run: Run, kind: type[BaseException]) -> bool:
        thread = self._inside.get(run)
        if thread is not None:
            return _send(thread, kind)
        self._told.discard(run)
        return False

    def strike(self, kind: type[BaseException]) -> None:
        """Raise ``kind()`` in the function that this thread runs, if it is inside one. From a signal's handler."""
        thread = threading.get_ident()
        if thread in self._inside.values():
            raise kind
        self._noted.update({run: kind for run, shielded in self._shielded.items() if shielded == thread})

    def guarded(self, run: Run, function: Callable[..., R], *args: Any) -> R:
        """Call the function of a run, which may be interrupted from now until it returns."""
        self._inside[run] = threading.get_ident()
        try:
            return function(*args)
        finally:
            del self._inside[run]
            if self._told:
                # What came too late is raised in here. It can be two: one that was sent before, and one that was on
                # its way.
                try:
                    self._take_back(run)
                except BaseException:
                    try:
                        self._take_back(run)
                    except BaseException:
                        self._take_back(run)

    def shielded(self, run: Run, function: Callable[..., R], *args: Any) -> R:
        """Call something of ours in the midst of a run: nothing is raised in there, but before it or behind it."""
        thread = threading.get_ident()
        if self._inside.get(run) != thread:  # another thread of the task, which nobody interrupts
            return function(*args)
        self._shielded[run] = thread
        del self._inside[run]
        try:
            if run in self._told:
                self._wait(run)  # the next call is a step at which it is raised
            return function(*args)
        finally:
            self._inside[run] = thread
            del self._shielded[run]
            if self._noted and (kind := self._noted.pop(run, None)):
                raise kind

    def _take_back(self, run: Run) -> None:
        """Whatever was sent to a run that has ended is not raised any more."""
        self._wait(run)
        self._told.discard(run)
        _send(threading.get_ident(), None)

    def _wait(self, run: Run) -> None:
        """Until what is on its way to the run has arrived, a matter of microseconds."""
        while self._telling == run:
            time.sleep(_BREATH)


def _send(thread: int, kind: type[BaseException] | None) -> bool:
    """Have Python raise an exception in a thread, or take back the one that it has not raised yet."""
    what = None if kind is None else ctypes.py_object(kind)
    return ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what) == 1
