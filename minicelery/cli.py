"""The command line: data on standard output, words on standard error, exit codes that a script can use."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import redis

from . import codec, events, logs, server, up
from .app import MiniCelery, read_config
from .arguments import WithNegativeNumbers, key_and_value, value
from .config import Config
from .errors import (
    ForeignData,
    InvalidInput,
    MiniCeleryError,
    RedisFull,
    RedisUnavailable,
    ResultTimeout,
    TaskFailed,
    TaskNotFound,
    UnknownTask,
)
from .loading import load_app
from .version import __version__
from .worker.order import WorkerOptions
from .worker.parent import Parent
from .world import World

FAILED, USAGE, UNREACHABLE, NOT_FOUND, TIMED_OUT = 1, 2, 3, 4, 124

_EXIT_CODES: list[tuple[type[MiniCeleryError], int]] = [
    (TaskFailed, FAILED),
    (RedisUnavailable, UNREACHABLE),
    (TaskNotFound, NOT_FOUND),
    (ResultTimeout, TIMED_OUT),
    (MiniCeleryError, USAGE),
]


class Group(click.Group):
    """Turns our errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MiniCeleryError as error:
            click.echo(f"minicelery: {error}", err=True)
            if (
                isinstance(error, RedisUnavailable)
                and error.task_id
                and not isinstance(error, (ForeignData, RedisFull))
            ):
                click.echo(f"The task may be there; repeating it is safe with --task-id {error.task_id}", err=True)
            if isinstance(error.__cause__, (redis.ConnectionError, redis.TimeoutError)):
                click.echo("Is it running? Name it by MINICELERY_REDIS_URL, or start one: minicelery up", err=True)
            if isinstance(error, UnknownTask) and {"add", "countdown", "flaky"} <= set(error.known):
                click.echo(
                    "These are the demonstration's tasks; name your application: --app or MINICELERY_APP", err=True
                )
            if isinstance(error, TaskFailed):
                click.echo(error.traceback, err=True)
            sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))


app_option = click.option(
    "--app",
    "app_path",
    metavar="MODULE:ATTRIBUTE",
    envvar="MINICELERY_APP",
    default="",
    help="The application. Default: MINICELERY_APP, else the demonstration.",
)


redis_option = click.option(
    "--redis-url", metavar="URL", help="Default: MINICELERY_REDIS_URL, or REDIS_HOST and REDIS_PORT."
)


def with_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--app`` and ``--redis-url``, and hands in the loaded application."""

    @app_option
    @redis_option
    def loaded(app_path: str, redis_url: str | None, **options: Any) -> Any:
        app = load_app(app_path)
        if redis_url:
            app.configure(redis_url=redis_url)
        return command(app, **options)

    loaded.__doc__ = command.__doc__
    loaded.__name__ = command.__name__
    loaded.__click_params__ = [*getattr(command, "__click_params__", []), *loaded.__click_params__]  # type: ignore[attr-defined]
    return loaded


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minicelery")
def main() -> None:
    """Mini-Celery: a task queue for Python web applications.

    Exit codes: 0 done, 1 the task failed or the doctor found something, 2 wrong use, 3 Redis can't be reached,
    4 no such task, 124 timed out.
    """


@main.command()
@app_option
@click.option("--threads", type=click.IntRange(1, 1000), help="Default: WORKER_CONCURRENCY, else 5.")
@click.option(
    "--processes", type=click.IntRange(1, 100), help="With so many threads each. Default: WORKER_PROCESSES, else 1."
)
@click.option("--queues", metavar="A,B", help="Queues in the order they are served. Default: default.")
@redis_option
@click.option("--grace", type=click.FloatRange(0), metavar="SECONDS", help="What running tasks have at a stop. 25.")
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
@click.option("--countdown", type=float, metavar="SECONDS")
@click.option("--queue")
@click.option("--max-retries", type=int)
@click.option("--task-id", metavar="ID", help="The same id with the same call is the same task. Default: a new one.")
@click.option("--wait", is_flag=True, help="Wait for the result and print it; exit code 1 if the task failed.")
@click.option("--timeout", type=float, metavar="SECONDS", help="The longest wait.")
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
    named = dict(key_and_value(text) for text in kwargs)
    result = app.submit(app.message(name, [value(text) for text in args], named, **options))
    if not wait:
        click.echo(result.id)
        return
    click.echo(f"task {result.id}", err=True)
    click.echo(codec.write(result.get(timeout)))


@main.command("task")
@with_app
@click.argument("task_id")
def show_task(app: MiniCelery, task_id: str) -> None:
    """Print what is known about a task, as JSON."""
    _print_json(events.describe(app.inspector.task(task_id)))


@main.command()
@with_app
def queues(app: MiniCelery) -> None:
    """Print the length of every queue that is not empty, of quarantines and the dead letters too, one a line."""
    for name in app.inspector.queues():
        click.echo(f"{name}\t{app.inspector.queue_length(name)}")
    for name in app.inspector.quarantines():
        click.echo(f"{name} (quarantine)\t{app.inspector.quarantine_length(name)}")
    click.echo(f"dead_letter\t{app.inspector.dead_letter_count()}")


@main.group()
def dead() -> None:
    """Dead letters: tasks that have failed for good."""


@dead.command("list")
@with_app
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
def list_dead(app: MiniCelery, limit: int, offset: int) -> None:
    """Print dead letters, newest first, a JSON object a line."""
    for record in app.dead_letters(offset, limit):
        click.echo(codec.write(events.describe(record)))


@dead.command("retry")
@with_app
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All dead letters of this moment.")
def retry_dead(app: MiniCelery, task_ids: tuple[str, ...], everything: bool) -> None:
    """Put dead letters back into their queues, with all their retries."""
    if everything == bool(task_ids):
        raise InvalidInput("give ids, or --all")
    for task_id in task_ids:
        app.revive(task_id)
    click.echo(app.revive_all() if everything else len(task_ids))


@dead.command("delete")
@with_app
@click.argument("task_ids", nargs=-1, required=True, metavar="ID...")
def delete_dead(app: MiniCelery, task_ids: tuple[str, ...]) -> None:
    """Delete dead letters."""
    for task_id in task_ids:
        app.discard(task_id)
    click.echo(len(task_ids))


@main.command()
@with_app
@click.option("--check", is_flag=True, help="Only look, and change nothing.")
@click.option("--pause", type=click.FloatRange(0), default=1.0, show_default=True, metavar="SECONDS")
def doctor(app: MiniCelery, check: bool, pause: float) -> None:
    """Check that every task is in exactly one place, and put right what is not.

    What is found broken is looked at again after a pause, and repaired if it is broken in the same way. Exit code 1 if
    anything was broken, repaired or not.
    """
    settings = server.check(app.clients.commands, replicated=app.config.durability == "replicated")
    for fault in (*settings.refusals, *settings.warnings):
        click.echo(fault, err=True)
    findings = app.doctor.violations() if check else app.doctor.repair(pause)
    found = 0
    for finding in findings:
        click.echo(str(finding))
        found += 1
    click.echo(f"{found} findings" if found else "every task is in exactly one place, the one of its state", err=True)
    sys.exit(1 if found or settings.refusals else 0)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
