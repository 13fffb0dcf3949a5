from datetime import timedelta

import work
import work_async
from streaq import Worker

worker = Worker(redis_url=work.URL, concurrency=50, idle_timeout=5)
tasks = {task.__name__: worker.task(name=task.__name__, max_tries=100)(task) for task in work_async.TASKS}
CHUNK = 1000


async def start():
    await worker.__aenter__()


async def send(task, *args):
    return await tasks[task].enqueue(*args)


async def send_later(seconds, task, *args):
    return await tasks[task].enqueue(*args).start(delay=timedelta(seconds=seconds))


async def send_many(task, count):
    for begun in range(0, count, CHUNK):
        await worker.enqueue_many([tasks[task].enqueue() for _ in range(min(CHUNK, count - begun))])


async def wait(handle):
    return (await handle.result(60)).result
