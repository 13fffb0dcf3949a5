"""Where idle threads wait: look first, wait second, and look again."""

from collections.abc import Iterable, Sequence
from typing import Any

import redis

from .connection import BLOCK, Client, exchange, translated
from .keys import Keys


class Doorbell:
    """BRPOP on the bells. A ring only says that there may be work, so a lost one costs ``BLOCK`` seconds at most.

    What is to be done then is sent along, right behind the BRPOP: Redis does it in the moment that the wait ends.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def wait(
        self,
        worker: str,
        queues: Iterable[str],
        behind: Sequence[Any],
        block: float = BLOCK,
        *,
        quarantine: bool = False,
    ) -> Any:
        """Wait for a ring at one of the queues (or their quarantines), or for the worker itself, or until the time is
        over. The answer to the command ``behind`` the wait."""
        bell = self._keys.quarantine_bell if quarantine else self._keys.bell
        bells = [self._keys.wake(worker), *map(bell, queues)]
        with translated("waiting for work"):
            answers = exchange(self._client, [("BRPOP", *bells, block), behind])
            for answer in answers:
                if isinstance(answer, redis.RedisError):
                    raise answer
        return answers[-1]


class Alarm:
    """Hears when another delayed task has become the next one. The waiting is timed here, not by the server."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._channel: Client | None = None

    def open(self) -> None:
        """Listen from now on. What rang before was not heard, so look at the delayed set afterwards."""
        with translated("listening for delayed tasks"):
            self._channel = self._client.pubsub(ignore_subscribe_messages=True)
            self._channel.subscribe(self._keys.alarm)

    def wait(self, seconds: float) -> bool:
        """Wait for a ring; precise to a millisecond. False if none came in time."""
        assert self._channel is not None
        with translated("waiting for delayed tasks"):
            return self._channel.get_message(timeout=seconds) is not None

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
