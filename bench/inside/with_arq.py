import os

import work
import work_async
from arq import create_pool, func
from arq.connections import RedisSettings

SETTINGS = RedisSettings.from_dsn(work.URL)
POLL = 0.001
pool = None


def task_of(function):
    async def run(ctx, *args):
        return await function(*args)

    return func(run, name=function.__name__)


class WorkerSettings:
    functions = tuple(task_of(task) for task in work_async.TASKS)
    redis_settings = SETTINGS
    poll_delay = POLL
    max_jobs = int(os.environ.get("BENCH_MAX_JOBS", "50"))
    job_timeout = 5
    max_tries = 100


async def start():
    global pool
    pool = await create_pool(SETTINGS)


async def send(task, *args):
    return await pool.enqueue_job(task, *args)


async def send_later(seconds, task, *args):
    return await pool.enqueue_job(task, *args, _defer_by=seconds)


async def send_many(task, count):
    await work_async.by_fifties(lambda: send(task), count)


async def wait(handle):
    return await handle.result(timeout=60, poll_delay=POLL)
