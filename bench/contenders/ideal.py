"""What Redis does alone: our scripts, called by a driver that runs no tasks. No queue can drain faster with them."""

from ..contender import Contender, in_list

SETTINGS = (
    Contender(
        name="ideal",
        title="Redis alone",
        setting="our scripts, 50 tasks a call",
        module="with_minicelery",
        commands=(("-m", "drive"),),
        waiting=in_list("queue:default"),
        pace=25_000,
        slots=1,
        bulk=True,
        only=("drain",),
    ),
)
