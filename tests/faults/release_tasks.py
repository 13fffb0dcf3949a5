"""An application in several releases: how often its schedule is due says the environment, or that it has none."""

import os

from minicelery import MiniCelery

app = MiniCelery("releases")


@app.task
def tick() -> None: ...


if every := os.environ.get("RELEASE_EVERY"):
    app.periodic(name="ours", every=int(every))(tick)
