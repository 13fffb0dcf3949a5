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


DEEDS = {"ready": ready, "enqueue": enqueue, "bulk": bulk}


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
