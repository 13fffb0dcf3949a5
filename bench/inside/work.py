"""What the tasks do, the same for all queues whose tasks are plain functions."""

import os
import time
from functools import cache

import redis

URL = os.environ["BENCH_REDIS_URL"]
MARKS = "bench:marks"


@cache
def marks():
    return redis.Redis.from_url(URL)


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


def stamp(sent):
    """How long it was under way, in seconds."""
    return time.time() - sent


def mark(number):
    """Takes 20 ms and leaves a mark for each run, so that lost and repeated tasks can be counted."""
    time.sleep(0.02)
    marks().rpush(MARKS, number)
    return 1


TASKS = (noop, nap, spin, stamp, mark)
