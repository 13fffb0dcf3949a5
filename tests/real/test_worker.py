"""A real worker: what it runs, how it stops, and what happens when parts of it die."""

import itertools
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from minicelery import MiniCelery, launch
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer, ServerOptions, free_port
from minicelery.errors import TaskFailed
from minicelery.states import Status
from minicelery.testing import drain
from tests.conftest import make_app
from tests.real.conftest import Crew, declare
from tests.stack import wait_until

PATIENCE = 30.0


def call(app: MiniCelery, name: str, *args: Any, **options: Any) -> Any:
    return app.tasks.find(name).apply_async(args, **options)


def statuses(app: MiniCelery, results: list[Any]) -> Counter[str]:
    records = app.inspector.tasks([result.id for result in results])
    return Counter(record.status.value if record else "gone" for record in records)


def lawful(app: MiniCelery) -> None:
    assert [str(violation) for violation in app.doctor.violations()] == []


def test_a_task_runs_and_its_result_comes_back(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "2").ready()

    assert call(tasks, "add", 2, 3).get(PATIENCE) == 5
    wait_until(lambda: "add" in worker.text and "succeeded in" in worker.text, what="the log line")
    assert "queues   default" in worker.text
    assert "threads  2" in worker.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked how late it wakes a thread")
def test_a_task_that_sleeps_is_woken_on_time(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "1").ready()

    assert call(tasks, "timer_slack").get(PATIENCE) == 1


def test_progress_is_published_and_kept(crew: Crew, tasks: MiniCelery) -> None:
    crew.start()

    result = call(tasks, "steps", 3)

    assert result.get(PATIENCE) == 3
    assert result.record.progress == {"done": 3, "total": 3, "message": "step 3"}


def test_a_failing_task_is_retried_and_then_a_dead_letter(crew: Crew, tasks: MiniCelery) -> None:
    crew.start()
    result = call(tasks, "fail", "broken", max_retries=2)

    with pytest.raises(TaskFailed, match="ValueError: broken") as caught:
        result.get(PATIENCE)

    record = result.record
    assert (record.retry_count, record.deliveries, record.crashes) == (2, 3, 0)
    assert "raise ValueError(message)" in caught.value.traceback
    assert [letter.id for letter in tasks.dead_letters()] == [result.id]
    lawful(tasks)


def test_a_thread_outlives_a_task_that_exits(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "1")

    with pytest.raises(TaskFailed, match="SystemExit: bye"):
        call(tasks, "leave").get(PATIENCE)
    assert call(tasks, "add", 1, 1).get(PATIENCE) == 2


