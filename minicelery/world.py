"""Time, ids and randomness, as they come in from outside."""

import random as _random
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """What is not logic. Tests hand in their own. Times are seconds; the time of day comes from Redis alone."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = _random.random
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    nonce: Callable[[], str] = lambda: secrets.token_hex(6)
