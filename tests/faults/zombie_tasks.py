"""An application whose task's first run lasts until it is told to go on."""

import os
import time
from pathlib import Path

from minicelery import MiniCelery

app = MiniCelery("zombies")


@app.task
def linger(folder: str) -> int:
    """The process id of this run. The first run waits for the file "go"; any other returns at once."""
    try:
        os.close(os.open(Path(folder, "first"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return os.getpid()
