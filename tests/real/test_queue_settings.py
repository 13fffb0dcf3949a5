"""What the code of real workers says of their queue."""

import signal
from itertools import pairwise

from minicelery import MiniCelery
from tests.real import narrow_tasks as module
from tests.real.conftest import Crew, declare
from tests.real.test_worker import PATIENCE, call, lawful
from tests.stack import wait_until


def test_what_the_code_says_of_a_queue_holds_for_all_workers_and_ends_with_the_last_of_them(
    crew: Crew, real_app: MiniCelery
) -> None:
    tasks = declare(real_app, module.app)
    workers = [crew.start("--threads", "2", app="tests.real.narrow_tasks:app") for _ in range(2)]
    crew.start("--threads", "1", "--queues", "elsewhere", app="tests.real.other_tasks:app")
    wait_until(lambda: len(tasks.inspector.workers()) == 3, 20, "the workers")
    control = tasks.limits.of("queue", "default")
    assert (control.concurrency, control.ageing, control.from_code) == (1, 60, ("concurrency", "ageing"))

    results = [call(tasks, "nap", 0.05) for _ in range(6)]

    assert [result.get(PATIENCE) for result in results] == ["rested"] * 6
    runs = sorted((result.record.started_at or 0.0, result.record.updated_at) for result in results)
    assert all(end <= start for (_, end), (start, _) in pairwise(runs)), runs

    for worker in workers:
        worker.signal(signal.SIGTERM)
    for worker in workers:
        assert worker.end()[0] == 0
    wait_until(lambda: tasks.limits.all() == [], what="the end of the limit")
    lawful(tasks)
