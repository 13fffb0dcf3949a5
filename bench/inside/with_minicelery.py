import time

import work

from minicelery import MiniCelery

app = MiniCelery("bench", redis_url=work.URL)
tasks = {task.__name__: app.task(task) for task in work.TASKS}

BEGUN, SEEN = "bench:begun", "bench:seen"


@app.task(bind=True, max_retries=0)
def heed(self):
    """Leaves a mark when it begins, and one with the time of day when it sees that it is cancelled."""
    work.marks().rpush(BEGUN, 1)
    while not self.cancelled:
        time.sleep(0.001)
    work.marks().rpush(SEEN, time.time())


def begun():
    """A task that runs."""
    handle = heed.delay()
    _mark(BEGUN)
    return handle


def cancel(handle):
    return handle.cancel()


def seen():
    return float(_mark(SEEN))


def _mark(key):
    found = work.marks().blpop(key, 30)
    if not found:
        raise TimeoutError(f"no {key} in 30 s")
    return found[1]


def send(task, *args):
    return tasks[task].delay(*args)


def send_later(seconds, task, *args):
    return tasks[task].apply_async(args, countdown=seconds)


def send_many(task, count):
    app.submit_many([tasks[task].s() for _ in range(count)])


def send_for(tenant, task, count):
    calls = [tasks[task].s(number) for number in range(count)]
    return app.submit_many([call.set(fair_key=tenant) for call in calls] if tenant else calls)


def wait(handle):
    return handle.get(timeout=60)
