"""What people know from Celery: each habit of ``docs/from-celery.md`` does here what its row says."""

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from minicelery import MiniCelery, ResultTimeout, Retry, Status, TaskContext, TaskFailed, TaskNotFound
from minicelery.cli import main
from minicelery.config import Config
from minicelery.errors import (
    ConfigError,
    InvalidInput,
    InvalidPayload,
    TaskCancelled,
    TaskExpired,
    TaskIdTaken,
    TimeLimitExceeded,
    UnknownTask,
)
from minicelery.handover import Claim, Settlement
from minicelery.keys import NORMAL_PRIORITY
from minicelery.message import Delivery
from minicelery.outcome import RetryPolicy
from minicelery.testing import drain, eager
from minicelery.time_limits import TimeLimits
from tests.unit.test_documents import ROOT

#: The words for which a test of this module stands, as they stand in the first column of the table.
HABITS: set[str] = set()
Test = Callable[..., None]


def habit(*words: str) -> Callable[[Test], Test]:
    """This test runs the row of the document whose first column has these words."""
    HABITS.update(words)
    return lambda test: test


@pytest.fixture
def add(fake_app: MiniCelery) -> Any:
    @fake_app.task
    def add(x: Any, y: Any = 0) -> Any:
        return x + y

    return add


def claim(app: MiniCelery) -> Sequence[Delivery]:
    """What a worker gets in one claim."""
    app.broker.beat({"w": "{}"}, 60)
    number = int(app.clients.commands.incr(f"{app.keys.prefix}claims"))
    return app.broker.claim(Claim("w", 0, number, f"n{number:04}", ("default",))).deliveries


def run_next(app: MiniCelery) -> str:
    """Run what a worker gets next; the id."""
    [delivery] = claim(app)
    outcome = app.executor.execute(delivery)
    assert outcome
    app.broker.settle("w", [Settlement(delivery.id, delivery.token, outcome.status, outcome.body, outcome.delay)])
    return delivery.id


def test_each_habit_of_the_table_has_a_test() -> None:
    rows = (ROOT / "docs" / "from-celery.md").read_text(encoding="utf-8").split("|---|---|---|\n")[1].splitlines()
    words = [word for row in rows for word in re.findall(r"`(.+?)`", row.split("|")[1])]

    assert {row.count("|") for row in rows} == {4}, "one table of three columns, to the end"
    assert len(words) == len(set(words)), "each has one row"
    assert set(words) == HABITS


# ---- calling ---------------------------------------------------------------------------------------


@habit("delay")
def test_delay_sends_what_json_can_write(add: Any, fake_app: MiniCelery) -> None:
    assert add.delay((1, 2), [3]).record.args == [[1, 2], [3]]
    for value in (date(2030, 1, 1), {1, 2}):
        with pytest.raises(InvalidPayload) as caught:
            add.delay(1, value)
        assert caught.value.pointer == "/args/1"


@habit("apply_async", "retry", "retry_policy", "connection", "producer", "serializer", "compression")
@pytest.mark.parametrize(
    "option", ["retry", "retry_policy", "connection", "producer", "serializer", "compression", "routing_key"]
)
def test_what_is_not_there_is_refused_by_its_name(add: Any, option: str) -> None:
    with pytest.raises(InvalidInput, match=f"no option '{option}'") as caught:
        add.apply_async(args=(1, 2), kwargs={}, **{option: None})

    assert add.apply_async(None, {"x": 1, "y": 2}).record.kwargs == {"x": 1, "y": 2}
    assert caught.value.pointer == f"/{option}"
    assert Config().patience == 5


@habit("countdown")
@pytest.mark.parametrize("seconds", [10, 0.5])
def test_a_countdown_is_seconds(add: Any, seconds: float) -> None:
    record = add.apply_async((1, 2), countdown=seconds).record

    assert (record.status, record.due) == (Status.SCHEDULED, pytest.approx(record.created_at + seconds, abs=0.01))
    with pytest.raises(InvalidInput, match="not a delay"):
        add.apply_async((1, 2), countdown=-seconds)


@habit("eta")
def test_an_eta_without_a_zone_is_of_utc(add: Any) -> None:
    eta = datetime.now(UTC) + timedelta(hours=1)

    assert add.apply_async((1, 2), eta=eta).record.due == pytest.approx(eta.timestamp(), abs=0.001)
    assert add.apply_async((1, 2), eta=eta.replace(tzinfo=None)).record.due == pytest.approx(eta.timestamp(), abs=0.001)


