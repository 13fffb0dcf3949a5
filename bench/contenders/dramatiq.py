"""Dramatiq: messages are acknowledged when they are done, results go to its Redis backend."""

from ..contender import Contender, in_list


def _setting(processes: int, threads: int, pace: int) -> Contender:
    return Contender(
        name="dramatiq",
        title="Dramatiq",
        setting=f"{processes}×{threads} threads",
        module="with_dramatiq",
        commands=(("-m", "dramatiq", "with_dramatiq", "-p", str(processes), "-t", str(threads)),),
        waiting=in_list("dramatiq:default"),
        pace=pace,
        slots=processes * threads,
    )


SETTINGS = (_setting(2, 8, 3_500), _setting(1, 8, 2_200))
