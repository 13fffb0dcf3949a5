"""Whatever user code and foreign hands do: an outcome is recorded, and the same worker goes on."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from minicelery import MiniCelery, Task, launch
from minicelery.config import Config
from minicelery.connection import Clients, connect
from minicelery.embedded import EmbeddedServer
from minicelery.errors import ForeignData
from minicelery.record import TaskRecord
from minicelery.states import Status
from tests.conftest import make_app
from tests.real import nasty_tasks
from tests.real.conftest import Crew, Worker
from tests.stack import wait_until

PATIENCE = 30.0
NASTY = "tests.real.nasty_tasks:app"


class Post:
    """A worker of one thread, and an app that sends to it."""

    def __init__(self, worker: Worker, app: MiniCelery) -> None:
        self.worker = worker
        self.app = app
        self.commands = app.clients.commands
        self.keys = app.keys
        for task in nasty_tasks.app.tasks:
            app.tasks.add(Task(task.function, task.settings, app.submit, app.world.new_id, task.bind))

    def send(self, name: str, *args: Any, **options: Any) -> Any:
        return self.app.tasks.find(name).apply_async(args, **options)

    def get(self, name: str, *args: Any) -> Any:
        return self.send(name, *args).get(PATIENCE)

    def end(self, name: str, *args: Any, **options: Any) -> TaskRecord:
        """The record of a task once it has ended, in whatever way."""
        return self.app.sender.wait(self.send(name, *args, **options).id, PATIENCE)

    def is_at_work(self, child: int) -> bool:
        """Whether the worker is well, in the same child process."""
        return bool(self.get("add", 2, 3) == 5 and self.get("pid") == child)


@pytest.fixture(scope="module")
def module_clients(server: EmbeddedServer) -> Iterator[Clients]:
    made = connect(Config(redis_url=server.url))
    yield made
    made.close()


@pytest.fixture(scope="module")
def steady(server: EmbeddedServer, module_clients: Clients) -> Iterator[Post]:
    """A worker for many tests: none of them may end its child."""
    with tempfile.TemporaryDirectory(prefix="minicelery-nasty-") as folder:
        crew = Crew(server.url, "nasty", Path(folder))
        try:
            worker = crew.start("--threads", "1", app=NASTY).ready()
            yield Post(worker, make_app(module_clients, "nasty", redis_url=server.url))
        finally:
            for process in crew.workers:
                launch.kill(process)


@pytest.fixture
def post(crew: Crew, real_app: MiniCelery) -> Post:
    """A worker for one test, which may leave it as it likes."""
    return Post(crew.start("--threads", "1", "--grace", "2", app=NASTY).ready(), real_app)


RAISED = {
    "base_exception": "BaseException: the root of all",
    "system_exit": "SystemExit: 3",
    "keyboard_interrupt": "KeyboardInterrupt: ",
    "generator_exit": "GeneratorExit: ",
    "stop_iteration": "StopIteration: no more",
    "memory_error": "MemoryError: ",
    "stop_in_a_generator": "RuntimeError: generator raised StopIteration",
    "unspeakable": "UnreadableError: KeyboardInterrupt while reading the error",
    "deceiving": "UnreadableError: SystemExit while reading the error",
    "retried_for_a_deceiving_class": "ValueError: is it one?",
    "not_constructible": "TypeError: ",
    "own_cause": "ValueError: first",
    "deep_group": "ExceptionGroup: deeper",
    "wide_group": "ExceptionGroup: wide",
    "long_chain": "ValueError: 1999",
    "odd_notes": "ValueError: with notes",
    "endless_recursion": "RecursionError: maximum recursion depth exceeded",
    "recursion_in_repr": "ValueError: <no message: its __str__ raised RecursionError>",
    "huge_message": "ValueError: \x1b[31m",
    "huge_name": "mmmm",
    "cannot_be_pickled": "ValueError: (<unlocked",
    "no_traceback": "ValueError: without its frames",
    "says_that_its_lease_is_lost": "minicelery.errors.LeaseLost: it is not",
    "half_a_retry": "tests.real.nasty_tasks.half_a_retry.<locals>.Half: ",
    "set_a_signal_handler": "ValueError: signal only works in main thread",
    "trace_and_raise": "SystemExit: the tracer",
}


@pytest.mark.parametrize("name", RAISED)
def test_whatever_a_task_raises_is_recorded_and_the_thread_goes_on(steady: Post, name: str) -> None:
    child = steady.get("pid")

    record = steady.end(name)

    assert record.status is Status.FAILED
    assert record.error
    assert f"{record.error['type']}: {record.error['message']}".startswith(RAISED[name])
    assert record.retry_count == 0
    assert steady.is_at_work(child)


@pytest.mark.parametrize("what", nasty_tasks.RESULTS)
def test_whatever_a_task_returns_is_recorded_and_the_thread_goes_on(steady: Post, what: str) -> None:
    child = steady.get("pid")

    record = steady.end("give", what)

    assert record.status is Status.FAILED
    assert record.error
    assert record.error["message"]
    assert steady.is_at_work(child)


@pytest.mark.parametrize("how", ["text", "nan", "infinite", "past"])
def test_a_retry_after_no_time_at_all_is_a_failure(steady: Post, how: str) -> None:
    child = steady.get("pid")

    assert steady.end("odd_retry", how, max_retries=1).status is Status.FAILED

    assert steady.is_at_work(child)


PASSING = {
    "fill_the_streams": "filled",
    "fork_and_exit": "child ended with 7",
    "fork_and_return": "the original",
    "fork_and_raise": "the original",
    "lower_the_recursion_limit": "as low as it goes",
}


@pytest.mark.parametrize("name", PASSING)
def test_what_a_task_does_to_its_process_ends_with_it(steady: Post, name: str) -> None:
    child = steady.get("pid")

    assert steady.get(name) == PASSING[name]

    assert steady.is_at_work(child)


LEFT = {
    "close_the_streams": "quiet",
    "close_the_standard_descriptors": "deaf and dumb",
    "replace_the_streams": "none",
    "break_the_log": "broken",
    "change_the_directory": "elsewhere",
    "start_threads": "left running",
    "signal_itself": "ignored",
    "block_all_signals": "blocked",
    "turn_warnings_into_errors": "strict",
    "replace_the_hooks": "hooked",
}


@pytest.mark.parametrize("name", LEFT)
def test_whatever_a_task_leaves_behind_the_same_child_goes_on_and_stops_when_told(post: Post, name: str) -> None:
    child = post.get("pid")

    assert post.get(name) == LEFT[name]

    assert post.is_at_work(child)
    assert post.end("system_exit").status is Status.FAILED
    assert post.is_at_work(child)
    post.worker.signal(signal.SIGTERM)
    assert post.worker.process.wait(PATIENCE) == 0
    assert not psutil.pid_exists(child)
    assert list(post.app.doctor.violations()) == []


def test_a_task_that_closes_all_descriptors_costs_its_child_and_no_more(post: Post) -> None:
    """The worker's own are among them: its connections, and the pipe by which the parent tells it to stop."""
    child = post.get("pid")

    assert post.end("close_all_descriptors").finished

    assert post.get("add", 2, 3) == 5
    wait_until(lambda: post.get("pid") != child, PATIENCE, "the next child")
    post.worker.signal(signal.SIGTERM)
    assert post.worker.process.wait(PATIENCE) == 0
    assert list(post.app.doctor.violations()) == []


