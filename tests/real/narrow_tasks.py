"""An application whose code says something of its queue."""

import time

from minicelery import MiniCelery

app = MiniCelery("narrow")
app.queue("default", concurrency=1, ageing=60)


@app.task
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"
