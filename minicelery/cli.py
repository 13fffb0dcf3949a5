"""The command line: data on standard output, words on standard error, exit codes that a script can use."""

import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

import click

from . import codec, events, logs
from .app import MiniCelery, read_config
from .batch import gather
from .bulk_commands import dead, delete
from .call_flags import blamed, of_a_call, of_the_call
from .config import Config
from .controls import limits, move, pause, purge, resume
from .dispatch import Sent
from .errors import InvalidInput, RedisUnavailable
from .loading import load_app
from .lock_commands import locks
from .operations import cancel, doctor, queues
from .progress_line import shown
from .schedule_commands import schedules
from .terminal import (
    Group,
    Span,
    WithNegativeNumbers,
    app_option,
    named_value,
    redis_option,
    value_of,
    with_app,
)
from .version import __version__
from .worker.order import WorkerOptions
from .worker.parent import Parent
from .world import World


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minicelery")
def main() -> None:
    """Mini-Celery: a task queue for Python web applications.

    Exit codes: 0 done, 1 the task failed, was cancelled or has expired, or the doctor found something, 2 wrong use,
    3 Redis can't be reached or used, 4 no such task, schedule or lock, 124 timed out.
    """


for operation in (cancel, dead, delete, doctor, limits, locks, move, pause, purge, queues, resume, schedules):
    main.add_command(operation)


@main.command()
@app_option
@click.option("--threads", type=click.IntRange(1, 1000), help="Default: WORKER_CONCURRENCY, else 5.")
@click.option(
    "--processes", type=click.IntRange(1, 100), help="With so many threads each. Default: WORKER_PROCESSES, else 1."
)
@click.option(
    "--queues",
    metavar="A,B",
    help="Queues in the order they are served, or with their shares: A:3,B:1. Default: default.",
)
@redis_option
@click.option("--grace", type=Span(0), metavar="SPAN", help="What running tasks have at a stop. 25.")
@click.option("--max-tasks-per-child", type=click.IntRange(0), metavar="N", help="Replace a process after N tasks.")
@click.option(
    "--max-memory-per-child", type=click.IntRange(0), metavar="KIB", help="Replace a process that has used more memory."
)
def worker(app_path: str, queues: str | None, **options: Any) -> None:
    """Run tasks until SIGTERM or Ctrl-C; a second one stops at once."""
    names = tuple(filter(None, (name.strip() for name in queues.split(",")))) if queues else None
    logs.configure(Config())
    sys.exit(Parent(WorkerOptions(app=app_path, queues=names, **options), World()).run())


@main.command("up")
@app_option
@click.option("--host", help="Default: API_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: API_PORT, else 8000. Taken: the next one.")
@click.option("--threads", type=click.IntRange(1, 1000), help="Default: WORKER_CONCURRENCY, else 5.")
@click.option("--redis-url", metavar="URL", help="Use this server instead of the embedded one.")
@click.option("--data", type=click.Path(path_type=Path), default=".minicelery", show_default=True)
@click.option("--demo/--no-demo", default=True, help="Submit a demonstration task and show its progress.")
def everything(
    app_path: str,
    host: str | None,
    port: int | None,
    threads: int | None,
    redis_url: str | None,
    data: Path,
    demo: bool,
) -> None:
    """Run everything on this machine: Redis or Valkey, the web server and a worker."""
    from . import up  # what only some commands need makes the others start a third slower

    config, known = read_config({}), load_app(app_path).tasks
    if redis_url:
        config = config.overridden(redis_url=redis_url)
    example = next((task.name for task in known), "…")
    options = up.Options(
        host=host or config.api_host,
        port=port or config.api_port,
        threads=threads or config.worker_concurrency,
        redis_url=redis_url,
        data_dir=data,
        app=app_path or None,
        demo=demo,
        **({"example": json.dumps({"name": example})} if app_path or config.app else {}),
    )
    sys.exit(up.run(options))


@main.command(cls=WithNegativeNumbers)
@with_app
@click.argument("name")
@click.argument("args", nargs=-1, metavar="[JSON]...")
@click.option("-k", "--kwarg", "kwargs", multiple=True, metavar="KEY=JSON", help="A keyword argument; repeatable.")
@of_a_call
@click.option("--wait", is_flag=True, help="Wait for the result and print it; exit code 1 if there is none.")
@click.option("--timeout", type=Span(), metavar="SPAN", help="The longest wait.")
def enqueue(
    app: MiniCelery,
    name: str,
    args: tuple[str, ...],
    kwargs: tuple[str, ...],
    wait: bool,
    timeout: float | None,
    **options: Any,
) -> None:
    """Submit a task, such as: minicelery enqueue add 2 3 --wait

    Each argument is JSON; what is not JSON is taken as a string. Prints the task's id, or its result.
    """
    if timeout is not None and not wait:
        raise InvalidInput("--timeout is the longest wait; give --wait, too")
    named = dict(named_value(text) for text in kwargs)
    with blamed():
        message = app.message(name, [value_of(text) for text in args], named, **of_the_call(options))
    result = app.submit(message)
    if result.duplicate:
        click.echo(f"minicelery: an earlier call was the same; this is its task {result.id}", err=True)
    if not wait:
        click.echo(result.id)
        return
    click.echo(f"task {result.id}", err=True)
    click.echo(codec.write(result.get(timeout)))


@main.command("enqueue-many")
@with_app
@click.argument("lines", type=click.File("rb"), metavar="FILE")
def enqueue_many(app: MiniCelery, lines: BinaryIO) -> None:
    """Submit the tasks of a file, a JSON object a line as of POST /tasks; - is standard input.

    Nothing is submitted if a line is wrong. Prints the ids, in the order of the lines. If Redis goes away in between,
    or at Ctrl-C, prints those of the tasks that are there for certain; some hundred behind these may be there, too.
    With a task_id in each line the whole file can be repeated; without one, what is not unique is submitted once more.
    """
    from .web.requests import submission_of  # brings Flask along

    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    messages = gather(
        filled,
        lambda one: app.message(**submission_of(codec.decode_foreign(one[1]))),
        lambda place: f"line {filled[place][0]}",
    )
    sent: list[Sent] = []
    try:
        with shown("submitting") as line:
            app.sender.send_many(messages, line.show, sent)
    except RedisUnavailable as error:
        error.task_id = None  # a line has no option for it
        raise
    except SystemExit:
        click.echo("It is safe to repeat the lines that have a task_id.", err=True)
        raise
    finally:
        for result, _ in sent:
            click.echo(result.id)
    if duplicates := sum(result.duplicate for result, _ in sent):
        click.echo(f"minicelery: {duplicates} of these calls were the same as earlier ones", err=True)


@main.command("task")
@with_app
@click.argument("task_id")
def show_task(app: MiniCelery, task_id: str) -> None:
    """Print what is known about a task, as JSON."""
    _print_json(events.describe(app.inspector.task(task_id)))


@main.command()
@with_app
@click.argument("task_id")
def why(app: MiniCelery, task_id: str) -> None:
    """Print why a task has not begun yet, a reason a line."""
    for reason in app.why(task_id).reasons:
        click.echo(reason)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
