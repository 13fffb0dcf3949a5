"""An application that tells what its machine takes for the time of day."""

import time

from minicelery import MiniCelery

app = MiniCelery("clocks")


@app.task
def time_of_day() -> float:
    return time.time()


@app.task
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return time.time()
