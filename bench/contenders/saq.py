"""saq: a job is retried only with `retries`, and found only when it has timed out; both are set."""

from ..contender import Contender, in_list


def _setting(processes: int, pace: int) -> Contender:
    return Contender(
        name="saq",
        title="saq",
        setting=f"{processes}×10 jobs",
        module="with_saq",
        commands=(("-m", "saq", "with_saq.settings", "--quiet", "--workers", str(processes)),),
        waiting=in_list("saq:default:queued"),
        pace=pace,
        slots=10 * processes,
        bulk=True,
    )


SETTINGS = (_setting(2, 3_200), _setting(1, 2_000))
