"""Celery: its threads, which are fastest, and its default pool with late acknowledgement, which keeps tasks. With it
are Flask and gunicorn, for HTTP."""

from ..contender import WEB, Contender, in_list

WORKER = ("-m", "celery", "-A", "with_celery", "worker", "-l", "ERROR", "--without-gossip", "--without-mingle")


def _setting(setting: str, *commands: tuple[str, ...], slots: int, late: bool) -> Contender:
    return Contender(
        name="celery",
        title="Celery",
        setting=setting,
        module="with_celery",
        commands=tuple((*WORKER, "-n", f"{number}@%h", *command) for number, command in enumerate(commands)),
        waiting=in_list("celery"),
        pace=900,
        slots=slots,
        keeps=late,
        bulk=True,
        environ={"BENCH_ACKS_LATE": "1" if late else "0"},
    )


THREADS = ("-P", "threads", "-c", "5")

#: A Flask app that hands tasks to it; gunicorn is set up as ours is, with the same class of workers.
_WEB = Contender(
    name="celery",
    title="Celery",
    setting="gunicorn 1×16 threads",
    module="with_celery",
    commands=(
        (
            *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", "keepalive.Worker"),
            *("--threads", "16", "--timeout", "60"),
            *("--keep-alive", "15", "--log-level", "warning", "--no-control-socket", "web_celery:app"),
        ),
    ),
    waiting=in_list("celery"),
    pace=500,
    slots=16,
    only=WEB,
)

SETTINGS = (
    _setting("threads 2×5", THREADS, THREADS, slots=10, late=False),
    _setting("prefork 2, acks_late", ("-P", "prefork", "-c", "2"), slots=2, late=True),
    _WEB,
)
