"""An application whose tasks do what no task should."""

import contextlib
import ctypes
import gc
import io
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

from minicelery import MiniCelery, TaskContext
from minicelery.errors import LeaseLost
from minicelery.outcome import Retry

app = MiniCelery("nasty")
once = app.task(max_retries=0)
MEGABYTE = 1 << 20


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def echo(*values: Any, **more: Any) -> list[Any]:
    return [*values, more]


@app.task
def pid() -> int:
    return os.getpid()


# ---- what is raised -----------------------------------------------------------------------------


@once
def base_exception() -> NoReturn:
    raise BaseException("the root of all")


@once
def system_exit() -> NoReturn:
    sys.exit(3)


@once
def keyboard_interrupt() -> NoReturn:
    raise KeyboardInterrupt


@once
def generator_exit() -> NoReturn:
    raise GeneratorExit


@once
def stop_iteration() -> NoReturn:
    raise StopIteration("no more")


@once
def memory_error() -> NoReturn:
    raise MemoryError


@once
def stop_in_a_generator() -> list[int]:
    def numbers() -> Iterator[int]:
        yield 1
        raise StopIteration

    return list(numbers())


class Unspeakable(Exception):
    """Raises whenever it is looked at."""

    def __str__(self) -> str:
        raise SystemExit("str")

    __repr__ = __str__

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)

    def __eq__(self, other: object) -> bool:
        raise MemoryError

    def __hash__(self) -> int:
        raise MemoryError


class DeceivingType(type):
    """Raises whenever its classes are looked at."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__", "__name__"):
            raise SystemExit(name)
        return super().__getattribute__(name)

    def __instancecheck__(cls, instance: object) -> bool:
        raise SystemExit("instance")


class Deceiving(Exception, metaclass=DeceivingType):
    pass


@once
def unspeakable() -> NoReturn:
    raise Unspeakable


@once
def deceiving() -> NoReturn:
    raise Deceiving("a class that raises")


@app.task(max_retries=0, retry_for=(Deceiving,))
def retried_for_a_deceiving_class() -> NoReturn:
    raise ValueError("is it one?")


@once
def not_constructible() -> NoReturn:
    class Picky(Exception):
        def __init__(self, first: int, second: int) -> None:
            raise SystemExit("never made")

    raise Picky  # type: ignore[call-arg]


@once
def own_cause() -> NoReturn:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    first.__context__ = first
    raise first


@once
def deep_group() -> NoReturn:
    error: Exception = ValueError("innermost")
    for _ in range(5000):
        error = ExceptionGroup("deeper", [error])
    raise error


@once
def wide_group() -> NoReturn:
    raise ExceptionGroup("wide", [ValueError("x" * 1000) for _ in range(20_000)])


@once
def long_chain() -> NoReturn:
    error: Exception | None = None
    for number in range(2_000):
        following = ValueError(number)
        following.__context__ = error
        error = following
    assert error
    raise error


@once
def odd_notes() -> NoReturn:
    error = ValueError("with notes")
    error.__notes__ = [Unspeakable(), 1, "\ud800"]  # type: ignore[list-item]
    raise error


@once
def endless_recursion() -> NoReturn:
    endless_recursion()
    raise AssertionError


class Endless:
    def __repr__(self) -> str:
        return repr(self)


@once
def recursion_in_repr() -> NoReturn:
    raise ValueError(Endless())


@once
def huge_message() -> NoReturn:
    raise ValueError("\x1b[31m\x1b]0;title\x07\r\n\x00\ud800" * MEGABYTE)


@once
def huge_name() -> NoReturn:
    raise type("N\x1b[2J" * MEGABYTE, (Exception,), {"__module__": "m" * MEGABYTE})


@once
def cannot_be_pickled() -> NoReturn:
    error = ValueError("a lock, and a lambda")
    error.args = (threading.Lock(), lambda: None, error)
    raise error


@once
def no_traceback() -> NoReturn:
    try:
        raise ValueError("without its frames")
    except ValueError as error:
        frame = error.__traceback__.tb_frame.f_back if error.__traceback__ else None
        while frame:
            with contextlib.suppress(RuntimeError):
                frame.clear()
            frame = frame.f_back
        raise error.with_traceback(None) from None


@once
def says_that_its_lease_is_lost() -> NoReturn:
    raise LeaseLost("it is not")


@app.task(bind=True, max_retries=1)
def odd_retry(self: TaskContext, how: str) -> NoReturn:
    asked: Any = Retry()
    asked.countdown = {"text": "soon", "nan": float("nan"), "infinite": float("inf"), "past": -1}[how]
    raise asked


@once
def half_a_retry() -> NoReturn:
    class Half(Retry):
        def __init__(self) -> None:
            pass

    raise Half


# ---- what is returned ---------------------------------------------------------------------------


class BadList(list[int]):
    def __iter__(self) -> Iterator[int]:
        raise SystemExit("iter")

    def __len__(self) -> int:
        raise SystemExit("len")


class BadDict(dict[str, int]):
    def items(self) -> Any:
        raise SystemExit("items")

    def __iter__(self) -> Iterator[str]:
        raise SystemExit("iter")


class BadText(str):
    def encode(self, *_: Any) -> bytes:
        raise SystemExit("encode")

    def __contains__(self, _: object) -> bool:
        raise SystemExit("contains")


class BadNumber(int):
    def __repr__(self) -> str:
        raise SystemExit("repr")

    def __lt__(self, other: object) -> bool:
        raise SystemExit("lt")

    __gt__ = __lt__


def _cycle() -> list[Any]:
    found: list[Any] = []
    found.append({"again": found})
    return found


def _deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


async def _never_awaited() -> None:
    pass


RESULTS: dict[str, Any] = {
    "a set": lambda: {1},
    "a cycle": _cycle,
    "too deep": _deep,
    "too large": lambda: "x" * 2 * MEGABYTE,
    "far too large": lambda: ["x" * MEGABYTE] * 100,
    "NaN": lambda: float("nan"),
    "a surrogate": lambda: "\ud800",
    "a NUL": lambda: "\x00",
    "a generator": lambda: (number for number in range(3)),
    "a coroutine": _never_awaited,
    "an exception": lambda: ValueError("returned"),
    "the unspeakable": Unspeakable,
    "a class that raises": lambda: Deceiving,
    "a bad list": lambda: [{"k": BadList([1])}, "\x00"],
    "a bad dict": lambda: BadDict(a=1),
    "a bad key": lambda: {Unspeakable: 1},
    "a bad text": lambda: {"k": BadText("é\x00")},
    "a bad number": lambda: {"k": [BadNumber(1), float("nan")]},
    "frames": sys._getframe,
    "a module": lambda: os,
}


@once
def give(what: str) -> Any:
    return RESULTS[what]()


# ---- what is left behind ------------------------------------------------------------------------


@app.task
def close_the_streams() -> str:
    """Closes standard output and error, in Python and below."""
    sys.stdout.close()
    sys.stderr.close()
    return "quiet"


@app.task
def close_the_standard_descriptors() -> str:
    for number in (0, 1, 2):
        os.close(number)
    return "deaf and dumb"


@app.task
def replace_the_streams() -> str:
    sys.stdout = sys.stderr = None
    return "none"


@app.task
def fill_the_streams() -> str:
    print("\x1b[2J" * MEGABYTE)
    print("\ud800", file=io.StringIO())
    return "filled"


@app.task
def close_all_descriptors() -> str:
    """Also those of the worker itself: its connections, and the pipe by which its parent tells it to stop."""
    os.closerange(3, 4096)
    return "closed"


@app.task
def break_the_log() -> str:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit("the log")

        def handle(self, record: logging.LogRecord) -> bool:
            raise ValueError("the log")

    logging.getLogger().addHandler(Raising())
    logging.getLogger("minicelery.worker").addHandler(Raising())
    return "broken"


@app.task
def change_the_directory() -> str:
    os.chdir("/")
    os.umask(0o777)
    os.environ.clear()
    return "elsewhere"


@app.task
def fork_and_exit() -> str:
    child = os.fork()
    if child == 0:
        os._exit(7)
    return f"child ended with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"


@app.task
def fork_and_return() -> str:
    """Both processes return; only one of them is the worker's."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # should it live on, it must not for ever
        return "the copy"
    os.waitpid(child, 0)
    return "the original"


