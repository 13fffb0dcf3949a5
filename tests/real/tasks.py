"""An application for real worker processes."""

import os
import re
import signal
import time

from minicelery import MiniCelery, TaskContext

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
