"""Stands for a worker that does nothing but what Redis has to do: claims and settles what waits, without running it."""

import signal

import redis
import work

from bench.ideal import LEASE, WORKER, pour, worked_off
from minicelery import MiniCelery

QUEUE = "default"
app = MiniCelery("bench", redis_url=work.URL)


def main():
    app.scripts.load_all()
    app.broker.beat({WORKER: "{}"}, LEASE)
    with redis.Redis.from_url(work.URL, decode_responses=True) as client:
        ids = client.lrange(app.keys.queue(QUEUE), 0, -1)[::-1]
    pour(work.URL, worked_off(app.keys, QUEUE, "noop", ids, app.config.result_ttl))
    signal.pause()  # a worker does not end by itself


if __name__ == "__main__":
    main()