def test_an_exception_that_another_thread_throws_into_the_loop_is_told_and_the_child_replaced(post: Post) -> None:
    child = post.get("pid")

    post.get("throw_into_its_thread_later")

    wait_until(lambda: "a worker thread has ended by SystemExit" in post.worker.text, PATIENCE, "the report")
    assert post.get("add", 2, 3) == 5
    assert post.get("pid") != child


# ---- what a foreign hand pushes in --------------------------------------------------------------

IDS: dict[str, Any] = {
    "an unknown id": "ghost",
    "an empty id": "",
    "no UTF-8": b"\xff\xfe\x00",
    "control characters": "a\r\n\x1b[31m12:00:00 forged",
    "ten megabytes": b"x" * 10_000_000,
    "JSON of another queue": b'{"id":"1","task":"add","args":[1,2],"kwargs":{},"retries":0}',
    "Lua and a glob": "*'..redis.call('FLUSHALL')..'[a-z]?",
}


@pytest.mark.parametrize("what", IDS)
def test_rubbish_in_a_queue_is_dropped_and_told(steady: Post, what: str) -> None:
    child, before = steady.get("pid"), len(steady.worker.text)
    steady.commands.rpush(steady.keys.queue("default"), IDS[what], IDS[what])
    steady.commands.lpush(steady.keys.bell("default"), 1)

    wait_until(lambda: "dropped ids" in steady.worker.text[before:], PATIENCE, "the report")
    assert steady.is_at_work(child)
    assert len(steady.worker.text) - before < 5_000
    assert not [line for line in steady.worker.text[before:].splitlines() if "forged" in line and "dropped" not in line]
    assert list(steady.app.doctor.violations()) == []


