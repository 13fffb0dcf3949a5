"""Runs in a contender's own environment: does what it reads from standard input, a line of JSON each."""

import asyncio
import importlib
import inspect
import json
import sys
import time

queue = importlib.import_module(sys.argv[1])
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


async def _now(value):
    return await value


def call(function, *args):
    """The answer of a function, plain or async."""
    value = function(*args)
    return loop.run_until_complete(_now(value)) if inspect.isawaitable(value) else value


def ready():
    """Connect, so that no measurement has to."""
    if hasattr(queue, "start"):
        call(queue.start)
    return {}


def enqueue(task, count):
    """One by one, each call waited for."""

    async def patiently():
        for _ in range(count):
            await queue.send(task)

    def plainly():
        for _ in range(count):
            queue.send(task)

    begun = time.perf_counter()
    call(patiently if inspect.iscoroutinefunction(queue.send) else plainly)
    return {"seconds": time.perf_counter() - begun}


def bulk(task, count):
    """As fast as the queue's own way of sending many goes."""
    begun = time.perf_counter()
    call(queue.send_many, task, count)
    return {"seconds": time.perf_counter() - begun}


def send(task, args):
    """Send one and remember it for `wait`."""
    handles.append(call(queue.send, task, *args))
    return {}


def wait():
    """The result of the task remembered longest."""
    return {"result": call(queue.wait, handles.pop(0))}


def mark(count):
    """Tasks that leave a mark each, numbered."""
    for number in range(count):
        call(queue.send, "mark", number)
    return {}


def round_trips(count, pause):
    """Seconds from before sending a task until its result is here, one task at a time."""
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        call(queue.wait, call(queue.send, "noop"))
        taken.append(time.perf_counter() - begun)
        time.sleep(pause)
    return {"seconds": taken}


def paced(rate, count):
    """Send so many a second; of each, the seconds from before sending until it ran. How many a second were sent, and
    how many done, their results fetched."""
    begun = time.perf_counter()
    sent, reached = steadily(rate, count, lambda: call(queue.send, "stamp", time.time()))
    seconds = [call(queue.wait, handle) for handle in sent]
    return {"seconds": seconds, "rate": reached, "done": count / (time.perf_counter() - begun)}


def delayed(rate, count, delay):
    """Send so many a second that are due so many seconds later; of each, the seconds from then until it ran. How many a
    second were sent."""
    sent, reached = steadily(rate, count, lambda: call(queue.send_later, delay, "stamp", time.time() + delay))
    return {"seconds": [call(queue.wait, handle) for handle in sent], "rate": reached}


def of_tenant(tenant, task, count, is_fair, until_done=False):
    """Send tasks of one tenant; the seconds until they are sent, or until the last result is here."""
    begun = time.perf_counter()
    handles = call(queue.send_for, tenant if is_fair else None, task, count)
    if until_done:
        for handle in handles:
            call(queue.wait, handle)
    return {"seconds": time.perf_counter() - begun}


def cancelled(count, pause):
    """Seconds from before cancelling a task that runs until it sees that, by the time of day, one task at a time."""
    taken = []
    for _ in range(count):
        handle = call(queue.begun)
        time.sleep(pause)
        begun = time.time()
        call(queue.cancel, handle)
        taken.append(call(queue.seen) - begun)
    return {"seconds": taken}


def steadily(rate, count, send):
    """What was sent at such a pace, and how many a second it became."""
    begun = time.perf_counter()
    sent = []
    for number in range(count):
        early = begun + number / rate - time.perf_counter()
        if early > 0:
            time.sleep(early)
        sent.append(send())
    return sent, count / (time.perf_counter() - begun)


handles = []
DEEDS = {
    deed.__name__: deed
    for deed in (ready, enqueue, bulk, send, wait, mark, round_trips, paced, delayed, of_tenant, cancelled)
}


def main():
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not look like an answer
    for line in sys.stdin:
        wish = json.loads(line)
        try:
            answer = DEEDS[wish.pop("do")](**wish)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
