import os

import work
from huey import RedisHuey

huey = RedisHuey("bench", url=work.URL, notify_result=bool(os.environ.get("BENCH_NOTIFY")))
tasks = {task.__name__: huey.task(name=task.__name__)(task) for task in work.TASKS}


def send(task, *args):
    return tasks[task](*args)


def send_later(seconds, task, *args):
    return tasks[task].schedule(args=args, delay=seconds)


def wait(handle):
    return handle.get(blocking=True, timeout=60)
