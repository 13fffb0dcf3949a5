"""arq: it polls, so its polling is set to a millisecond."""

from ..contender import Contender, in_sorted_set

WORKER = ("-m", "arq", "with_arq.WorkerSettings")


def _setting(setting: str, processes: int, *only: str) -> Contender:
    return Contender(
        name="arq",
        title="arq",
        setting=setting,
        module="with_arq",
        commands=(WORKER,) * processes,
        waiting=in_sorted_set("arq:queue"),
        pace=2_000,
        slots=50 * processes,
        bulk=True,
        only=only,
    )


SETTINGS = (_setting("1×50 jobs, poll 1 ms", 1), _setting("2×50 jobs, poll 1 ms", 2, "drain", "drain-spin"))
