"""Tasks that all take one lock and tell of it, and a store that refuses what comes under an old token.

``python -m tests.faults.lock_tasks 6``: as many processes that do nothing else, and end with this one.
"""

import os
import signal
import sys
import time
from contextlib import suppress

from minicelery import LockLost, MiniCelery
from minicelery.connection import Client
from minicelery.launch import die_with_parent

NAME = "shared"
TTL = 1.5
#: What has happened, in the order of Redis: a word, a token or 0, a process, and when.
HISTORY = "history-of-the-lock"
_STORE = "store-behind-the-lock"
_WRITE = """
local token = tonumber(ARGV[1])
local is_new = token >= tonumber(redis.call('GET', KEYS[1]) or '0')
if is_new then redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('RPUSH', KEYS[2], (is_new and 'write ' or 'refused ') .. ARGV[1] .. ' ' .. ARGV[2])
return is_new and 1 or 0
"""

app = MiniCelery("locks")


def note(client: Client, word: str, token: int = 0, pid: int | None = None) -> None:
    """Put something down as happening now."""
    client.rpush(HISTORY, f"{word} {token} {pid or os.getpid()} {time.time():.3f}")


def write(client: Client, token: int) -> bool:
    """Write to the store. Whether it took it: not if it has seen a larger token."""
    return bool(client.eval(_WRITE, 2, _STORE, HISTORY, token, f"{os.getpid()} {time.time():.3f}"))


@app.task(max_retries=0)
def hold(seconds: float) -> None:
    """Write twice to the store under the lock, with some seconds in between."""
    client = app.clients.commands
    with app.lock(NAME, ttl=TTL) as lock:
        note(client, "begin", lock.token)
        write(client, lock.token)
        time.sleep(seconds)
        write(client, lock.token)
        note(client, "end", lock.token)


def main() -> None:
    parent = os.getpid()
    for _ in range(int(sys.argv[1])):
        if os.fork() == 0:
            die_with_parent(parent, signal.SIGKILL)
            while True:
                with suppress(LockLost):
                    hold(0.005)
    while True:
        os.wait()


if __name__ == "__main__":
    main()
