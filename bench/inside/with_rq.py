from datetime import timedelta

import redis
import work
from rq import Queue

queue = Queue(connection=redis.Redis.from_url(work.URL))
CHUNK = 1000


def send(task, *args):
    return queue.enqueue(f"work.{task}", *args)


def send_later(seconds, task, *args):
    return queue.enqueue_in(timedelta(seconds=seconds), f"work.{task}", *args)


def send_many(task, count):
    for begun in range(0, count, CHUNK):
        queue.enqueue_many([Queue.prepare_data(f"work.{task}") for _ in range(min(CHUNK, count - begun))])


def wait(handle):
    return handle.latest_result(timeout=60).return_value
