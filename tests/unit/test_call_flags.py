"""What a call can be given is the same in Python, over HTTP and on the command line."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from minicelery import MiniCelery, terminal
from minicelery.cli import main
from minicelery.errors import InvalidInput
from minicelery.options import CallOptions
from minicelery.periodic import PeriodicOptions, ScheduleOptions
from minicelery.schedule_commands import schedules
from minicelery.states import Status
from minicelery.web.schemas import Submission

Run = Callable[..., Result]

REFERENCE = (Path(__file__).parents[2] / "docs" / "quick-reference.md").read_text(encoding="utf-8")
CALL = frozenset(CallOptions.__annotations__)
#: What is no option of the call, but the call itself, or of the command.
THE_CALL = {"name", "task", "args", "kwargs"}
OF_COMMANDS = {"app_path", "redis_url", "wait", "timeout"}
#: Options of a call that nothing of a schedule takes.
NOT_OF_A_SCHEDULE = {
    "countdown": "the schedule says when it is due",
    "eta": "the schedule says when it is due",
    "task_id": "it follows from the schedule and the due time",
    "debounce": "a schedule says when it is due, and not a quiet time",
    "debounce_max": "as debounce",
}


def flags(command: click.Command) -> dict[str, str]:
    """Options of a call that a command takes, by the names of their fields."""
    found = {parameter.name or "": parameter.opts[0] for parameter in command.params}
    return {name: option for name, option in found.items() if name not in THE_CALL | OF_COMMANDS}


@pytest.fixture
def run(fake_app: MiniCelery, monkeypatch: pytest.MonkeyPatch) -> Run:
    @fake_app.task
    def add(x: int, y: int) -> int:
        return x + y

    monkeypatch.setattr(terminal, "load_app", lambda _: fake_app)
    return lambda *arguments: CliRunner().invoke(main, arguments)


# ---- the same everywhere --------------------------------------------------------------------------


def test_a_submission_over_http_takes_every_option_of_a_call_and_no_other() -> None:
    assert Submission().fields.keys() - THE_CALL == CALL


def test_the_command_line_takes_every_option_of_a_call_and_no_other() -> None:
    assert flags(main.commands["enqueue"]).keys() == CALL


@pytest.mark.parametrize("command", ["add", "change"])
def test_a_schedule_on_the_command_line_takes_every_option_of_a_call_that_is_not_of_one_run(command: str) -> None:
    found = flags(schedules.commands[command]).keys() - ScheduleOptions.__annotations__.keys()

    assert found == CALL - NOT_OF_A_SCHEDULE.keys()


def test_a_schedule_in_the_code_takes_every_option_of_a_call_that_is_not_of_one_run() -> None:
    found = PeriodicOptions.__annotations__.keys() - ScheduleOptions.__annotations__.keys() - THE_CALL

    assert found == CALL - NOT_OF_A_SCHEDULE.keys()


@pytest.mark.parametrize("option", sorted(NOT_OF_A_SCHEDULE))
def test_what_is_not_of_a_schedule_is_refused_there_with_a_reason(fake_app: MiniCelery, option: str) -> None:
    @fake_app.task
    def add(x: int, y: int) -> None: ...

    value = {"eta": datetime(2030, 1, 1, tzinfo=UTC), "task_id": "t"}.get(option, 60)
    more = {"debounce": 5} if option == "debounce_max" else {}
    call = {"name": "add", "args": [1, 2], option: value, **more}

    with pytest.raises(InvalidInput, match="schedule"):
        fake_app.schedules.add("s", call, every=60)


# ---- the documents --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "command"),
    [
        ("| `minicelery enqueue add", main.commands["enqueue"]),
        ("| `minicelery schedules list", schedules.commands["add"]),
    ],
    ids=["enqueue", "schedules add"],
)
def test_every_option_of_a_call_is_in_the_reference_of_commands(row: str, command: click.Command) -> None:
    [line] = [line for line in REFERENCE.splitlines() if line.startswith(row)]

    assert set(flags(command).values()) - set(re.findall(r"--[a-z-]+", line)) == set()


def test_every_option_of_a_schedule_is_in_its_table() -> None:
    section = REFERENCE.split("## Schedules")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)

    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == PeriodicOptions.__annotations__.keys()


def test_every_option_of_a_submission_is_in_the_reference_of_http() -> None:
    [line] = [line for line in REFERENCE.splitlines() if line.startswith("| `POST /tasks` ")]

    assert set(re.findall(r'"(\w+)"', line)) >= CALL


# ---- moments on the command line ------------------------------------------------------------------


def test_a_task_is_due_at_the_moment_that_is_given(run: Run, fake_app: MiniCelery) -> None:
    assert run("enqueue", "add", "1", "2", "--eta", "2100-01-31T12:00:00+02:00", "--task-id", "t").stdout == "t\n"

    record = fake_app.result("t").record
    assert record.status is Status.SCHEDULED
    assert record.due == datetime(2100, 1, 31, 10, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("expires", ["2100-01-31T12:00:00Z", "3600", "1h", "59m60s"])
def test_a_task_expires_at_a_moment_or_after_a_span(run: Run, fake_app: MiniCelery, expires: str) -> None:
    run("enqueue", "add", "1", "2", "--expires", expires, "--task-id", "t")

    record = fake_app.result("t").record
    moment = datetime(2100, 1, 31, 12, tzinfo=UTC).timestamp()
    wanted = moment if expires.startswith("2100") else record.created_at + 3600
    assert record.expires == pytest.approx(wanted, abs=0.01)


MOMENT = "give a moment with its time zone, such as 2030-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--eta tomorrow", f"'--eta': 'tomorrow' is no moment; {MOMENT}"),
        ("--eta 2030-01-01T00:00:00", f"'--eta': '2030-01-01T00:00:00' has no time zone; {MOMENT}"),
        ("--eta 5", f"'--eta': '5' is no moment; {MOMENT}"),
        ("--eta 9999-01-01T00:00:00Z", "--eta: this moment is too far away; the year 9000 is the last"),
        ("--eta 2030-01-01T00:00:00Z --countdown 3", "--eta: give countdown or eta, not both"),
        ("--expires soon", f"'--expires': 'soon' is no moment; {MOMENT}, or a span from now, such as 90s"),
        ("--expires nan", "--expires: nan is not a time to expire; use more than 0"),
        ("--eta 2031-01-01T00:00:00Z --expires 2030-01-01T00:00:00Z", "--expires: the task would expire before"),
        ("--countdown soon", "'--countdown': 'soon' is no span of time; give seconds, or such as 90s, 5m, 1h30m, 2d"),
        ("--countdown -5", "--countdown: -5.0 is not a delay"),
        ("--time-limit 0", "--time-limit: 0.0 is out of range"),
        ("--tag a#b", "--tag: 'a#b' is not a valid name"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given_with_the_cure(run: Run, options: str, words: str) -> None:
    done = run("enqueue", "add", "1", "2", *options.split())

    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize(("span", "seconds"), [("90", 90), ("1h30m", 5400), ("2d", 172_800)])
def test_a_schedule_fires_every_span_of_whole_seconds(run: Run, fake_app: MiniCelery, span: str, seconds: int) -> None:
    assert run("schedules", "add", "s", "add", "1", "2", "--every", span).exit_code == 0

    assert fake_app.schedules.get("s").schedule.rule.every == seconds


@pytest.mark.parametrize("span", ["1.5", "250ms", "0"])
def test_a_schedule_with_another_span_is_refused(run: Run, span: str) -> None:
    done = run("schedules", "add", "s", "add", "1", "2", "--every", span)

    assert (done.exit_code, done.stdout) == (2, "")
    assert "every" in done.stderr


# ---- options of what a schedule sends -------------------------------------------------------------

GIVEN = "--time-limit 9 --soft-time-limit 3 --ignore-result --unique-for 60 --unique-until start --unique-key k"
SHOWN = {"time_limit": 9.0, "soft_time_limit": 3.0, "ignore_result": True, "unique_for": 60, "unique_until": "start"}


def shown(run: Run) -> dict[str, object]:
    task: dict[str, object] = json.loads(run("schedules", "list", "s").stdout)["task"]
    return {name: task.get(name) for name in (*SHOWN, "throttle")}


def test_a_schedule_is_added_and_changed_with_limits_and_what_makes_it_unique(run: Run) -> None:
    run("schedules", "add", "s", "add", "1", "2", "--every", "60", *GIVEN.split())
    assert shown(run) == SHOWN | {"throttle": None}

    run("schedules", "change", "s", "--task", "add", "1", "2", "--throttle", "30")
    assert shown(run) == dict.fromkeys(SHOWN) | {"throttle": 30}


def test_a_schedule_in_the_code_says_the_same_as_one_from_the_command_line(run: Run, fake_app: MiniCelery) -> None:
    run("schedules", "add", "s", "add", "1", "2", "--every", "60", *GIVEN.split())
    add = fake_app.tasks.find("add")
    fake_app.periodic(every=timedelta(minutes=1), args=(1, 2), unique_key="k", **SHOWN)(add)

    [declared] = fake_app.periodics
    assert declared.more == fake_app.schedules.get("s").schedule.more


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--expires 2030-01-01T00:00:00Z", "--expires: give seconds: a moment would be past at the next run"),
        ("--throttle 5 --unique-for 5", "--throttle: give unique_for or throttle, not both"),
        ("--soft-time-limit 5 --time-limit 5", "--soft-time-limit: the soft time limit of 5 s is not less"),
        ("--debounce 5", "No such option"),
    ],
)
def test_a_wrong_option_of_a_schedules_call_is_named_as_it_was_given(run: Run, options: str, words: str) -> None:
    done = run("schedules", "add", "s", "add", "1", "2", "--every", "60", *options.split())

    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
