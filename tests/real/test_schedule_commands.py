"""The commands for schedules, run in this process on the real server."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from minicelery import MiniCelery, terminal
from minicelery.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tasks: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(terminal, "load_app", lambda _: tasks)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_a_schedule_is_added_listed_changed_and_deleted(run: Run, tasks: MiniCelery) -> None:
    added = run("schedules", "add", "neg", "add", "-1", "2", "--cron", "0 2 * * *", "--timezone", "Europe/Vienna")
    assert (added.exit_code, added.stderr) == (0, "At 02:00 every day, Europe/Vienna\n")
    assert "T02:00:00+0" in added.stdout

    changed = run("schedules", "change", "neg", "--every", "60", "--missed", "all")
    assert changed.stderr == "Every minute\n"
    run("schedules", "change", "neg", "--task", "add", "3", "-k", "y=4", "--queue", "mail", "--fair-key", "acme")

    listed = json.loads(run("schedules", "list").stdout)
    assert (listed["task"]["args"], listed["task"]["kwargs"], listed["task"]["queue"]) == ([3], {"y": 4}, "mail")
    assert listed["task"]["fair_key"] == "acme"
    assert (listed["every"], listed["missed"]) == (60, "all")
    assert run("schedules", "delete", "neg").stdout == "1\n"
    assert tasks.schedules.list() == []
    assert run("schedules", "list", "neg").exit_code == 4


def test_a_schedule_is_paused_resumed_and_run(run: Run, tasks: MiniCelery) -> None:
    tasks.schedules.add("s", tasks.tasks.find("add").s(1, 2), every=3600)

    assert run("schedules", "pause", "s").stdout == "1\n"
    assert tasks.schedules.get("s").paused
    assert run("schedules", "resume", "s").stdout == "1\n"
    assert not tasks.schedules.get("s").paused
    task_id = run("schedules", "run", "s").stdout.strip()
    assert tasks.result(task_id).record.args == [1, 2]


def test_a_unique_task_is_run_once_and_that_is_said(run: Run, tasks: MiniCelery) -> None:
    tasks.schedules.add("s", tasks.tasks.find("add").s(1, 2).set(unique_for=60), every=3600)
    first = run("schedules", "run", "s")

    second = run("schedules", "run", "s")

    assert second.stdout == first.stdout
    assert (first.stderr, "this is the earlier one" in second.stderr) == ("", True)


def test_a_rule_is_shown_in_words_with_its_next_times(run: Run, tasks: MiniCelery) -> None:
    tasks.schedules.add("s", tasks.tasks.find("add").s(1, 2), every=3600)

    shown = run("schedules", "preview", "--cron", "*/5 9-17 * * mon-fri", "--timezone", "Europe/Vienna", "--count", "3")
    assert "on Monday through Friday, Europe/Vienna" in shown.stderr
    assert len(shown.stdout.split()) == 3
    assert run("schedules", "preview", "s").stderr == "Every hour\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "s", "add", "1", "2"), "give cron or every"),
        (("add", "s", "add", "1", "--every", "5"), "/task/args: "),
        (("preview", "s", "--every", "5"), "give the name of a schedule, or --cron or --every"),
        (("change", "s", "--queue", "low"), "queue: give --task, too"),
    ],
)
def test_wrong_use_is_exit_code_2_with_the_reason(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("schedules", *arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
