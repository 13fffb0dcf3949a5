"""The command line against a real server."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result

from minicelery import MiniCelery, terminal
from minicelery.cli import main
from minicelery.embedded import EmbeddedServer, free_port
from minicelery.progress_line import Line
from minicelery.testing import drain
from tests.real.conftest import Crew
from tests.stack import ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(crew: Crew) -> Run:
    def run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "minicelery", *arguments]
        environ = {"MINICELERY_APP": "tests.real.tasks:app", **environ}
        return subprocess.run(
            command, cwd=ROOT, env=crew._environ(environ), capture_output=True, text=True, timeout=30, check=False
        )

    return run


@pytest.fixture
def inside(tasks: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """As ``run``, in this process."""
    monkeypatch.setattr(terminal, "load_app", lambda _: tasks)
    return lambda *arguments: CliRunner().invoke(main, arguments)


@dataclass
class Own:
    """A server that a test may spoil."""

    url: str
    namespace: str
    client: redis.Redis


@pytest.fixture
def own(crew: Crew) -> Iterator[Own]:
    with EmbeddedServer() as server, redis.Redis.from_url(server.url) as client:
        yield Own(server.url, crew.namespace, client)


def test_enqueue_and_wait_prints_the_result(run: Run, crew: Crew) -> None:
    crew.start()

    done = run("enqueue", "add", "2", "3", "--wait")

    assert (done.returncode, done.stdout) == (0, "5\n")


def test_a_result_that_nobody_wants_is_null(run: Run, crew: Crew) -> None:
    crew.start()

    done = run("enqueue", "add", "2", "3", "--ignore-result", "--wait")

    assert (done.returncode, done.stdout) == (0, "null\n")


def test_a_fair_key_is_given_with_a_call_and_shown(run: Run) -> None:
    ids = [run("enqueue", "add", "1", "2", "--fair-key", "acme").stdout.strip() for _ in range(2)]

    assert json.loads(run("task", ids[1]).stdout)["fair_key"] == "acme"
    assert run("why", ids[1]).stdout.startswith("waits for its turn: 2. of acme in queue:default")
    assert run("queues").stdout.splitlines()[0] == "default\t2"


def test_limits_are_given_with_a_call(run: Run, crew: Crew) -> None:
    crew.start()

    soft = run("enqueue", "tidy_up", "60", "--soft-time-limit", "0.1", "--wait")
    hard = run("enqueue", "nap", "60", "--time-limit", "0.2", "--max-retries", "0", "--wait")

    assert (soft.returncode, soft.stdout) == (0, '"tidied up"\n')
    assert (hard.returncode, hard.stdout) == (1, "")
    assert "the run took longer than its time limit of 0.2 s" in hard.stderr


def test_the_lines_of_a_file_are_submitted_in_order(run: Run, crew: Crew, tasks: MiniCelery, tmp_path: Path) -> None:
    crew.start()
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(f'{{"name": "add", "args": [{x}, 1], "task_id": "t{x}"}}\n\n' for x in range(250)))

    done = run("enqueue-many", str(file))
    again = run("enqueue-many", str(file))

    assert (done.returncode, done.stdout.split()) == (0, [f"t{x}" for x in range(250)])
    assert again.stdout == done.stdout
    assert [tasks.result(f"t{x}").get(timeout=20) for x in (0, 249)] == [1, 250]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"name": "add", "args": [1]}', "line 3/args: "),
        ('{"name": "add", "args": 1}', "line 3: /args: give a list"),
        ('{"name": "add", "eta": 1}', "line 3: /eta: "),
        ("[]", "line 3: this is a JSON array"),
        ("{", "line 3: not JSON"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_submitted(
    run: Run, tasks: MiniCelery, tmp_path: Path, line: str, words: str
) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(f'{{"name": "add", "args": [1, 2]}}\n\n{line}\n')

    done = run("enqueue-many", str(file))

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert list(tasks.inspector.task_ids()) == []


def test_lines_that_could_not_be_submitted_are_told_from_those_that_were(run: Run, own: Own, tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    line = json.dumps({"name": "fail", "args": ["x" * 500]})
    file.write_text(f"{line}\n" * 1500)
    own.client.config_set("maxmemory", own.client.info("memory")["used_memory"] + 900_000)

    done = run("enqueue-many", str(file), MINICELERY_REDIS_URL=own.url)

    there = len(done.stdout.split())
    assert done.returncode == 3
    assert 0 < there < 1500
    assert f"Of 1500 tasks {there} are there for certain" in done.stderr


def test_ctrl_c_prints_the_ids_of_the_lines_that_are_submitted(
    inside: Callable[..., Result], tasks: MiniCelery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(line: Line, done: int, total: int) -> None:
        line.stop()
        shown(line, done, total)

    shown = Line.show
    monkeypatch.setattr(Line, "show", show)
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"name": "add", "args": [1, 1]}\n' * 900)

    done = inside("enqueue-many", str(file))

    ids = done.stdout.split()
    assert (done.exit_code, len(ids)) == (130, 200)
    assert "stopped: submitting 200 of 900; what is done stays done" in done.stderr
    assert "safe to repeat the lines that have a task_id" in done.stderr
    assert set(ids) <= set(tasks.inspector.task_ids())


def test_a_line_whose_id_another_task_has_keeps_no_other_id_from_being_printed(
    inside: Callable[..., Result], tmp_path: Path
) -> None:
    inside("enqueue", "add", "1", "1", "--task-id", "taken")
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(f'{{"name": "add", "args": [2, 2], "task_id": "{x}"}}\n' for x in ("a", "taken", "b")))

    done = inside("enqueue-many", str(file))

    assert (done.exit_code, done.stdout.split()) == (2, ["a", "b"])
    assert "another task already has the id taken" in done.stderr


def test_negative_numbers_are_arguments_and_no_options(run: Run, crew: Crew) -> None:
    crew.start()

    assert run("enqueue", "add", "-1", "-5e0", "--wait").stdout == "-6.0\n"


def test_the_server_can_be_named_by_an_option(run: Run, server: EmbeddedServer) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}"

    done = run("queues", "--redis-url", server.url, MINICELERY_REDIS_URL=nowhere, MINICELERY_PATIENCE="0.1")

    assert (done.returncode, done.stdout) == (0, "dead_letter\t0\n")


def test_a_failed_task_is_exit_code_1_with_the_traceback(run: Run, crew: Crew) -> None:
    crew.start()

    done = run("enqueue", "fail", "broken", "--max-retries", "0", "--wait")

    assert (done.returncode, done.stdout) == (1, "")
    assert "ValueError: broken" in done.stderr
    assert "Traceback" in done.stderr


def test_tasks_are_cancelled_by_id_or_tag_and_their_number_printed(run: Run, tasks: MiniCelery) -> None:
    tasks.submit_many(tasks.tasks.find("add").s(1, 2).set(task_id=f"t{x}", tags=["x"]) for x in range(4))

    by_id = run("cancel", "t0", "t1")
    by_tag = run("cancel", "--tag", "x")
    unknown = run("cancel", "t0", "none")

    assert (by_id.returncode, by_id.stdout) == (0, "2\n")
    assert (by_tag.returncode, by_tag.stdout) == (0, "2\n")
    assert (unknown.returncode, unknown.stdout) == (4, "1\n")
    assert unknown.stderr == "minicelery: no task 'none'\n"


def test_what_has_finished_is_not_cancelled_and_exit_code_1(run: Run, tasks: MiniCelery) -> None:
    tasks.submit(tasks.message("add", [1, 2], task_id="t"))
    drain(tasks)

    done = run("cancel", "t")

    assert (done.returncode, done.stdout, done.stderr) == (1, "0\n", "minicelery: t is SUCCESS\n")


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_who_waits_for_a_task_that_never_runs_gets_exit_code_1_and_a_line(
    run: Run, tasks: MiniCelery, how: str
) -> None:
    asked = ("enqueue", "add", "1", "2", "--expires", "60", "--priority", "9", "--tag", "x", "--task-id", "t")
    assert run(*asked).stdout == "t\n"
    if how == "cancelled":
        tasks.cancel(["t"])
    else:
        tasks.clients.commands.hset(tasks.keys.task("t"), "expires", "1")
        tasks.clients.commands.zadd(tasks.keys.expiring, {"t": 1})
        tasks.broker.expire()

    done = run(*asked, "--wait")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"minicelery: task t {'was' if how == 'cancelled' else 'has'} {how}")


def test_a_task_is_shown_and_a_missing_one_is_exit_code_4(run: Run) -> None:
    task_id = run("enqueue", "add", "-k", "x=1", "-k", "y=[2]", "--queue", "mail").stdout.strip()

    state = json.loads(run("task", task_id).stdout)

    assert (state["status"], state["kwargs"], state["queue"]) == ("PENDING", {"x": 1, "y": [2]}, "mail")
    assert run("queues").stdout == "mail\t1\ndead_letter\t0\n"
    assert run("task", "none").returncode == 4


def test_waiting_too_long_is_exit_code_124(run: Run) -> None:
    assert run("enqueue", "add", "1", "2", "--wait", "--timeout", "0.1").returncode == 124


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("enqueue", "ad", "1", "2"), "did you mean 'add'"),
        (("enqueue", "add", "1"), "missing a required argument: 'y'"),
        (("enqueue", "add", "1", "2", "--countdown", "-1"), "not a delay"),
        (("enqueue", "add", "1", "2", "--time-limit", "0"), "--time-limit: "),
        (("enqueue", "add", "1", "-k", "y"), "not KEY=JSON"),
        (("dead", "retry"), "give ids, or --all"),
        (("dead", "retry", "--all", "--queue", "a"), "do not go together"),
        (("dead", "delete", "a", "--task", "a"), "do not go together"),
        (("dead", "delete", "--older-than", "1y"), "no span of time"),
        (("doctor", "--pause", "-1"), "-1 is too short; give 0 seconds or more"),
        (("worker", "--grace", "soon"), "no span of time"),
        (("delete",), "give ids, or --ids"),
        (("cancel",), "give ids, or --tag"),
        (("cancel", "a", "--tag", "b"), "ids and --tag do not go together"),
        (("enqueue", "add", "1", "2", "--priority", "10"), "not a priority"),
        (("enqueue", "add", "1", "2", "--expires", "0"), "not a time to expire"),
        (("enqueue", "add", "1", "2", "--tag", "a b"), "not a valid name"),
        (("enqueue", "add", "1", "2", "--timeout", "1"), "give --wait, too"),
        (("enqueue", "add", "1", "2", "--wiat"), "No such option"),
        (("--app", "x"), "No such option"),
        (("up", "--app", "nowhere:app"), "no module 'nowhere'"),
        (("up", "--redis-url", "redis://localhost:abc"), "redis_url"),
    ],
)
def test_wrong_use_is_exit_code_2_with_the_reason(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_redis_is_exit_code_3(run: Run) -> None:
    done = run("task", "x", MINICELERY_REDIS_URL=f"redis://127.0.0.1:{free_port()}", MINICELERY_PATIENCE="0.1")

    assert done.returncode == 3
    assert "Is it running? Name it by MINICELERY_REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_database_or_password_is_exit_code_3_and_no_question_whether_redis_runs(
    run: Run, server: EmbeddedServer
) -> None:
    wrong = {
        "no such database": server.url.removesuffix("/0") + "/99",
        "refuses": server.url.replace("://", "://nobody:wrong@"),
    }

    for words, url in wrong.items():
        done = run("queues", "--redis-url", url, MINICELERY_PATIENCE="0.1")
        assert done.returncode == 3
        assert words in done.stderr
        assert "Is it running?" not in done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_redis_or_a_foreign_key_is_exit_code_3_and_nothing_was_changed(run: Run, own: Own) -> None:
    own.client.config_set("maxmemory", "1")
    full = run("enqueue", "add", "1", "2", "--redis-url", own.url)
    own.client.config_set("maxmemory", "0")
    own.client.set(f"{own.namespace}:queue:default", "another program's")
    foreign = run("enqueue", "add", "1", "2", "--redis-url", own.url)

    for done in (full, foreign):
        assert done.returncode == 3
        assert done.stderr.endswith("\nNothing was changed.\n")
        assert "may be there" not in done.stderr


def test_a_queue_that_is_no_list_is_named_and_the_others_are_listed(run: Run, own: Own) -> None:
    run("enqueue", "add", "1", "2", "--queue", "mail", "--redis-url", own.url)
    own.client.set(f"{own.namespace}:queue:default", "another program's")

    done = run("queues", "--redis-url", own.url)

    assert (done.returncode, done.stdout) == (3, "mail\t1\ndead_letter\t0\n")
    assert "default is no list" in done.stderr


def test_a_damaged_task_is_exit_code_4_and_sends_to_the_doctor(run: Run, own: Own) -> None:
    own.client.hset(f"{own.namespace}:task:t", "status", "PENDING")

    done = run("task", "t", "--redis-url", own.url)

    assert done.returncode == 4
    assert "is damaged; minicelery doctor tells more" in done.stderr


def test_a_submission_that_no_replica_confirms_tells_how_to_repeat_it(run: Run, tasks: MiniCelery) -> None:
    replicated = {"MINICELERY_DURABILITY": "replicated", "MINICELERY_REPLICA_TIMEOUT": "0.1"}

    done = [run("enqueue", "add", "1", "2", "--task-id", "once", **replicated) for _ in range(2)]

    assert [one.returncode for one in done] == [3, 3]
    assert "repeating it is safe with --task-id once" in done[0].stderr
    assert tasks.inspector.queue_length("default") == 1


def test_of_a_file_with_one_line_it_is_not_said_to_repeat_it_by_an_option(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one").write_text('{"name": "add", "args": [1, 2]}')

    done = run("enqueue-many", str(tmp_path / "one"), "--redis-url", f"redis://127.0.0.1:{free_port()}/0")

    assert done.returncode == 3
    assert "--task-id" not in done.stderr
    assert "Of 1 tasks 0 are there for certain" in done.stderr


def test_dead_letters_are_listed_retried_and_deleted(run: Run, crew: Crew) -> None:
    crew.start()
    ids = []
    for word in ("a", "b", "c"):
        done = run("enqueue", "fail", word, "--max-retries", "0", "--wait")
        ids.append(done.stderr.split()[1])

    listed = [json.loads(line) for line in run("dead", "list").stdout.splitlines()]
    assert [letter["task_id"] for letter in listed] == ids[::-1]
    assert run("dead", "delete", ids[0]).stdout == "1\n"
    assert run("dead", "retry", ids[0]).returncode == 4
    assert run("dead", "retry", ids[1]).stdout == "1\n"


@pytest.fixture
def buried(tasks: MiniCelery) -> list[str]:
    """The ids of five dead letters, oldest first."""
    ids = [f"t{number}" for number in range(5)]
    tasks.submit_many(tasks.tasks.find("fail").s("no").set(task_id=task, max_retries=0) for task in ids)
    drain(tasks)
    return ids


def test_dead_letters_that_are_alike_are_retried_and_deleted_from_the_command_line(
    run: Run, tasks: MiniCelery, buried: list[str]
) -> None:
    none = run("dead", "retry", "--error", "KeyError", "--newer-than", "1h")
    asked = run("dead", "delete", "--task", "fail")
    deleted = run("dead", "delete", "--task", "fail", "--older-than", "1d", "--yes")
    retried = run("dead", "retry", "--queue", "default", "--error", "ValueError")

    assert (none.returncode, none.stdout, none.stderr) == (0, "0\n", "")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert [done.stdout for done in (deleted, retried)] == ["0\n", "5\n"]
    assert tasks.inspector.queue_length("default") == 5


def test_ids_are_read_from_a_file_and_those_for_which_nothing_could_be_done_are_named(
    run: Run, tasks: MiniCelery, buried: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "ids"
    file.write_text("t0\n\nt1\n")
    tasks.tasks.find("add").apply_async((1, 2), task_id="waits")

    retried = run("dead", "retry", "--ids", str(file), "none")
    deleted = run("delete", "t0", "t3", "waits")
    cancelled = run("cancel", "--ids", str(file))
    rest = run("dead", "delete", "--all", "--yes")

    assert (retried.returncode, retried.stdout, retried.stderr) == (4, "2\n", "minicelery: no task 'none'\n")
    assert (deleted.returncode, deleted.stdout) == (1, "1\n")
    assert deleted.stderr == "minicelery: t0 is PENDING\nminicelery: waits is PENDING\n"
    assert (cancelled.returncode, cancelled.stdout, rest.stdout) == (0, "2\n", "2\n")


def test_the_doctor_puts_right_what_is_broken_unless_it_is_only_to_look(
    run: Run, crew: Crew, server: EmbeddedServer
) -> None:
    run("enqueue", "add", "1", "2")
    assert run("doctor").returncode == 0
    with redis.Redis.from_url(server.url) as client:
        client.delete(f"{crew.namespace}:queue:default")

    checks = [run("doctor", "--check") for _ in range(2)]
    repairs = [run("doctor", "--pause", "0.1") for _ in range(2)]

    broken = "is PENDING and in no place, but belongs in ready"
    assert all(done.returncode == 1 and done.stdout.endswith(f"{broken}\n") for done in checks)
    assert [done.returncode for done in repairs] == [1, 0]
    assert repairs[0].stdout.endswith(f"{broken}: made ready at the head of its queue\n")
    assert checks[0].stderr.endswith("\n1 finding\n")
    assert repairs[0].stderr.endswith("\n1 finding, 1 repaired\n")
    assert repairs[1].stderr.endswith("\nevery task is in exactly one place\n")


def test_the_doctor_finds_fault_with_a_server_that_may_drop_tasks(run: Run, own: Own) -> None:
    warned = run("doctor", "--redis-url", own.url)
    own.client.config_set("maxmemory-policy", "allkeys-lru")
    refused = [run("doctor", *only, "--redis-url", own.url) for only in ((), ("--check",))]

    assert (warned.returncode, [done.returncode for done in refused]) == (0, [1, 1])
    assert "keeps nothing on disk" in warned.stderr
    assert all("maxmemory-policy is allkeys-lru" in done.stderr for done in refused)


def test_a_name_is_limited_and_a_queue_paused_from_the_command_line(run: Run, crew: Crew) -> None:
    limited = run("limits", "set", "--task", "add", "--rate", "100/m", "--concurrency", "3")
    paused = run("pause", "--queue", "default", "--by", "ops")

    assert (limited.returncode, paused.returncode) == (0, 0)
    assert json.loads(limited.stdout)["rate_limit"] == "100/m"
    assert json.loads(paused.stdout)["paused"]["by"] == "ops"
    listed = [json.loads(line) for line in run("limits", "list").stdout.splitlines()]
    assert [(one["kind"], one["name"]) for one in listed] == [("queue", "default"), ("task", "add")]

    assert json.loads(run("resume", "--queue", "default").stdout)["paused"] is None
    assert json.loads(run("limits", "clear", "--task", "add").stdout)["rate_limit"] is None
    assert run("limits", "list").stdout == ""


@pytest.mark.parametrize(("name", "hint"), [("ad", "; did you mean 'add'?"), ("unheard-of", ".")])
def test_a_limit_of_a_name_that_is_not_known_is_set_with_a_word_about_it(
    run: Run, crew: Crew, name: str, hint: str
) -> None:
    limited = run("limits", "set", "--task", name, "--rate", "100/m")

    assert (limited.returncode, json.loads(limited.stdout)["rate_limit"]) == (0, "100/m")
    assert limited.stderr == f"minicelery: this application has no task '{name}'{hint} It is set all the same\n"
    assert run("limits", "set", "--task", "add", "--rate", "100/m").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pause",), "give --queue or --task, one of them"),
        (("limits", "set", "--queue", "mail", "--rate", "1/s"), "a queue has no rate"),
        (("limits", "set", "--queue", "mail"), "nothing to set"),
        (("limits", "set", "--queue", "mail", "--ageing", "0"), "is no time for ageing"),
        (("limits", "set", "--task", "add", "--ageing", "60"), "only what waits in a queue ages"),
        (("limits", "set", "--task", "add", "--rate", "fast"), "is not a rate"),
    ],
)
def test_a_limit_that_has_no_sense_is_refused(run: Run, crew: Crew, arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_the_ageing_of_a_queue_is_set_from_the_command_line(run: Run, crew: Crew) -> None:
    done = run("limits", "set", "--queue", "default", "--ageing", "60", "--concurrency", "3")

    assert done.returncode == 0
    assert (json.loads(done.stdout)["ageing"], json.loads(done.stdout)["concurrency"]) == (60, 3)
    assert json.loads(run("limits", "clear", "--queue", "default").stdout)["ageing"] is None


def test_a_queue_is_moved_and_purged_from_the_command_line(run: Run, crew: Crew, tasks: MiniCelery) -> None:
    tasks.submit_many(tasks.tasks.find("add").s(number, 1) for number in range(3))

    assert run("move", "default", "later").stdout == "3\n"
    refused = run("purge", "later")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert run("purge", "later", "--yes").stdout == "3\n"
    assert run("queues").stdout == "dead_letter\t0\n"


def test_the_reasons_why_a_task_waits_are_printed(run: Run, crew: Crew, tasks: MiniCelery) -> None:
    tasks.tasks.find("add").apply_async((1, 2), queue="nobody", task_id="t")

    assert run("why", "t").stdout == "1. in queue:nobody\nno live worker serves queue:nobody\n"
    assert run("why", "unknown").returncode == 4