def test_an_error_cannot_forge_a_line_of_the_log(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start()

    with pytest.raises(TaskFailed):
        call(tasks, "fail", "one\n12:00:00 forged\x1b[31m ünï", max_retries=0).get(PATIENCE)

    wait_until(lambda: "failed for good" in worker.text, what="the log line")
    [line] = [line for line in worker.text.splitlines() if "forged" in line]
    assert "ValueError: one\\n12:00:00 forged\\x1b[31m ünï" in line


def test_queues_are_served_in_the_order_given(crew: Crew, tasks: MiniCelery) -> None:
    low = [call(tasks, "add", 0, 0, queue="low") for _ in range(20)]
    high = [call(tasks, "add", 0, 0, queue="high") for _ in range(20)]

    crew.start("--threads", "1", "--queues", "high,low")
    low[-1].get(PATIENCE)

    def started(results: list[Any]) -> list[float]:
        return [result.record.started_at or 0 for result in results]

    assert 0 < min(started(high)) <= max(started(high)) <= min(started(low))


def test_a_delayed_task_starts_when_due_on_an_idle_worker(crew: Crew, tasks: MiniCelery) -> None:
    crew.start().ready()
    results = [call(tasks, "add", 1, 1, countdown=delay) for delay in (1.1, 0.7, 0.3)]

    for result in results:
        assert result.get(PATIENCE) == 2

    for result, delay in zip(results, (1.1, 0.7, 0.3), strict=True):
        late = (result.record.started_at or 0) - result.record.created_at - delay
        assert late >= -0.002
        assert late < 2, "far less than the five seconds after which the delayed set is looked at unasked"


def test_sigterm_finishes_what_runs_and_takes_nothing_more(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "2")
    running = [call(tasks, "announced_nap", 1) for _ in range(2)]
    wait_until(lambda: all(nap.record.progress for nap in running), what="the start of both")
    waiting = [call(tasks, "add", 1, 1) for _ in range(3)]

    worker.signal(signal.SIGTERM)

    assert worker.end() == (0, "Stopped: 2 finished, 0 to be retried, 0 handed back, 0 lost.")
    assert statuses(tasks, running) == {"SUCCESS": 2}
    assert statuses(tasks, waiting) == {"PENDING": 3}
    assert tasks.inspector.workers() == []
    lawful(tasks)


def test_what_outlasts_the_grace_is_handed_back_and_is_the_next_one(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", "--grace", "0.2")
    running = call(tasks, "nap", 60)
    wait_until(lambda: running.status is Status.RUNNING, what="the start")
    call(tasks, "add", 1, 1)

    worker.signal(signal.SIGTERM)

    assert worker.end() == (0, "Stopped: 0 finished, 0 to be retried, 1 handed back, 0 lost.")
    record = running.record
    assert (record.status, record.released, record.crashes, record.retry_count) == (Status.PENDING, 1, 0, 0)
    assert tasks.clients.commands.lrange(tasks.keys.queue("default"), -1, -1) == [running.id]
    lawful(tasks)


def test_a_second_signal_stops_now(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start("--threads", "1", "--grace", "60")
    running = call(tasks, "nap", 60)
    wait_until(lambda: running.status is Status.RUNNING, what="the start")

    worker.signal(signal.SIGINT)
    wait_until(lambda: "stopping" in worker.text, what="the first signal")
    worker.signal(signal.SIGINT)

    assert worker.end() == (0, "Stopped: 0 finished, 0 to be retried, 1 handed back, 0 lost.")
    assert running.status is Status.PENDING


def test_an_idle_worker_stops_at_once_and_leaves_no_key_of_its_own(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start().ready()
    wait_until(lambda: tasks.inspector.workers(), what="the registration")

    worker.signal(signal.SIGTERM)

    assert worker.end()[0] == 0
    left = set(tasks.clients.commands.scan_iter(f"{tasks.keys.prefix}*"))
    assert all(key.endswith(":claims") and tasks.clients.commands.ttl(key) > 0 for key in left)


def test_a_killed_child_is_replaced_and_its_tasks_run_again_at_once(
    crew: Crew, tasks: MiniCelery, tmp_path: Path
) -> None:
    worker = crew.start("--threads", "2", MINICELERY_LEASE="600")
    neighbour = call(tasks, "nap", 0.5)
    wait_until(lambda: neighbour.status is Status.RUNNING, what="the start of the neighbour")

    crashed = call(tasks, "crash_once", str(tmp_path / "marker"))

    assert crashed.get(PATIENCE) == "run after a crash, retry_count 0"
    assert neighbour.get(PATIENCE) == "rested"
    assert crashed.record.crashes == 1
    assert "was ended by SIGKILL while it ran" in worker.text
    assert f"crash_once {crashed.id}" in worker.text
    assert "; ready again: 2, dead letters: 0" in worker.text
    lawful(tasks)


def test_a_task_that_exits_with_any_code_ends_its_child_only(crew: Crew, tasks: MiniCelery, tmp_path: Path) -> None:
    crew.start("--threads", "1")

    assert call(tasks, "exit_once", str(tmp_path / "marker"), 2).get(PATIENCE) == "run again"


def test_a_child_does_not_outlive_a_killed_parent(crew: Crew) -> None:
    worker = crew.start().ready()

    worker.kill_all()


def test_a_task_that_holds_pythons_lock_for_three_leases_is_not_taken_away(crew: Crew, tasks: MiniCelery) -> None:
    crew.start("--threads", "2", MINICELERY_LEASE="0.5")
    crew.start("--threads", "1", MINICELERY_LEASE="0.5")
    result = call(tasks, "hold_the_lock", 27)

    assert result.get(90) is True

    record = result.record
    assert (record.deliveries, record.crashes) == (1, 0)
    assert record.updated_at - (record.started_at or 0) > 3 * 0.5, "too short to show anything; give it more letters"


def test_kill_9_in_the_middle_of_500_tasks_loses_none_and_records_none_twice(crew: Crew, tasks: MiniCelery) -> None:
    results = tasks.submit_many(tasks.tasks.find("nap").s(0.02) for _ in range(500))
    channel = tasks.clients.commands.pubsub(ignore_subscribe_messages=True)
    channel.psubscribe(tasks.keys.events("*"))
    channel.get_message(timeout=5)  # the subscription
    first = crew.start("--threads", "5")
    wait_until(lambda: statuses(tasks, results)["SUCCESS"] > 100, 30, "the first hundred")

    first.kill_all()
    done_before = statuses(tasks, results)["SUCCESS"]
    crew.start("--threads", "5")
    wait_until(lambda: statuses(tasks, results)["SUCCESS"] == 500, 60, "the end of all 500")

    completed: Counter[str] = Counter()
    while message := channel.get_message(timeout=0.5):
        if message["data"].startswith('{"event":"completed"'):
            completed[message["channel"]] += 1
    channel.close()
    assert 100 < done_before < 500
    assert len(completed) == 500
    assert set(completed.values()) == {1}
    assert tasks.inspector.dead_letter_count() == 0
    lawful(tasks)


def test_a_worker_lives_through_a_restart_of_redis(tmp_path: Path, namespace: str) -> None:
    with EmbeddedServer(ServerOptions(data=tmp_path / "data", fsync="always")) as server:
        crew = Crew(server.url, namespace, tmp_path)
        app = declare(make_app(connect(Config(redis_url=server.url)), namespace))
        worker = crew.start("--threads", "2").ready()
        try:
            running = call(app, "nap", 1.0)
            wait_until(lambda: running.status is Status.RUNNING, what="the start")

            server.kill()
            wait_until(lambda: "trying until it is back" in worker.text, what="the worker's word")
            server.start()

            assert running.get(PATIENCE) == "rested"
            assert call(app, "add", 1, 2).get(PATIENCE) == 3
            assert running.record.deliveries == 1
            wait_until(lambda: "Redis is back" in worker.text, what="the worker's word")
            lawful(app)
        finally:
            worker.signal(signal.SIGTERM)
            worker.end()
            app.clients.close()


def test_a_worker_without_redis_stops_soon(crew: Crew) -> None:
    worker = crew.start("--grace", "60", MINICELERY_REDIS_URL=f"redis://127.0.0.1:{free_port()}").ready()
    wait_until(lambda: "trying until it is back" in worker.text, what="the worker's word")

    worker.signal(signal.SIGTERM)

    assert worker.end()[0] == 0, "well before the grace of a minute is over"
    assert worker.text.count("trying until it is back") <= 2, "once by the parent, once by the child"


def test_a_worker_started_before_redis_works_as_soon_as_it_is_there(tmp_path: Path, namespace: str) -> None:
    port = free_port()
    crew = Crew(f"redis://127.0.0.1:{port}", namespace, tmp_path)
    worker = crew.start().ready()
    assert "not reachable yet" in worker.text
    try:
        with EmbeddedServer(ServerOptions(port=port)) as server:
            app = declare(make_app(connect(Config(redis_url=server.url)), namespace))
            assert call(app, "add", 1, 2).get(PATIENCE) == 3
            worker.signal(signal.SIGTERM)
            assert worker.end()[0] == 0
            app.clients.close()
    finally:
        launch.kill(worker.process)


def test_an_application_may_set_up_logging_of_its_own(crew: Crew, tasks: MiniCelery) -> None:
    worker = crew.start(app="tests.real.logging_tasks:app")

    assert call(tasks, "add", 1, 2).get(PATIENCE) == 3
    wait_until(lambda: "mine: add" in worker.text, what="the application's own form of a line")


def test_waiting_for_a_result_outlives_a_restart_of_redis(tmp_path: Path, namespace: str) -> None:
    with EmbeddedServer(ServerOptions(data=tmp_path / "data", fsync="always")) as server:
        app = declare(make_app(connect(Config(redis_url=server.url)), namespace))
        result = call(app, "add", 1, 2)
        got: list[Any] = []
        waiting = threading.Thread(target=lambda: got.append(result.get(PATIENCE)))
        waiting.start()
        wait_until(lambda: app.clients.commands.pubsub_numsub(app.keys.events(result.id))[0][1], what="the wait")

        server.kill()
        server.start()
        drain(app)
        waiting.join(PATIENCE)

        assert got == [3]
        app.clients.close()


def test_a_thousand_submissions_from_a_hundred_threads_raise_nothing(tasks: MiniCelery) -> None:
    faults: list[BaseException] = []

    def submit() -> None:
        try:
            for number in range(10):
                call(tasks, "add", number, 1)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=submit) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert tasks.inspector.queue_length("default") == 1000


def test_an_idle_worker_asks_redis_for_fewer_than_ten_commands_a_second(crew: Crew) -> None:
    with EmbeddedServer() as own, redis.Redis.from_url(own.url, decode_responses=True, protocol=2) as client:
        worker = Crew(own.url, crew.namespace, crew.folder, crew.workers).start("--threads", "5", MINICELERY_LEASE="15")
        worker.ready()
        waiting = lambda: [one for one in client.client_list() if one["cmd"] == "brpop"]  # noqa: E731
        wait_until(lambda: len(waiting()) == 5, what="that all threads wait at the doorbell")

        with client.monitor() as monitor:
            heard = (line for line in monitor.listen() if line["client_type"] != "lua")
            asked = [*itertools.islice(heard, 31)]
        seconds = asked[-1]["time"] - asked[0]["time"]

        assert 30 / seconds < 10, Counter(line["command"].split()[0] for line in asked)
        worker.signal(signal.SIGTERM)
        worker.end()


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("nowhere:app", "no module 'nowhere'"),
        ("tests.real.tasks:nothing", "is not a MiniCelery object"),
        ("json", "0 MiniCelery objects in 'json'"),
    ],
)
def test_an_application_that_is_not_there_is_said_and_ends_with_2(crew: Crew, app: str, words: str) -> None:
    worker = crew.start(app=app)

    code, line = worker.end()

    assert code == 2
    assert words in line


def test_a_wrong_setting_is_said_and_ends_with_2(crew: Crew) -> None:
    worker = crew.start(MINICELERY_LEESE="3")

    code, line = worker.end()

    assert code == 2
    assert "did you mean MINICELERY_LEASE?" in line


def test_queues_with_weights_are_all_served_and_shown_by_their_names(crew: Crew, tasks: MiniCelery) -> None:
    results = [call(tasks, "add", number, 1, queue=queue) for number in range(5) for queue in ("high", "low")]

    worker = crew.start("--threads", "1", "--queues", "high:6,low:1").ready()

    assert [result.get(PATIENCE) for result in results] == [number + 1 for number in range(5) for _ in range(2)]
    assert "queues   high, low\n" in worker.text
    assert [found.info["queues"] for found in tasks.inspector.workers()] == [["high", "low"]]
    assert call(tasks, "add", 1, 1, queue="low").get(PATIENCE) == 2, "its bell wakes an idle thread"
