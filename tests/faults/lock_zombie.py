"""``python -m tests.faults.lock_zombie``: takes a lock, waits until it is told to go, and writes without looking.

Prints as JSON what has become of the write and of the lock.
"""

import json

from minicelery import LockLost, MiniCelery

from .lock_tasks import NAME, TTL, note, write


def main() -> None:
    app = MiniCelery("zombie")
    client = app.clients.commands
    lock = app.lock(NAME, ttl=TTL)
    lock.acquire()
    note(client, "begin", lock.token)
    app.clients.blocking.brpop("go", 30)
    told: dict[str, object] = {
        "token": lock.token,
        "accepted": write(client, lock.token),
        "lost": lock.lost,
        "held": lock.held,
    }
    try:
        lock.release()
    except LockLost:
        told["release"] = "LockLost"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
