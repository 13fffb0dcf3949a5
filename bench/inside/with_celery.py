import os

import work
from celery import Celery, group

app = Celery("bench", broker=work.URL, backend=work.URL)
app.conf.update(
    task_acks_late=os.environ.get("BENCH_ACKS_LATE") == "1",
    task_reject_on_worker_lost=os.environ.get("BENCH_ACKS_LATE") == "1",
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    broker_transport_options={"visibility_timeout": 10},
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
tasks = {task.__name__: app.task(name=task.__name__)(task) for task in work.TASKS}


def send(task, *args):
    return tasks[task].delay(*args)


def send_later(seconds, task, *args):
    return tasks[task].apply_async(args, countdown=seconds)


def send_many(task, count):
    group(tasks[task].s() for _ in range(count)).apply_async()


def wait(handle):
    return handle.get(timeout=60)
