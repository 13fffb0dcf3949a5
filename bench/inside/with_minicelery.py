import work

from minicelery import MiniCelery

app = MiniCelery("bench", redis_url=work.URL)
tasks = {task.__name__: app.task(task) for task in work.TASKS}


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
