"""Limited tasks that write down when they begin and end, in which process."""

import json
import os
import time

from minicelery import MiniCelery, TaskContext

RUNS = "runs"
RATE, CONCURRENCY = 20, 3
KEYS = ("acme", "globex")

app = MiniCelery("limited")


def _key(number: int, key: str) -> str:
    return key


@app.task(bind=True, rate_limit=f"{RATE}/s", rate_key=_key)
def paced(self: TaskContext, number: int, key: str) -> int:
    return number


@app.task(bind=True, concurrency=CONCURRENCY, concurrency_key=_key)
def narrow(self: TaskContext, number: int, key: str) -> int:
    _write("begin", key, self.token)
    time.sleep(0.02 + number % 7 * 0.01)
    _write("end", key, self.token)
    return number


def _write(what: str, key: str, token: str) -> None:
    text = json.dumps({"what": what, "key": key, "run": f"{token}", "pid": os.getpid(), "at": time.time()})
    app.clients.commands.rpush(f"{app.keys.prefix}{RUNS}", text)