@habit("expires")
def test_expires_is_seconds_or_a_moment(add: Any, fake_app: MiniCelery) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    of_the_task = fake_app.task(name="short", expires=60)(lambda: None).delay().record

    assert of_the_task.expires == pytest.approx(time.time() + 60, abs=30)
    for given in (3600, 3600.0, moment, moment.replace(tzinfo=None)):
        assert add.apply_async((1, 2), expires=given).record.expires == pytest.approx(moment.timestamp(), abs=30)
    late = add.apply_async((1, 2), expires=datetime.now(UTC) - timedelta(seconds=1))
    fake_app.broker.expire()
    assert late.status is Status.EXPIRED
    for wrong in ({"expires": 0}, {"expires": 5, "countdown": 6}):
        with pytest.raises(InvalidInput):
            add.apply_async((1, 2), **wrong)


@habit("priority")
def test_priority_9_comes_first(add: Any, fake_app: MiniCelery) -> None:
    low, normal, high = (add.apply_async((1, 2), priority=priority) for priority in (0, None, 9))

    assert normal.record.priority == NORMAL_PRIORITY == 5
    assert [run_next(fake_app) for _ in range(3)] == [high.id, normal.id, low.id]
    assert fake_app.task(name="t", priority=None)(lambda: 0).delay().record.priority == 5


@habit("queue", "task_routes")
def test_a_queue_is_a_name_that_need_not_be_declared(add: Any, fake_app: MiniCelery) -> None:
    feeds = fake_app.task(name="feed", queue="feeds")(lambda: None)

    assert add.delay(1, 2).record.queue == "default"
    assert feeds.delay().record.queue == "feeds"
    assert feeds.apply_async(queue="low").record.queue == "low"
    with pytest.raises(ConfigError, match="task_routes"):
        MiniCelery("routes", task_routes={})


@habit("rate_limit", "control.rate_limit")
@pytest.mark.parametrize(
    ("rate", "interval"),
    [("100/m", 0.6), ("10/s", 0.1), ("1/h", 3600), ("1/d", 86400), (2, 0.5), (0.5, 2), ("10", 0.1)],
)
def test_a_rate_is_written_as_in_celery(fake_app: MiniCelery, rate: Any, interval: float) -> None:
    task = fake_app.task(name="t", rate_limit=rate)(lambda: None)

    assert task.settings.limits.interval == pytest.approx(interval)
    assert not fake_app.task(name="free", rate_limit=None)(lambda: None).settings.limits
    fake_app.limits.set_task("t", rate=rate)
    assert fake_app.limits.of("task", "t").rate
    with pytest.raises(InvalidInput, match="not a rate"):
        fake_app.task(name="none", rate_limit=0)(lambda: None)


@habit("soft_time_limit", "time_limit")
def test_time_limits_are_of_a_task_or_a_call(fake_app: MiniCelery) -> None:
    task = fake_app.task(name="t", soft_time_limit=5, time_limit=10)(lambda: None)
    task.apply_async(soft_time_limit=2.5)
    [delivery] = claim(fake_app)

    limits, outcome = fake_app.executor.time_limits(delivery) or pytest.fail("there are limits")

    assert limits == TimeLimits(10, 2.5)
    assert outcome.status is Status.RETRYING
    assert TimeLimitExceeded.__name__ in outcome.body
    for wrong in ({"soft_time_limit": 10}, {"time_limit": 0.05}):
        with pytest.raises(InvalidInput):
            task.apply_async(**wrong)


@habit("ignore_result")
def test_an_ignored_result_is_none_and_a_failure_is_not_ignored(fake_app: MiniCelery) -> None:
    @fake_app.task(ignore_result=True, max_retries=0)
    def job(error: str = "") -> object:
        if error:
            raise ValueError(error)
        return object()

    good, bad = job.delay(), job.delay("no")
    with pytest.raises(ResultTimeout):
        good.get(timeout=0)
    drain(fake_app)

    assert (good.status, good.get(timeout=0)) == (Status.SUCCESS, None)
    with pytest.raises(TaskFailed, match="no"):
        bad.get(timeout=0)


@habit("task_id")
def test_the_same_id_with_the_same_call_is_the_same_task(add: Any, fake_app: MiniCelery) -> None:
    first, second = (add.apply_async((1, 2), task_id="sum") for _ in range(2))

    assert (first, fake_app.inspector.queue_length("default")) == (second, 1)
    with pytest.raises(TaskIdTaken):
        add.apply_async((1, 3), task_id="sum")
    with pytest.raises(InvalidInput, match="not a valid name"):
        add.apply_async((1, 2), task_id="a b")


