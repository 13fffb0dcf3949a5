"""How long it takes from the start of a worker until it has done its first task."""

import time

from ..scenario import Column, Figures, Scenario
from ..trial import Trial


def boot(trial: Trial) -> Figures:
    trial.ask("send", task="noop", args=[])
    begun = time.monotonic()
    with trial.workers():
        trial.ask("wait")
        return {"seconds": time.monotonic() - begun}


TITLE = "From the start of the workers to the first result"

SCENARIOS = (Scenario("boot", TITLE, (Column("seconds", "seconds"),), boot, one_setting=True),)
