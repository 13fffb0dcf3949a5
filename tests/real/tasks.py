"""An application for real worker processes."""

import ctypes
import os
import re
import signal
import threading
import time
from pathlib import Path

from minicelery import MiniCelery, TaskContext
from minicelery.errors import LeaseLost, SoftTimeLimitExceeded, TaskCancelled

app = MiniCelery("real")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@app.task
def pid() -> int:
    return os.getpid()


@app.task
def timer_slack() -> int:
    """The nanoseconds that Linux adds to what the thread waits for."""
    return int(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0))  # PR_GET_TIMERSLACK


@app.task(bind=True)
def crash_once(self: TaskContext, marker: str) -> str:
    """Kills its process unless the marker exists already."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return f"run after a crash, retry_count {self.retry_count}"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@app.task
def hold_the_lock(letters: int) -> bool:
    """Holds Python's lock in C for a time that doubles with each letter."""
    return re.match(r"(a+)+$", "a" * letters + "b") is None


@app.task
def hold_the_lock_for(seconds: float) -> int:
    """Holds Python's lock, as a call into C without a good word for it does. The process in which it ran."""
    if seconds:
        ctypes.PyDLL(None).usleep(round(seconds * 1e6))
    return os.getpid()


@app.task(bind=True)
def steps(self: TaskContext, count: int) -> int:
    for step in range(1, count + 1):
        self.progress(step, count, f"step {step}")
    return count


@app.task(max_retries=2, retry_backoff=0.01)
def fail(message: str) -> None:
    raise ValueError(message)


@app.task
def leave() -> None:
    raise SystemExit("bye")


@app.task(bind=True)
def exit_once(self: TaskContext, marker: str, code: int) -> str:
    """Ends its process with an exit code, unless the marker exists already."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "run again"
    os._exit(code)


@app.task
def die(how: str) -> None:
    """Ends its process in every run."""
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(time_limit=0.5, max_retries=0)
def deadlock() -> None:
    threading.Event().wait()


@app.task(bind=True, time_limit=0.5, retry_backoff=False)
def deadlock_once(self: TaskContext) -> str:
    if self.retry_count == 0:
        threading.Event().wait()
    return "second run"


@app.task(soft_time_limit=0.3, max_retries=0)
def tidy_up(seconds: float) -> str:
    """Ends with what it has by then."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "done"


@app.task(bind=True, soft_time_limit=0.3, max_retries=1, retry_backoff=False)
def tidy_up_never(self: TaskContext) -> str:
    """Reports all the time in its first run."""
    while self.retry_count == 0:
        self.progress(1)
    return "second run"


@app.task(time_limit=0.5, max_retries=0)
def hold_the_lock_for_ever() -> bool:
    """Holds Python's lock in C for longer than anybody waits."""
    return re.match(r"(a+)+$", "a" * 60 + "b") is None


@app.task(bind=True, time_limit=0.5, max_retries=0)
def outlive(self: TaskContext, marker: str) -> str:
    """Goes on after its limit, and notes what it learns then."""
    time.sleep(1.5)
    try:
        self.progress(1)
    except LeaseLost:
        Path(marker).write_text("lease lost")
    return "too late"


@app.task
def grow(megabytes: int) -> int:
    """Has touched so much memory, and gives it back."""
    return len(bytearray(megabytes << 20)) >> 20


@app.task(time_limit=1, max_retries=0)
def short_nap() -> str:
    time.sleep(0.5)
    return "rested"


@app.task(bind=True)
def announced_nap(self: TaskContext, seconds: float) -> str:
    """Tells that it has begun."""
    self.progress(0, 1, "begun")
    time.sleep(seconds)
    return "rested"


@app.task(bind=True)
def wait_for(self: TaskContext, gate: str) -> str:
    """Tells that it has begun, and waits for a file."""
    self.progress(0, 1, "begun")
    while not Path(gate).exists():
        time.sleep(0.01)
    return "open"


@app.task(bind=True)
def heed(self: TaskContext, marker: str) -> str:
    """Goes on until it is cancelled, and notes when it saw that."""
    self.progress(0, 1, "begun")
    while not self.cancelled:
        time.sleep(0.002)
    Path(marker).write_text(repr(time.time()))
    return "seen"


@app.task(bind=True)
def check(self: TaskContext, marker: str) -> str:
    """As ``heed``, by the exception."""
    self.progress(0, 1, "begun")
    try:
        while True:
            self.check_cancelled()
            time.sleep(0.002)
    except TaskCancelled as error:
        Path(marker).write_text(str(error))
        raise


@app.task(bind=True)
def report_on(self: TaskContext, marker: str) -> None:
    """Reports again and again, and looks at nothing."""
    try:
        while True:
            self.progress(0, 1, "begun")
            time.sleep(0.01)
    except TaskCancelled as error:
        Path(marker).write_text(str(error))
        raise


@app.task(bind=True, time_limit=0.5, max_retries=3, retry_backoff=False)
def hang(self: TaskContext) -> None:
    """Hangs, in each of its runs."""
    self.progress(0, 1, "begun")
    threading.Event().wait()


@app.task(bind=True)
def spin(self: TaskContext) -> None:
    """Computes for ever, and looks at nothing."""
    self.progress(0, 1, "begun")
    while True:
        pass
