"""Delivery → outcome, whatever user code does."""

import sys
from typing import Any, NoReturn

import pytest

from minicelery import MiniCelery, TaskContext, codec
from minicelery.errors import LeaseLost, TaskCrashed
from minicelery.executor import Demand, Ending, Executor
from minicelery.message import Delivery
from minicelery.outcome import Outcome
from minicelery.states import Status
from minicelery.time_limits import TimeLimits


class Bench:
    def __init__(self, app: MiniCelery, leased: bool = True) -> None:
        self.reports: list[str] = []
        self.leased = leased
        self.app = app
        self.executor = Executor(app.tasks.find, self.report, lambda: 0.5)

    def report(self, task_id: str, token: str, members: str) -> bool:
        self.reports.append(members)
        return self.leased

    def run(self, function: Any, args: list[Any] | None = None, retry_count: int = 0, **options: Any) -> Outcome | None:
        self.app.task(name="t", **options)(function)
        delivery = Delivery("id", "1.x", "t", codec.encode(args or []), "{}", "default", retry_count, 3, 0.0)
        return self.executor.execute(delivery)


@pytest.fixture
def bench(fake_app: MiniCelery) -> Bench:
    return Bench(fake_app)


def test_a_result_is_a_success(bench: Bench) -> None:
    assert bench.run(lambda x: [x, None], [2**70]) == Outcome(Status.SUCCESS, f"[{2**70},null]")


def test_an_unknown_task_fails_for_good(bench: Bench) -> None:
    outcome = bench.executor.execute(Delivery("id", "1.x", "none", "[]", "{}", "default", 0, 3, 0.0))

    assert outcome
    assert outcome.status is Status.FAILED
    assert "no task 'none'" in codec.decode(outcome.body)["message"]


def test_a_result_that_is_not_json_fails_without_a_retry(bench: Bench) -> None:
    outcome = bench.run(lambda: {"a": {1}})

    assert outcome
    assert outcome.status is Status.FAILED
    assert codec.decode(outcome.body)["message"].startswith("/result/a: a value of type set is not JSON")


def _deep() -> NoReturn:
    _deep()


def _raise(error: BaseException) -> NoReturn:
    raise error


class Broken(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    "function",
    [
        lambda: _raise(SystemExit(1)),
        lambda: _raise(KeyboardInterrupt()),
        lambda: _raise(GeneratorExit()),
        lambda: sys.exit("bye"),
        _deep,
        lambda: _raise(Broken()),
        lambda: _raise(type("Odd\ud800", (Exception,), {})()),
        lambda: object(),
        lambda: "\ud800",
        lambda: float("nan"),
        lambda: "x" * 2_000_000,
    ],
)
def test_whatever_a_task_does_is_an_outcome(bench: Bench, function: Any) -> None:
    outcome = bench.run(function, retry_count=3)

    assert outcome
    assert outcome.status is Status.FAILED
    assert set(codec.decode(outcome.body)) == {"type", "message", "traceback"}


def test_a_bound_task_knows_itself_and_reports(bench: Bench) -> None:
    def task(self: TaskContext) -> list[Any]:
        self.progress(1, 2, "half")
        return [self.id, self.retry_count, self.token]

    outcome = bench.run(task, retry_count=2, bind=True)

    assert outcome
    assert codec.decode(outcome.body) == ["id", 2, "1.x"]
    assert bench.reports == ['"done":1,"total":2,"message":"half"']


def test_a_run_that_learns_that_its_lease_is_lost_has_no_outcome(fake_app: MiniCelery) -> None:
    bench = Bench(fake_app, leased=False)

    assert bench.run(lambda self: self.progress(1), bind=True) is None


def test_a_task_that_only_says_so_has_not_lost_its_lease(bench: Bench) -> None:
    outcome = bench.run(lambda: _raise(LeaseLost("by its own words")), retry_count=3)

    assert outcome
    assert outcome.status is Status.FAILED


def test_a_recursion_limit_that_a_task_lowers_is_raised_again(bench: Bench) -> None:
    before = sys.getrecursionlimit()

    bench.run(lambda: sys.setrecursionlimit(before - 100))

    assert sys.getrecursionlimit() == before


def test_an_asked_retry_is_a_retry(bench: Bench) -> None:
    outcome = bench.run(lambda self: self.retry(countdown=5), bind=True)

    assert outcome
    assert (outcome.status, outcome.delay) == (Status.RETRYING, 5)


@pytest.mark.parametrize("is_handled", [True, False])
def test_a_retry_is_for_the_error_that_is_given(bench: Bench, is_handled: bool) -> None:
    def task(self: TaskContext) -> None:
        if is_handled:
            try:
                raise KeyError("handled")
            except KeyError:
                self.retry(countdown=5, exc=ValueError("given"))
        self.retry(exc=ValueError("given"))

    outcome = bench.run(task, bind=True, retry_count=3)

    assert outcome
    error = codec.decode(outcome.body)
    assert (outcome.status, error["type"], error["message"]) == (Status.FAILED, "ValueError", "given")


def test_the_traceback_begins_with_the_users_code(bench: Bench) -> None:
    outcome = bench.run(lambda: _raise(ValueError("wrong")), retry_count=3)

    assert outcome
    trace = codec.decode(outcome.body)["traceback"]
    assert "executor.py" not in trace.replace("test_executor.py", "")
    assert "raise error" in trace


ISOLATED: dict[str, Any] = {"isolation": "process", "time_limit": 9, "max_memory_mb": 100}


def _isolating(bench: Bench, ending: Ending) -> list[Demand]:
    """The executor hands over what is isolated, which ends so."""
    demands: list[Demand] = []

    def isolate(demand: Demand) -> Ending:
        demands.append(demand)
        return ending

    bench.executor = bench.app.make_executor(bench.report, isolate=isolate)
    return demands


def test_an_isolated_task_is_handed_over_with_its_limits(bench: Bench) -> None:
    demands = _isolating(bench, Outcome(Status.SUCCESS, "3"))

    outcome = bench.run(lambda: _raise(ValueError("here")), **ISOLATED)

    assert outcome == Outcome(Status.SUCCESS, "3")
    [demand] = demands
    assert (demand.delivery.id, demand.limits, demand.max_memory_mb) == ("id", TimeLimits(9), 100)
    assert bench.executor.time_limits(demand.delivery) is None, "nobody else keeps them"


def test_what_has_ended_the_process_of_a_run_is_judged_by_the_policy(bench: Bench) -> None:
    _isolating(bench, TaskCrashed("by SIGSEGV"))

    again = bench.run(lambda: None, **ISOLATED)
    bench.app.tasks = type(bench.app.tasks)()
    _isolating(bench, TaskCrashed("by SIGSEGV"))
    never = bench.run(lambda: None, no_retry_for=TaskCrashed, **ISOLATED)

    assert again
    assert never
    assert (again.status, never.status) == (Status.RETRYING, Status.FAILED)
    assert codec.decode(never.body)["type"] == "minicelery.errors.TaskCrashed"


def test_an_isolated_run_that_is_in_vain_has_no_outcome(bench: Bench) -> None:
    _isolating(bench, None)

    assert bench.run(lambda: 3, **ISOLATED) is None


def test_other_tasks_run_here(bench: Bench) -> None:
    demands = _isolating(bench, None)

    assert bench.run(lambda: 3) == Outcome(Status.SUCCESS, "3")
    assert demands == []
