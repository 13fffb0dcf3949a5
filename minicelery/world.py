"""Time, ids and randomness, as they come in from outside."""

import os
import random as _random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

#: The digit in the place of each that marks the variant of RFC 4122 and leaves two bits to chance.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def _uuid4() -> str:
    """As ``str(uuid.uuid4())``, in a third of the time. No digits are kept for the next one: who has forked has not
    always been told."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


@dataclass(frozen=True)
class World:
    """What is not logic. Tests hand in their own. Times are seconds; the time of day comes from Redis alone."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = _random.random
    new_id: Callable[[], str] = _uuid4
    nonce: Callable[[], str] = lambda: secrets.token_hex(6)
