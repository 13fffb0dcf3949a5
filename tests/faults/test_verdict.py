"""A soak's verdict finds what it is there to find."""

from pathlib import Path

import pytest

from minicelery.record import TaskRecord, parse
from minicelery.states import Status
from tests.faults.history import BrokenHistory, ends_recorded
from tests.faults.plan import Planned, make_plan
from tests.faults.verdict import Evidence, Verdict, judge

HEALTHY = Planned("a", "work", (1, 0.0), result=7)
FAILING = Planned("b", "fail", (2,), status=Status.FAILED)
STUMBLING = Planned("c", "stumble", (3, 2), result=9)
PLAN = [HEALTHY, FAILING, STUMBLING]
ONCE = {"a": 1, "b": 1, "c": 1}


def record(planned: Planned, **fields: str) -> TaskRecord:
    outcome = {"error": '{"type":"E","message":"m","traceback":""}'} if planned.result is None else {}
    if planned.result is not None:
        outcome = {"result": str(planned.result)}
    retries = str(planned.args[1]) if planned.name == "stumble" else "0"
    common = {"args": "[]", "kwargs": "{}", "queue": "q", "max_retries": "3", "created_at": "1", "updated_at": "2"}
    mine = {"id": planned.id, "name": planned.name, "status": planned.status.value, "retry_count": retries}
    return parse({**common, **mine, "token": f"{1 + int(retries)}.x", **outcome, **fields})


def verdict(
    ends: dict[str, int] | None = None, violations: tuple[str, ...] = (), **records: TaskRecord | None
) -> Verdict:
    all_records = {one.id: record(one) for one in PLAN} | records
    return judge(Evidence(PLAN, all_records, ONCE if ends is None else ends, violations))


def guilty(found: Verdict) -> dict[str, list[str]]:
    return {name: [one.split()[0] for one in ids] for name, ids in found.faults.items() if ids}


def test_a_run_without_a_fault_is_good() -> None:
    found = verdict()

    assert found.is_good
    assert guilty(found) == {}
    assert found.figures["extra runs"] == 0
    assert found.lines()[-1].startswith("VERDICT: good: 0 lost, 0 recorded twice")


def test_a_task_that_is_gone_or_never_finished_is_lost() -> None:
    running = record(HEALTHY, status="RUNNING")

    found = verdict(a=running, b=None)

    assert not found.is_good
    assert guilty(found) == {"lost": ["a", "b"]}
    assert found.lines()[-1].startswith("VERDICT: BAD: 2 lost")


def test_a_second_record_is_found() -> None:
    assert guilty(verdict(ends={**ONCE, "c": 2})) == {"recorded twice": ["c"]}


def test_an_end_that_the_history_does_not_have_is_found() -> None:
    assert guilty(verdict(ends={"a": 1, "b": 1})) == {"recorded out of sight": ["c"]}


def test_a_wrong_result_a_wrong_state_and_a_wrong_number_of_retries_are_found() -> None:
    found = verdict(
        a=record(HEALTHY, result="8"), b=record(FAILING, status="SUCCESS"), c=record(STUMBLING, retry_count="3")
    )

    assert guilty(found)["wrong outcomes"] == ["a", "b", "c"]


def test_a_healthy_task_among_the_dead_letters_is_found() -> None:
    found = verdict(a=record(HEALTHY, status="FAILED"))

    assert guilty(found)["healthy dead-lettered"] == ["a"]


def test_a_breach_of_the_law_is_found() -> None:
    assert guilty(verdict(violations=("a is in two places",))) == {"breaches of the law": ["a"]}


def test_a_soak_that_did_too_little_is_no_good_soak() -> None:
    found = judge(Evidence([], {}, {}, []), shortcomings=["199 kills of 200"])

    assert not found.is_good


def test_the_plan_is_the_same_for_the_same_seed() -> None:
    plan = make_plan(500, 3, seed=7)

    assert plan == make_plan(500, 3, seed=7)
    assert plan != make_plan(500, 3, seed=8)
    assert len({one.id for one in plan}) == 500
    assert sum(one.is_poison for one in plan) == 3


# ---- the append-only file ---------------------------------------------------------------------


def written(*commands: str) -> bytes:
    return b"".join(
        f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)
        for words in (command.split() for command in commands)
    )


def make_history(folder: Path, data: bytes, base: int = 1) -> None:
    place = folder / "appendonlydir"
    place.mkdir()
    (place / "appendonly.aof.1.incr.aof").write_bytes(data)
    (place / "appendonly.aof.manifest").write_text(
        f"file appendonly.aof.{base}.base.rdb seq {base} type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )


def test_the_ends_of_each_task_are_read_from_the_history(tmp_path: Path) -> None:
    make_history(
        tmp_path,
        written(
            "SELECT 0",
            "HSET n:task:a status PENDING name work",
            "MULTI",
            "HSET n:task:a status RUNNING token 1.x",
            "HSET n:task:b result 3 status SUCCESS",
            "EXEC",
            "HSET n:task:a status FAILED",
            "HSET n:task:a status SUCCESS",
            "HSET n:task:a error SUCCESS",
            "HSET other:task:a status SUCCESS",
        ),
    )

    assert ends_recorded(tmp_path, "n:") == {"a": 2, "b": 1}


def test_a_rewritten_or_torn_history_is_refused(tmp_path: Path) -> None:
    rewritten, torn = tmp_path / "rewritten", tmp_path / "torn"
    for folder in (rewritten, torn):
        folder.mkdir()
    make_history(rewritten, b"", base=2)
    make_history(torn, written("SELECT 0")[3:])

    for folder in (rewritten, torn):
        with pytest.raises(BrokenHistory):
            ends_recorded(folder, "")