@app.task
def fork_and_raise() -> str:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        raise SystemExit("the copy")
    os.waitpid(child, 0)
    return "the original"


@app.task
def start_threads() -> str:
    def fail() -> NoReturn:
        raise SystemError("in a thread of the task's own")

    threading.Thread(target=time.sleep, args=(3600,)).start()
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    failing = threading.Thread(target=fail)
    failing.start()
    failing.join()
    return "left running"


@once
def set_a_signal_handler() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@app.task
def signal_itself() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return "ignored"


@app.task
def block_all_signals() -> str:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return "blocked"


@app.task
def lower_the_recursion_limit() -> str:
    for limit in range(10, 200):
        with contextlib.suppress(RecursionError):
            sys.setrecursionlimit(limit)
            return "as low as it goes"
    return "not possible"


@app.task
def turn_warnings_into_errors() -> str:
    warnings.resetwarnings()
    warnings.simplefilter("error")
    return "strict"


@app.task
def replace_the_hooks() -> str:
    def raising(*_: Any) -> NoReturn:
        raise SystemExit("a hook")

    threading.excepthook = sys.excepthook = sys.unraisablehook = raising
    gc.disable()
    return "hooked"


@once
def trace_and_raise() -> str:
    def raising(*_: Any) -> NoReturn:
        raise SystemExit("the tracer")

    sys.settrace(raising)
    sys.setprofile(raising)
    return "traced"


@app.task
def throw_into_its_thread_later() -> str:
    """As the kind of time limit does that throws exceptions into threads, and comes too late."""
    thread = threading.get_ident()

    def throw() -> None:
        time.sleep(0.3)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(SystemExit))

    threading.Thread(target=throw, daemon=True).start()
    return "soon"