def _by_hand(post: Post, task_id: Any = "t", **fields: Any) -> None:
    """A task as another program would write it."""
    whole = {"id": "t", "name": "echo", "args": "[1]", "kwargs": "{}", "queue": "default", "status": "PENDING"}
    whole |= {"retry_count": "0", "max_retries": "0", "created_at": "1.000", "updated_at": "1.000"}
    wanted = {name: value for name, value in {**whole, **fields}.items() if value is not None}
    key = post.keys.task("").encode() + (task_id if isinstance(task_id, bytes) else task_id.encode())
    post.commands.delete(key)
    post.commands.hset(key, mapping=wanted)
    post.commands.rpush(post.keys.queue("default"), task_id)
    post.commands.lpush(post.keys.bell("default"), 1)


STRANGE: dict[str, tuple[dict[str, Any], Status, str]] = {
    "fields of a later version": ({"priority": 7, "lane2": "x", "schema": "9"}, Status.SUCCESS, ""),
    "args that are no JSON": ({"args": "[1,"}, Status.FAILED, "JSONDecodeError"),
    "args that are a pickle": ({"args": b"\x80\x04\x95\xff\x00"}, Status.FAILED, "JSONDecodeError"),
    "args that are no list": ({"args": "5"}, Status.FAILED, "TypeError"),
    "kwargs that are no object": ({"kwargs": "[]"}, Status.FAILED, "TypeError"),
    "kwargs that are no UTF-8": ({"kwargs": b'{"a":"\xff"}'}, Status.FAILED, "InvalidPayload"),
    "args nested too deeply to read": ({"args": "[" * 100_000 + "]" * 100_000}, Status.FAILED, "RecursionError"),
    "a name that nobody has": ({"name": "nobody.has.it"}, Status.FAILED, "UnknownTask"),
    "no retries left": ({"retry_count": 10**15, "args": "[1,"}, Status.FAILED, "JSONDecodeError"),
    "an old result and progress": ({"result": "]", "progress": "[", "error": "{"}, Status.SUCCESS, ""),
    "times that are long ago": ({"created_at": "0", "updated_at": "0"}, Status.SUCCESS, ""),
    "times to come": ({"created_at": "99999999999", "updated_at": "99999999999"}, Status.SUCCESS, ""),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_task_that_another_program_wrote_gets_an_outcome(steady: Post, what: str) -> None:
    child = steady.get("pid")
    fields, status, error = STRANGE[what]

    _by_hand(steady, **fields)

    record = steady.app.sender.wait("t", PATIENCE)
    assert record.status is status
    assert error in (record.error or {"type": ""})["type"]
    assert steady.is_at_work(child)
    assert ("t" in [letter.id for letter in steady.app.dead_letters()]) == (status is Status.FAILED)
    assert list(steady.app.doctor.violations()) == []
    steady.commands.delete(steady.keys.task("t"))
    steady.commands.lrem(steady.keys.dead_letter, 0, "t")


HALF: dict[str, dict[str, Any]] = {
    **{f"no {name}": {name: None} for name in ("name", "args", "kwargs", "queue", "status", "id", "created_at")},
    **{f"{name} is a word": {name: "many"} for name in ("retry_count", "max_retries", "updated_at", "token")},
    "half a retry": {"retry_count": "1.5"},
    "a hexadecimal retry": {"max_retries": "0x10"},
    "no number of deliveries": {"token": "nan.x"},
    "a queue that would break out": {"queue": 'a","x":"'},
    "the queue of dead letters": {"queue": "dead_letter"},
    "a name of a megabyte": {"name": "n" * 1_000_000},
    "a name that is no UTF-8": {"name": b"\xff"},
}


@pytest.mark.parametrize("what", HALF)
def test_a_hash_that_is_no_whole_task_is_dropped_and_told(steady: Post, what: str) -> None:
    child, before = steady.get("pid"), len(steady.worker.text)

    _by_hand(steady, **HALF[what])

    wait_until(lambda: "dropped ids" in steady.worker.text[before:], PATIENCE, "the report")
    assert steady.is_at_work(child)
    assert "error of the worker itself" not in steady.worker.text[before:]
    [violation] = steady.app.doctor.violations()
    assert "is no whole task" in str(violation)
    steady.commands.delete(steady.keys.task("t"))


@pytest.mark.parametrize("task_id", [b"\xff\xfe", b'a"b', b"a b", b"\x00"])
def test_a_whole_task_under_an_id_that_is_none_is_dropped_and_told(steady: Post, task_id: bytes) -> None:
    child, before = steady.get("pid"), len(steady.worker.text)

    _by_hand(steady, task_id, id=task_id)

    wait_until(lambda: "dropped ids" in steady.worker.text[before:], PATIENCE, "the report")
    assert steady.is_at_work(child)
    steady.commands.delete(steady.keys.task("").encode() + task_id)


def test_a_key_of_another_type_under_a_tasks_id_is_dropped_and_told(steady: Post) -> None:
    child, before = steady.get("pid"), len(steady.worker.text)
    steady.commands.set(steady.keys.task("t"), "no hash")
    steady.commands.rpush(steady.keys.queue("default"), "t")

    assert steady.is_at_work(child)
    assert "dropped ids under which no task of ours waits: t" in steady.worker.text[before:]
    steady.commands.delete(steady.keys.task("t"))


def test_rubbish_in_the_delayed_set_and_on_the_channels_harms_nobody(steady: Post) -> None:
    child = steady.get("pid")
    score: dict[Any, float] = {b"\xff": 1, "ghost": 2, "x" * 1_000_000: float("-inf"), "later": float("inf")}
    steady.commands.zadd(steady.keys.delayed, score)
    for channel in (steady.keys.alarm, steady.keys.events("t")):
        steady.commands.publish(channel, b"\xff\x00{")

    assert steady.send("add", 1, 2, countdown=0.1).get(PATIENCE) == 3

    assert steady.is_at_work(child)
    steady.commands.zrem(steady.keys.delayed, "later")
    assert list(steady.app.doctor.violations()) == []


def test_a_queue_that_another_program_has_overwritten_is_told_once_and_survived(post: Post) -> None:
    child, queue = post.get("pid"), post.keys.queue("default")
    post.commands.set(queue, "another program's")
    refused = _refused(post)

    with pytest.raises(ForeignData, match="WRONGTYPE"):
        post.send("add", 1, 2, task_id="t")
    assert not post.commands.exists(post.keys.task("t"))
    wait_until(lambda: _refused(post) > refused + 3, PATIENCE, "some claims")
    post.commands.delete(queue)

    assert post.is_at_work(child)
    assert post.worker.text.count("WRONGTYPE") == 1
    assert post.worker.text.count("minicelery doctor") == 1


def _refused(post: Post) -> int:
    """How many scripts have met an error."""
    return int(post.commands.info("commandstats")["cmdstat_evalsha"]["failed_calls"])


def test_a_bell_that_another_program_has_overwritten_refuses_a_submission_whole(real_app: MiniCelery) -> None:
    commands, keys = real_app.clients.commands, real_app.keys
    commands.set(keys.bell("default"), "another program's")
    add: Task[..., int] = Task(
        nasty_tasks.add.function, nasty_tasks.add.settings, real_app.submit, real_app.world.new_id
    )

    with pytest.raises(ForeignData, match="WRONGTYPE"):
        real_app.submit_many([add.s(1, 2), add.s(3, 4).set(queue="other")])

    assert list(real_app.inspector.task_ids()) == []
