"""taskiq: its stream broker acknowledges what is done, its list broker nothing."""

from ..contender import Contender, Waiting, in_list, in_stream


def _setting(broker: str, waiting: Waiting, *, keeps: bool) -> Contender:
    return Contender(
        name="taskiq",
        title="taskiq",
        setting=f"2 workers, {broker} broker",
        module="with_taskiq",
        commands=(("-m", "taskiq", "worker", "with_taskiq:broker", "--workers", "2", "--log-level", "ERROR"),),
        waiting=waiting,
        pace=3_200,
        slots=200,
        keeps=keeps,
        bulk=True,
        delays=False,
        environ={"BENCH_BROKER": broker},
    )


SETTINGS = (
    _setting("stream", in_stream("taskiq", "taskiq"), keeps=True),
    _setting("list", in_list("taskiq"), keeps=False),
)