@habit("link", "link_error", "chain", "group", "chord")
def test_there_are_no_links_yet(add: Any, fake_app: MiniCelery) -> None:
    for option in ("link", "link_error", "chain", "chord"):
        with pytest.raises(InvalidInput, match=f"no option '{option}'"):
            add.apply_async((1, 2), **{option: add.s(3)})
    assert not any(hasattr(fake_app, name) for name in ("chain", "group", "chord"))
    results = fake_app.submit_many(add.s(number, 1) for number in range(3))
    drain(fake_app)
    assert [result.get(timeout=0) for result in results] == [1, 2, 3]


@habit("s")
def test_a_signature_is_checked_when_it_is_sent(add: Any) -> None:
    assert add.s(1, 2).set(queue="low").delay().record.queue == "low"
    with pytest.raises(InvalidInput, match="missing"):
        add.s().delay()


@habit("send_task")
def test_a_task_is_sent_by_its_name_where_it_is_declared(add: Any, fake_app: MiniCelery) -> None:
    sent = fake_app.submit(fake_app.message("add", (2, 3), countdown=5))

    assert (sent.record.args, sent.status) == ([2, 3], Status.SCHEDULED)
    with pytest.raises(UnknownTask):
        fake_app.message("elsewhere", (2, 3))


# ---- tasks -----------------------------------------------------------------------------------------


@habit("bind")
def test_a_bound_task_knows_itself(fake_app: MiniCelery) -> None:
    @fake_app.task(bind=True)
    def job(self: TaskContext) -> list[object]:
        self.progress(1, 2, "half")
        return [self.id, self.retry_count, self.queue, hasattr(self, "request")]

    with eager(fake_app):
        result = job.delay()

    assert result.get() == [result.id, 0, "default", False]
    assert result.record.progress == {"done": 1, "total": 2, "message": "half"}


@habit("self.retry", "max_retries")
def test_a_task_asks_for_a_retry_as_in_celery(fake_app: MiniCelery) -> None:
    @fake_app.task(bind=True, max_retries=1)
    def job(self: TaskContext) -> None:
        try:
            raise ConnectionError("away")
        except ConnectionError as error:
            raise self.retry(exc=error, countdown=60)  # noqa: B904

    result = job.delay()
    drain(fake_app)
    waiting = result.record
    drain(fake_app, early=True)

    assert waiting.status is Status.RETRYING
    assert waiting.due == pytest.approx(waiting.updated_at + 60, abs=0.01)
    with pytest.raises(TaskFailed, match="ConnectionError: away"):
        result.get(timeout=0)
    assert job.apply_async(max_retries=0).record.max_retries == 0
    assert fake_app.task(name="t")(lambda: 0).settings.max_retries == 3
    with pytest.raises(InvalidInput, match="not a number of retries"):
        fake_app.task(name="for-ever", max_retries=None)(lambda: 0)


def test_a_retry_takes_no_other_words() -> None:
    context = TaskContext("t", "t", "default", "", 0, 3, lambda *_: True)

    for words in ("args", "kwargs", "eta", "max_retries", "throw"):
        with pytest.raises(TypeError):
            context.retry(**{words: None})
    with pytest.raises(Retry):
        context.retry(countdown=1)


@habit("autoretry_for", "dont_autoretry_for", "retry_backoff", "retry_backoff_max", "retry_jitter")
def test_every_exception_is_retried_with_a_growing_wait(fake_app: MiniCelery) -> None:
    policy = fake_app.task(name="t")(lambda: 0).policy
    exact = fake_app.task(name="u", retry_backoff=3, retry_jitter=False, retry_for=OSError, retry_cap=20)(print).policy

    assert policy == RetryPolicy(base=1, factor=2, cap=600, jitter=True, retry_for=(Exception,), no_retry_for=())
    assert [exact.delay(count, 0.5) for count in range(4)] == [3, 6, 12, 20]
    assert exact.covers(ConnectionError())
    assert not exact.covers(ValueError())
    ours = {"autoretry_for": "retry_for", "dont_autoretry_for": "no_retry_for", "retry_backoff_max": "retry_cap"}
    for name, meant in ours.items():
        with pytest.raises(InvalidInput, match=f"no option '{name}'; did you mean {meant}\\?"):
            fake_app.task(**{name: 1})(print)


@habit("acks_late", "reject_on_worker_lost")
def test_a_task_whose_worker_is_lost_runs_again(add: Any, fake_app: MiniCelery) -> None:
    result = add.delay(1, 2)
    assert claim(fake_app)

    fake_app.broker.recover("w")

    assert result.status is Status.PENDING
    for name in ("acks_late", "reject_on_worker_lost"):
        with pytest.raises(InvalidInput, match=f"no option '{name}'"):
            fake_app.task(**{name: True})(print)


# ---- results ---------------------------------------------------------------------------------------


