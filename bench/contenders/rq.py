"""RQ: its simple worker, which is fastest, its usual one, which forks for each job, and what delayed jobs need."""

from ..contender import Contender, in_list


def _setting(setting: str, kind: str, pace: int, *options: str, only: tuple[str, ...] = ()) -> Contender:
    worker = ("-m", "rq.cli", "worker", "-w", f"rq.worker.{kind}", "--url", "{url}", "--quiet", *options)
    return Contender(
        name="rq",
        title="RQ",
        setting=setting,
        module="with_rq",
        commands=(worker, worker),
        waiting=in_list("rq:queue:default"),
        pace=pace,
        slots=2,
        bulk=True,
        only=only,
    )


SETTINGS = (
    _setting("2 simple workers", "SimpleWorker", 550),
    _setting("2 workers", "Worker", 120),
    _setting("2 simple workers with scheduler", "SimpleWorker", 550, "--with-scheduler", only=("eta",)),
)
