"""Claims and settles with our scripts as fast as Redis lets it, running no task: what Redis alone can do."""

import os
import socket

import hiredis
import work

from minicelery import MiniCelery
from minicelery.broker import Broker, Claim, Settlement
from minicelery.scripts import load
from minicelery.states import Status

AT_ONCE = 50
app = MiniCelery("bench", redis_url=work.URL)


class Tight:
    """Stands in for what sends the scripts: one socket, no repeats, no translation of errors."""

    def __init__(self, address):
        self._socket = socket.create_connection(address)
        self._reader = hiredis.Reader(encoding="utf-8")

    def run(self, *call):
        return self.run_all([call])[0]

    def run_all(self, calls):
        packed = [
            hiredis.pack_command(("EVALSHA", load(name).sha, len(keys), *keys, app.keys.prefix, *args))
            for name, keys, args in calls
        ]
        self._socket.sendall(b"".join(packed))
        return [self._answer() for _ in calls]

    def _answer(self):
        while (answer := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 20))
        if isinstance(answer, Exception):
            raise answer
        return answer


def main():
    app.scripts.load_all()
    pool = app.clients.commands.connection_pool.connection_kwargs
    broker = Broker(Tight((pool["host"], pool["port"])), app.keys, app.config.result_ttl)
    worker = f"drive-{os.getpid()}"
    app.broker.beat({worker: "{}"}, 600.0)
    number, settlements = 0, []
    while True:
        number += 1
        claim = Claim(worker, 0, number, f"{number:016x}", ("default",), AT_ONCE, budget=10**9, costs={"noop": 1})
        _, claimed = broker.exchange(worker, settlements, claim)
        settlements = [Settlement(one.id, one.token, Status.SUCCESS, "1") for one in claimed.deliveries]


if __name__ == "__main__":
    main()
