"""Tasks to try everything with; used when no application is named."""

import time

from .app import MiniCelery
from .context import TaskContext

app = MiniCelery("demo")


@app.task
def add(x: float, y: float) -> float:
    """The sum."""
    return x + y


@app.task(bind=True)
def countdown(self: TaskContext, steps: int = 20, pause: float = 0.1) -> str:
    """Takes ``steps`` steps of ``pause`` seconds and reports each."""
    for step in range(1, steps + 1):
        time.sleep(pause)
        self.progress(step, steps, f"step {step} of {steps}")
    return "lift-off"


@app.task(bind=True, max_retries=3, retry_backoff=0.5)
def flaky(self: TaskContext, failures: int = 2) -> str:
    """Fails ``failures`` times before it succeeds."""
    if self.retry_count < failures:
        raise RuntimeError(f"failure {self.retry_count + 1} of {failures}")
    return f"succeeded after {self.retry_count} retries"


@app.task(max_retries=0)
def fail(message: str = "as asked") -> None:
    """Fails for good at once, and goes to the dead letters."""
    raise RuntimeError(message)
