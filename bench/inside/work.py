"""What the tasks do, the same for all."""

import os
import time

URL = os.environ["BENCH_REDIS_URL"]


def noop():
    """Nothing; the answer is there to be stored."""
    return 1


def nap():
    """Waits a millisecond."""
    time.sleep(0.001)
    return 1


def spin():
    """Uses a millisecond of processor time of its own thread."""
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass
    return 1


TASKS = (noop, nap, spin)