@habit("AsyncResult", "AsyncResult.get", "AsyncResult.state")
def test_a_result_is_asked_by_its_id(add: Any, fake_app: MiniCelery) -> None:
    good, bad = add.delay(1, 2), add.apply_async((1, "x"), max_retries=0)
    assert good.status is Status.PENDING
    with pytest.raises(ResultTimeout):
        good.get(timeout=0)
    drain(fake_app)

    again = fake_app.result(good.id)
    assert (again.get(timeout=5), again.status, again.ready(), again.successful()) == (3, Status.SUCCESS, True, True)
    with pytest.raises(TaskFailed, match="TypeError") as caught:
        bad.get(timeout=5)
    assert (caught.value.error_type, bad.failed(), bad.record.error) != ("", False, None)
    revoked = add.apply_async((1, 2), countdown=60)
    revoked.cancel()
    assert (revoked.ready(), revoked.successful(), revoked.failed()) == (True, False, False)
    with pytest.raises(TaskNotFound):
        _ = fake_app.result("unknown").status
    assert {one.value for one in Status} == {
        *("PENDING", "SCHEDULED", "WAITING", "RUNNING", "RETRYING"),
        *("SUCCESS", "FAILED", "CANCELLED", "EXPIRED"),
    }


@habit("revoke", "revoke(terminate=True)")
def test_a_task_is_cancelled_at_once_and_a_run_is_told(add: Any, fake_app: MiniCelery) -> None:
    waiting, running = add.delay(1, 2), add.apply_async((3, 4), tags=["tenant"])
    assert waiting.cancel()
    with pytest.raises(TaskCancelled):
        waiting.get(timeout=0)
    assert [delivery.id for delivery in claim(fake_app)] == [running.id]

    assert running.cancel(interrupt=True)

    assert running.status is Status.CANCELLED
    assert fake_app.cancel([add.delay(5, 6).id, "unknown"]) == [Status.CANCELLED, None]
    assert fake_app.cancel_tagged("tenant") == 0, "that one is"


def test_who_waits_for_an_expired_task_is_told(add: Any, fake_app: MiniCelery) -> None:
    late = add.apply_async((1, 2), expires=datetime(2000, 1, 1))
    fake_app.broker.expire()

    with pytest.raises(TaskExpired):
        late.get(timeout=0)


# ---- around them -----------------------------------------------------------------------------------


@habit("beat_schedule", "crontab")
def test_schedules_are_declared_at_their_tasks_or_added(add: Any, fake_app: MiniCelery) -> None:
    fake_app.periodic(every=30, args=(16, 16), name="often")(add)
    fake_app.periodic(
        cron="30 7 * * mon",
        args=(16, 16),
        queue="low",
        priority=9,
        max_retries=1,
        expires=9,
        tags=["a"],
        fair_key="acme",
        time_limit=60,
        unique_for=600,
    )(add)
    added = fake_app.schedules.add("nightly", add.s(1, 2).set(priority=9), cron="0 2 * * *")

    assert [schedule.rule.words() for schedule in fake_app.periodics] == [
        "Every 30 seconds",
        "At 07:30 on Monday, UTC",
    ]
    assert added.schedule.rule.timezone == "UTC"
    assert added.next
    assert added.next % 86_400 == 7_200
    for refused in ({"countdown": 5}, {"eta": datetime(2030, 1, 1)}, {"task_id": "t"}, {"debounce": 5}):
        with pytest.raises(InvalidInput):
            fake_app.schedules.add("other", add.s(1, 2).set(**refused), every=60)


@habit("task_always_eager")
def test_tasks_run_at_once_in_tests(add: Any, fake_app: MiniCelery) -> None:
    with eager(fake_app):
        assert add.apply_async((1, 2), countdown=600).get() == 3
    add.delay(1, 2)
    assert drain(fake_app) == 1


@habit("worker -c", "worker -Q", "inspect")
def test_the_commands_have_other_names() -> None:
    options = {option for parameter in main.commands["worker"].params for option in parameter.opts}

    assert {"--threads", "--processes", "--queues"} <= options
    assert {"queues", "task", "why"} <= set(main.commands)
    assert "inspect" not in main.commands
    assert (Config().worker_concurrency, Config().worker_processes) == (5, 1)


@habit("purge")
def test_what_is_purged_is_cancelled_and_what_is_delayed_stays(add: Any, fake_app: MiniCelery) -> None:
    ready, delayed = add.delay(1, 2), add.apply_async((1, 2), countdown=60)

    assert fake_app.limits.purge("default") == 1
    assert (ready.status, delayed.status) == (Status.CANCELLED, Status.SCHEDULED)
