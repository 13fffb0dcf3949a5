"""streaq: streams, acknowledged when done; its stream holds what is not."""

from ..contender import Contender, Waiting

KEY = "streaq:default:queues:normal"


def _unfinished() -> Waiting:
    return lambda client: int(client.xlen(KEY))


def _setting(processes: int) -> Contender:
    return Contender(
        name="streaq",
        title="streaq",
        setting=f"{processes}×50 tasks",
        module="with_streaq",
        commands=(("-m", "streaq", "run", "with_streaq:worker", "--workers", str(processes)),),
        waiting=_unfinished(),
        pace=1_900,
        slots=50 * processes,
        bulk=True,
    )


SETTINGS = (_setting(2), _setting(1))
