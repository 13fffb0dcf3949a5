"""Submits a plan over a time, as a careful caller does: without an answer, the same again under the same ids."""

import random
import threading
import time
from collections.abc import Sequence

from minicelery import MiniCelery
from minicelery.errors import RedisUnavailable

from .plan import Planned

_LARGEST = 40


class Submitter:
    """One thread. ``accepted`` are the ids whose submission was answered; ``repeats`` counts calls made again."""

    def __init__(self, app: MiniCelery, plan: Sequence[Planned], seconds: float, seed: int) -> None:
        self.accepted: set[str] = set()
        self.repeats = 0
        self.error: BaseException | None = None
        self._app = app
        self._plan = plan
        self._seconds = seconds
        self._random = random.Random(seed)
        self._thread = threading.Thread(target=self._run, name="submitter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for the end, and raise what ended it too early."""
        self._thread.join(timeout)
        if self.error:
            raise self.error

    def _run(self) -> None:
        start, sent = time.monotonic(), 0
        try:
            while sent < len(self._plan):
                share = min(1.0, (time.monotonic() - start) / self._seconds)
                due = int(share * len(self._plan)) - sent
                if due <= 0:
                    time.sleep(0.01)
                    continue
                batch = self._plan[sent : sent + min(due, self._random.randint(1, _LARGEST))]
                self._submit(batch)
                sent += len(batch)
        except BaseException as error:
            self.error = error

    def _submit(self, batch: Sequence[Planned]) -> None:
        while True:
            try:
                if len(batch) == 1:
                    batch[0].call(self._app).delay()
                else:
                    self._app.submit_many(one.call(self._app) for one in batch)
            except RedisUnavailable:
                self.repeats += 1
                time.sleep(0.05)
            else:
                self.accepted.update(one.id for one in batch)
                return
