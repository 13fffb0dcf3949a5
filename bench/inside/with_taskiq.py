import os

import work
import work_async
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

if os.environ.get("BENCH_BROKER") == "list":
    broker = ListQueueBroker(work.URL)
else:
    broker = RedisStreamBroker(work.URL, consumer_id="0", idle_timeout=5_000)
broker = broker.with_result_backend(RedisAsyncResultBackend(work.URL))
tasks = {task.__name__: broker.task(task_name=task.__name__)(task) for task in work_async.TASKS}


async def start():
    await broker.startup()


async def send(task, *args):
    return await tasks[task].kiq(*args)


async def send_many(task, count):
    await work_async.by_fifties(lambda: send(task), count)


async def wait(handle):
    return (await handle.wait_result(check_interval=0.001, timeout=60)).return_value
