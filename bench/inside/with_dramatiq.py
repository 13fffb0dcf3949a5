import dramatiq
import work
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=work.URL, heartbeat_timeout=5_000, maintenance_chance=100_000)
broker.add_middleware(Results(backend=RedisBackend(url=work.URL)))
dramatiq.set_broker(broker)
tasks = {
    task.__name__: dramatiq.actor(task, actor_name=task.__name__, store_results=True, max_retries=100)
    for task in work.TASKS
}


def send(task, *args):
    return tasks[task].send(*args)


def send_later(seconds, task, *args):
    return tasks[task].send_with_options(args=args, delay=int(seconds * 1000))


def wait(handle):
    return handle.get_result(block=True, timeout=60_000)
