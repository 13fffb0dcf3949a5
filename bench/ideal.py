"""Calls of our scripts as bytes that are ready to be sent, and a way to send them that costs next to nothing."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import hiredis

from minicelery.broker import Broker
from minicelery.handover import Claim, Settlement
from minicelery.keys import Keys
from minicelery.message import Message
from minicelery.scripts import Part, Scripts, load
from minicelery.states import Status

WORKER = "ideal"
#: As many as a thread of a worker claims at most.
AT_ONCE = 50
LEASE = 600.0
_CHUNK = 1 << 20


class Packed(Scripts):
    """Stands in for what sends the scripts: keeps the bytes, and answers as if all had gone well."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.calls: list[bytes] = []

    def run_all(
        self,
        names: Sequence[str],
        parts: Iterable[Part],
        confirm: float | None = None,
        *,
        apart: bool = False,
        brisk: bool = False,
    ) -> list[Any]:
        answers = []
        for name, (keys, args) in zip(names, parts, strict=True):
            words = ("EVALSHA", load(name).sha, len(keys), *keys, self._keys.prefix, *args)
            self.calls.append(_packed(words))
            answers.append(_ANSWERS[name](len(keys)))
        return answers


# Nothing is made of the answers; they only have to have the right shape.
_ANSWERS: dict[str, Callable[[int], Any]] = {
    "enqueue": lambda keys: " ".join([Status.PENDING.value] * keys),
    "settle": lambda keys: [],
    "claim": lambda keys: ["ok", [], "0", 0],
}


def _packed(words: Sequence[Any]) -> bytes:
    texts: Any = tuple(word if isinstance(word, (bytes, int)) else str(word) for word in words)
    return hiredis.pack_command(texts)


def enqueued(keys: Keys, messages: Sequence[Message], at_once: int) -> list[bytes]:
    """The calls that submit messages, so many in each."""
    packed = Packed(keys)
    broker = Broker(packed, keys, 0.0)
    for start in range(0, len(messages), at_once):
        broker.enqueue(messages[start : start + at_once])
    return packed.calls


def worked_off(keys: Keys, queue: str, name: str, ids: Sequence[str], result_ttl: float) -> list[bytes]:
    """The calls that claim these tasks in their order, and record a success of each together with the next claim.

    They can be written beforehand, since the token of a task's first claim follows from the nonce of the claim.
    """
    packed = Packed(keys)
    broker = Broker(packed, keys, result_ttl)
    settlements: list[Settlement] = []
    for number, start in enumerate(range(0, len(ids), AT_ONCE), 1):
        nonce = f"{number:012x}"
        claim = Claim(WORKER, 0, number, nonce, (queue,), AT_ONCE, budget=10**9, costs={name: 1})
        broker.exchange(WORKER, settlements, lambda: claim)  # noqa: B023  # used at once
        settlements = [Settlement(one, f"1.{nonce}", Status.SUCCESS, "1") for one in ids[start : start + AT_ONCE]]
    broker.settle(WORKER, settlements)
    return packed.calls


@dataclass(frozen=True)
class Poured:
    """How long it took, and how much of that our own process had a processor."""

    seconds: float
    own: float


def pour(url: str, calls: Sequence[bytes]) -> Poured:
    """Send all calls without waiting for answers, read these without looking at them; done when the last is there."""
    address = urlsplit(url)
    end = os.urandom(16).hex().encode()
    data = b"".join([*calls, _packed(("ECHO", end))])
    with socket.create_connection((address.hostname, address.port)) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
        begun, own = time.perf_counter(), time.process_time()
        sender.start()
        seen = b""
        while not seen.endswith(end + b"\r\n"):
            found = connection.recv(_CHUNK)
            if not found:
                raise ConnectionError("the server has closed the connection")
            seen = (seen + found)[-100:]
        done = Poured(time.perf_counter() - begun, time.process_time() - own)
        sender.join()
    return done
