import inspect
import time

import work
import work_async
from saq import Queue

queue = Queue.from_url(work.URL)
NAMES = {task.__name__: list(inspect.signature(task).parameters) for task in work_async.TASKS}


def task_of(function):
    async def run(ctx, **kwargs):
        return await function(**kwargs)

    return function.__name__, run


settings = {
    "queue": queue,
    "functions": [task_of(task) for task in work_async.TASKS],
    "concurrency": 10,
    "timers": {"sweep": 5},
}


async def start():
    await queue.connect()


async def send(task, *args, **more):
    return await queue.enqueue(task, timeout=5, retries=100, **dict(zip(NAMES[task], args, strict=True)), **more)


async def send_later(seconds, task, *args):
    return await send(task, *args, scheduled=time.time() + seconds)


async def send_many(task, count):
    await work_async.by_fifties(lambda: send(task), count)


async def wait(handle):
    await handle.refresh(60)
    return handle.result
