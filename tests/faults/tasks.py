"""An application for real workers that are hurt: its tasks have results that can be foretold."""

import os
import signal
import time
from pathlib import Path

from minicelery import MiniCelery, TaskContext
from tests.faults import failpoints

failpoints.install()
app = MiniCelery("faults")


def answer(number: int) -> int:
    """The result of every task that succeeds."""
    return number * 7919 % 104_729


@app.task
def work(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return answer(number)


@app.task
def leave_a_trace(number: int, path: str) -> int:
    """Has an effect that can be counted: a line in a file for each run."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    return answer(number)


@app.task
def linger(number: int, marker: str) -> int:
    """Makes the marker and takes a minute, unless the marker exists already."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return answer(number)
    time.sleep(60)
    return -1


@app.task
def announced(number: int, marker: str, seconds: float) -> int:
    """Makes the marker when it begins."""
    Path(marker).touch()
    time.sleep(seconds)
    return answer(number)


@app.task(bind=True, max_retries=5, retry_backoff=0.05)
def stumble(self: TaskContext, number: int, times: int) -> int:
    """Fails some times, and succeeds then."""
    if self.retry_count < times:
        raise ValueError(f"failure {self.retry_count + 1} of {times}")
    return answer(number)


@app.task(max_retries=1, retry_backoff=0.05)
def fail(number: int) -> int:
    raise ValueError(f"task {number} always fails")


@app.task
def poison(number: int) -> int:
    """Kills its process in every run."""
    os.kill(os.getpid(), signal.SIGKILL)
    return number
