"""No lock is held by two while workers are killed; and one who only believes to hold it is refused by its token."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from minicelery import MiniCelery
from tests.faults.lock_runs import LockOptions, holder_of, judge, kill_and_stop
from tests.faults.lock_tasks import HISTORY, NAME, write
from tests.real.conftest import Crew
from tests.stack import stand_still, wait_until

FORKING = """
import os, time
from minicelery import LockLost, MiniCelery

app = MiniCelery("fork")
lock = app.lock("parents", ttl=0.6)
lock.acquire()
if os.fork() == 0:
    assert not lock.held
    try:
        lock.release()
    except LockLost as error:
        app.clients.commands.rpush("said", str(error))
    with app.lock("childs", ttl=0.6) as own:
        time.sleep(1.2)
        app.clients.commands.rpush("said", f"held: {own.held}")
    time.sleep(60)
time.sleep(60)
"""


def test_no_lock_is_held_by_two_while_workers_are_killed_and_stopped(tmp_path: Path) -> None:
    verdict = kill_and_stop(LockOptions(kills=3, stops=1, threads=0, between=0), tmp_path)

    assert verdict.is_good, "\n".join(verdict.lines())
    assert verdict.beliefs > 0, "others have had it while one was stopped"
    assert all(wait < 10 for wait in verdict.waits)


def test_a_stale_holder_that_writes_without_looking_is_refused_by_its_token(crew: Crew, real_app: MiniCelery) -> None:
    zombie = crew.run("-m", "tests.faults.lock_zombie")
    client = real_app.clients.commands
    client.delete(HISTORY, "go")
    wait_until(lambda: client.llen(HISTORY), 20)
    stand_still(zombie.process.pid)

    with real_app.lock(NAME, timeout=10) as lock:
        assert write(client, lock.token)
        client.lpush("go", 1)
        os.kill(zombie.process.pid, signal.SIGCONT)
        told = json.loads(zombie.end()[1])

        assert lock.held
        assert told["token"] < lock.token
        assert [holder.token for holder in real_app.locks.find(NAME).holders] == [lock.token]
    assert told == {"token": told["token"], "accepted": False, "lost": True, "held": False, "release": "LockLost"}
    assert client.lrange(HISTORY, -1, -1)[0].startswith(f"refused {told['token']}")


def test_a_fork_has_none_of_the_locks_of_its_parent_and_renews_its_own(crew: Crew, real_app: MiniCelery) -> None:
    client = real_app.clients.commands
    client.delete("said")
    process = crew.run("-c", FORKING).process
    wait_until(lambda: client.llen("said"), 20)
    assert len(real_app.locks.find("parents").holders) == 1, "the fork could not release it"

    process.kill()
    with real_app.lock("parents", timeout=5) as lock:
        assert lock.held, "the fork lives, and does not renew it"

    wait_until(lambda: client.llen("said") == 2)
    first, second = client.lrange("said", 0, -1)
    assert f"is held by process {process.pid}, of which this one is a fork" in first
    assert second == "held: True"
    [child] = _session_of(process.pid)
    os.kill(child, signal.SIGKILL)


def _session_of(pid: int) -> list[int]:
    """The other processes of a session."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if path.name != str(pid) and _session(path) == pid]


def _session(path: Path) -> int:
    try:
        return os.getsid(int(path.name))
    except ProcessLookupError:
        return 0


# ---- that the records would tell --------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        (["begin 1 a", "begin 2 b", "end 1 a", "end 2 b"], "overlaps"),
        (["begin 2 a", "end 2 a", "begin 1 b"], "backwards"),
        (["begin 1 a", "end 1 a", "begin 1 b"], "backwards"),
        (["write 2 b", "write 1 a"], "stale_writes"),
        (["begin 1 a", "killed 0 b", "begin 2 b"], "overlaps"),
        (["stopped 0 a", "begin 1 a", "begin 2 b"], "overlaps"),
    ],
)
def test_two_holders_and_old_tokens_would_be_seen(records: list[str], fault: str) -> None:
    verdict = judge([f"{record} 0.0" for record in records])

    assert getattr(verdict, fault)
    assert not verdict.is_good


def test_the_dead_and_the_stopped_are_no_second_holders() -> None:
    records = ["begin 1 a 1.0", "killed 0 a 2.0", "begin 2 b 3.5", "stopped 0 b 4.0", "begin 3 c 5.0", "end 3 c 6.0"]

    verdict = judge([*records, "refused 2 b 7.0", "end 2 b 8.0"])

    assert verdict.is_good
    assert (verdict.holdings, verdict.beliefs, verdict.refused, verdict.waits) == (3, 1, 1, [1.5])


def test_where_no_holder_has_died_and_been_followed_a_verdict_that_asks_for_it_is_bad() -> None:
    calm = replace(judge(["begin 1 a 1.0", "end 1 a 2.0"]), least_waits=1)
    deadly = replace(judge(["begin 1 a 1.0", "killed 0 a 2.0", "begin 2 b 3.5"]), least_waits=1)

    assert not calm.is_good
    assert deadly.is_good


def test_the_holder_of_the_lock_is_told_by_the_last_record() -> None:
    assert holder_of(["begin 1 7 1.0"]) == holder_of(["write 1 7 1.0"]) == 7
    assert holder_of(["end 1 7 1.0"]) == holder_of(["killed 0 7 1.0"]) == holder_of([]) == 0
