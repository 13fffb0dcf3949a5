"""Huey: a task that was taken from its list is gone if its consumer is killed."""

from ..contender import Contender, in_list

CONSUMER = ("-m", "huey.bin.huey_consumer", "with_huey.huey", "-k", "thread", "-w", "5", "-q")


def _setting(setting: str, *only: str, notify: bool) -> Contender:
    return Contender(
        name="huey",
        title="Huey",
        setting=setting,
        module="with_huey",
        commands=(CONSUMER, CONSUMER),
        waiting=in_list("huey.redis.bench"),
        pace=4_500,
        slots=10,
        keeps=False,
        environ={"BENCH_NOTIFY": "1" if notify else ""},
        only=only,
    )


SETTINGS = (
    _setting("2×5 threads", notify=False),
    _setting("2×5 threads, notify_result", "drain", "latency", "latency-200", "latency-half", notify=True),
)
