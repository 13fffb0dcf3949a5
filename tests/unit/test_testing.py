"""The kit for users' tests, and the handles on results."""

import os
from datetime import UTC, datetime

import pytest

from minicelery import MiniCelery, TaskContext
from minicelery.errors import InvalidInput, ResultTimeout, TaskFailed, TaskNotFound
from minicelery.states import Status
from minicelery.testing import drain, eager


@pytest.fixture
def shop(fake_app: MiniCelery) -> MiniCelery:
    @fake_app.task
    def add(x: int, y: int) -> int:
        return x + y

    @fake_app.task(bind=True, max_retries=2, retry_backoff=60)
    def flaky(self: TaskContext, failures: int) -> int:
        self.progress(self.retry_count, failures)
        if self.retry_count < failures:
            raise ValueError("not yet")
        return self.retry_count

    @fake_app.task
    def spread(count: int) -> None:
        if count:
            add.delay(count, count)
            spread.delay(count - 1)

    return fake_app


def test_eager_tasks_run_at_once_without_redis(shop: MiniCelery) -> None:
    with eager(shop):
        result = shop.tasks.find("add").delay(2, 3)

        assert (result.status, result.get(), result.ready(), result.successful()) == (Status.SUCCESS, 5, True, True)
    assert list(shop.inspector.task_ids()) == []


def test_eager_tasks_are_retried_at_once(shop: MiniCelery) -> None:
    with eager(shop):
        good = shop.tasks.find("flaky").apply_async((2,), countdown=600)
        bad = shop.tasks.find("flaky").delay(3)

        assert (good.get(), good.record.deliveries) == (2, 3)
        assert good.record.progress == {"done": 2, "total": 2, "message": ""}
        assert bad.failed()
        with pytest.raises(TaskFailed, match="ValueError: not yet"):
            bad.get()


def test_an_eager_record_has_what_the_call_gave(shop: MiniCelery) -> None:
    moment = datetime(2040, 1, 1, tzinfo=UTC)
    with eager(shop):
        add = shop.tasks.find("add")
        soon = add.apply_async((1, 2), expires=60, fair_key="ann").record
        late = add.apply_async((1, 2), expires=moment).record

    assert (soon.fair_key, soon.expires) == ("ann", soon.created_at + 60)
    assert (late.fair_key, late.expires) == (None, moment.timestamp())


def test_after_eager_tasks_go_to_redis_again(shop: MiniCelery) -> None:
    with eager(shop):
        pass

    assert shop.tasks.find("add").delay(1, 1).status is Status.PENDING


def test_drain_runs_what_is_ready_and_what_that_submits(shop: MiniCelery) -> None:
    shop.tasks.find("spread").apply_async((3,), queue="other")

    assert drain(shop) == 7
    assert drain(shop) == 0
    assert shop.inspector.workers() == []


def test_drain_leaves_delayed_tasks_unless_told_otherwise(shop: MiniCelery) -> None:
    result = shop.tasks.find("flaky").apply_async((2,), countdown=600)

    assert drain(shop) == 0
    assert drain(shop, early=True) == 3
    assert result.get(timeout=0) == 2


def test_a_result_that_is_not_there_in_time_is_a_timeout_and_the_task_goes_on(shop: MiniCelery) -> None:
    result = shop.tasks.find("add").delay(1, 2)

    with pytest.raises(ResultTimeout, match="is PENDING after 0 s"):
        result.get(timeout=0)
    drain(shop)
    assert result.get(timeout=0) == 3


def test_a_forgotten_result_is_gone(shop: MiniCelery) -> None:
    result = shop.tasks.find("add").delay(1, 2)
    with pytest.raises(InvalidInput, match="only a finished task"):
        result.forget()
    drain(shop)

    result.forget()
    result.forget()

    with pytest.raises(TaskNotFound):
        result.get(timeout=0)


def test_a_handle_is_made_from_an_id(shop: MiniCelery) -> None:
    sent = shop.tasks.find("add").delay(1, 2)

    assert shop.result(sent.id) == sent
    assert shop.result(sent.id).status is Status.PENDING
    with pytest.raises(TaskNotFound):
        _ = shop.result("none").status


def test_isolated_tasks_run_in_the_caller(shop: MiniCelery) -> None:
    @shop.task(isolation="process", time_limit=60)
    def pid() -> int:
        return os.getpid()

    with eager(shop):
        assert pid.delay().get() == os.getpid()
    later = pid.delay()
    drain(shop)
    assert later.get(timeout=0) == os.getpid()


def test_drain_keeps_what_the_code_says_of_queues(fake_app: MiniCelery) -> None:
    fake_app.queue("slow", concurrency=2, ageing=60)
    seen: list[object] = []

    @fake_app.task(queue="slow")
    def look() -> None:
        seen.append(fake_app.inspector.queue_settings())
        seen.append("queue/slow 2:60.000" in str(fake_app.inspector.workers()))

    look.delay()
    drain(fake_app)

    assert seen == [{"slow": "2:60.000"}, True]
