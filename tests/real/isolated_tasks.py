"""An application whose tasks run in processes of their own."""

import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from minicelery import MiniCelery, SoftTimeLimitExceeded, TaskContext
from minicelery.errors import LeaseLost, TaskCancelled

app = MiniCelery("isolated")
_left: list[bytearray] = []


@app.task(isolation="process", max_retries=0)
def pids() -> list[int]:
    """The process of the run, and the child above it."""
    return [os.getpid(), os.getppid()]


@app.task
def pid() -> int:
    """That of a thread of the child."""
    return os.getpid()


@app.task
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@app.task(isolation="process", max_retries=0)
def echo(value: Any) -> Any:
    return value


@app.task(isolation="process", max_retries=0)
def fail(message: str) -> None:
    raise ValueError(message)


@app.task(isolation="process", max_retries=0)
def die(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os.closerange(3, 1000)
    threading.Event().wait()


@app.task(isolation="process", bind=True, max_retries=1, retry_backoff=False)
def die_once(self: TaskContext) -> str:
    if self.retry_count == 0:
        os._exit(3)
    return "second run"


@app.task(isolation="process", time_limit=0.5, max_retries=0)
def hold_the_lock_for_ever() -> bool:
    """Holds Python's lock in C for longer than anybody waits."""
    return re.match(r"(a+)+$", "a" * 60 + "b") is None


@app.task(isolation="process", time_limit=1, max_retries=0)
def start_and_wait(place: str, forget: bool) -> None:
    """Starts a program, and leaves its process id. Signals that it forgets end its process."""
    if forget:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    with subprocess.Popen(["sleep", "60"]) as process:
        Path(place).write_text(str(process.pid))


@app.task(isolation="process", soft_time_limit=0.3, time_limit=20, max_retries=0)
def tidy_up() -> str:
    """Waits in C, and ends with what it has by then."""
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "done"


@app.task(isolation="process", max_retries=0)
def forget_signals() -> int:
    """Leaves all signals to the kernel."""
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    return os.getpid()


@app.task(isolation="process", soft_time_limit=0.3, max_retries=0, bind=True)
def report_for_ever(self: TaskContext) -> None:
    while True:
        self.progress(1)


@app.task(isolation="process", max_retries=0, max_memory_mb=200)
def grow(megabytes: int) -> int:
    """Has touched so much memory, and waits then."""
    _left.append(bytearray(megabytes << 20))
    return len(_left)


@app.task(isolation="process", max_retries=0, max_memory_mb=200)
def grow_and_wait(megabytes: int) -> None:
    held = bytearray(megabytes << 20)
    threading.Event().wait()
    del held


@app.task(isolation="process", max_retries=0)
def leave_memory(megabytes: int) -> int:
    """What it has touched stays in its process."""
    _left.append(bytearray(megabytes << 20))
    return os.getpid()


@app.task(isolation="process", bind=True, max_retries=0)
def steps(self: TaskContext, count: int) -> list[Any]:
    for step in range(1, count + 1):
        self.progress(step, count, f"step {step}")
    return [self.id, self.token, self.queue]


@app.task(isolation="process", bind=True, max_retries=0)
def announce_and_wait(self: TaskContext, seconds: float) -> str:
    self.progress(os.getpid())
    time.sleep(seconds)
    return "rested"


@app.task(isolation="process", bind=True, max_retries=0)
def spin_until(self: TaskContext, marker: str) -> float:
    """Keeps a processor busy until a file is there. The seconds of processor time that it has used."""
    self.progress(os.getpid())
    before = time.process_time()
    while not Path(marker).exists():
        sum(range(10_000))
    return time.process_time() - before


@app.task(isolation="process", bind=True, max_retries=0)
def until_cancelled(self: TaskContext, marker: str) -> None:
    self.progress(1)
    while not self.cancelled:
        time.sleep(0.01)
    Path(marker).write_text("cancelled")


@app.task(isolation="process", bind=True, max_retries=0)
def outlive(self: TaskContext, marker: str) -> str:
    """Reports until it learns that it is in vain."""
    try:
        while True:
            self.progress(1)
            time.sleep(0.01)
    except (LeaseLost, TaskCancelled) as error:
        Path(marker).write_text(type(error).__name__)
    return "too late"


@app.task(isolation="process", bind=True, max_retries=0)
def leave_a_thread(self: TaskContext) -> int:
    """Leaves a thread behind that reports on."""

    def report() -> None:
        try:
            while True:
                self.progress(1)
        except LeaseLost:
            _left.append(bytearray())

    threading.Thread(target=report, daemon=True).start()
    return os.getpid()


@app.task(isolation="process", max_retries=0)
def fork_and_return() -> str:
    os.fork()
    return "the original"


@app.task(isolation="process", max_retries=0)
def open_descriptors() -> list[str]:
    """What they lead to, but for the standard ones."""
    found = [
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}")
    ]
    return sorted(what.partition(":")[0] for what in found)


@app.task(isolation="process", max_retries=0)
def leave_a_process(seconds: float) -> None:
    """Ends its own process, whose copy lives on and holds all that it had open."""
    if os.fork():
        os._exit(5)
    time.sleep(seconds)
    os._exit(0)


@app.task(isolation="process", bind=True)
def sleep_long(self: TaskContext) -> None:
    """Waits in C for a long time."""
    self.progress(0, 1, "begun")
    time.sleep(600)
