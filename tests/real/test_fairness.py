"""Turns of tenants, with a worker at work."""

from minicelery import MiniCelery
from tests.real.conftest import Crew
from tests.real.test_worker import PATIENCE, lawful
from tests.stack import wait_until

THREADS, TENANTS = 10, 2


def test_a_flood_of_ten_thousand_lets_anothers_ten_through_in_twice_their_turns(crew: Crew, tasks: MiniCelery) -> None:
    nap = tasks.tasks.find("nap")
    flood = tasks.submit_many(nap.s(0.03).set(fair_key="flood") for _ in range(10_000))
    crew.start("--threads", str(THREADS)).ready()
    wait_until(lambda: flood[3 * THREADS].status == "SUCCESS", what="a worker that is at it")

    ten = tasks.submit_many(nap.s(0.03).set(fair_key="other") for _ in range(10))
    for result in ten:
        assert result.get(PATIENCE) == "rested"

    submitted = min(result.record.created_at for result in ten)
    last = max(result.record.started_at or 0 for result in ten)
    others = [record for record in tasks.inspector.tasks([one.id for one in flood[:2_000]]) if record]
    between = [record for record in others if submitted < (record.started_at or 0) <= last]
    assert len(between) + len(ten) <= 2 * TENANTS * len(ten)
    tasks.limits.purge("default")
    lawful(tasks)
