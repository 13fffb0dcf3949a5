"""Ours: at least once in every setting, with leases, events, results and counters."""

from ..contender import WEB, Contender, in_list


def _setting(processes: int, threads: int, pace: int) -> Contender:
    options = ("--processes", str(processes), "--threads", str(threads), "--app", "with_minicelery:app")
    return Contender(
        name="minicelery",
        title="Mini-Celery",
        setting=f"{processes}×{threads} threads",
        module="with_minicelery",
        commands=(("-m", "minicelery", "worker", *options),),
        waiting=in_list("queue:default"),
        pace=pace,
        slots=processes * threads,
        bulk=True,
        environ={"MINICELERY_LOG_LEVEL": "WARNING"},
    )


#: Our gunicorn as it comes.
_WEB = Contender(
    name="minicelery",
    title="Mini-Celery",
    setting="gunicorn 1×16 threads",
    module="with_minicelery",
    commands=(
        (
            *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-c", "python:minicelery.web.gunicorn_config"),
            "minicelery.web.wsgi:app",
        ),
    ),
    waiting=in_list("queue:default"),
    pace=1_500,
    slots=16,
    bulk=True,
    environ={"MINICELERY_LOG_LEVEL": "WARNING", "MINICELERY_APP": "with_minicelery:app"},
    only=WEB,
)

SETTINGS = (_setting(2, 5, 30_000), _setting(1, 5, 28_000), _WEB)
