"""Memory that a child shares with its parent: what each thread is doing, readable after a kill -9."""

import mmap
import os
import struct
import tempfile
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

#: Slots of a board, the most threads a child can have. Memory that no thread touches is never allotted.
CAPACITY = 1000
_SLOT = 512
_TEXT = 160
_STATE, _ID, _TOKEN, _COUNTS = 0, 8, 8 + _TEXT, 8 + 2 * _TEXT
_COUNT = struct.Struct("<Q")


class Count(IntEnum):
    """What a thread counts; each thread has its own counters, so none is written by two."""

    SUCCEEDED = 0
    RETRIED = 1
    FAILED = 2
    LEASE_LOST = 3
    HANDED_BACK = 4
    TAKEN = 5


class Hand(IntEnum):
    """What a thread has in hand."""

    NOTHING = 0
    CLAIMED = 1
    BEGUN = 2


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery in the hand of a thread."""

    id: str
    token: str
    begun: bool


class Board:
    """One slot for each thread. The child writes, and the parent reads once the child is gone."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, CAPACITY * _SLOT)

    @classmethod
    def create(cls) -> Self:
        """A new board, all zero, in a file that has no name any more."""
        with tempfile.TemporaryFile() as file:
            file.truncate(CAPACITY * _SLOT)
            return cls(os.dup(file.fileno()))

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    def take(self, thread: int, task_id: str, token: str) -> None:
        """The thread has claimed a task."""
        base = thread * _SLOT
        self._write(base + _ID, task_id)
        self._write(base + _TOKEN, token)
        self._memory[base + _STATE] = Hand.CLAIMED  # after the rest: a kill in between leaves an empty hand
        self.count(thread, Count.TAKEN)

    def begin(self, thread: int) -> None:
        """User code is about to run."""
        self._memory[thread * _SLOT + _STATE] = Hand.BEGUN

    def drop(self, thread: int) -> None:
        """The thread's task is recorded, or given back."""
        self._memory[thread * _SLOT + _STATE] = Hand.NOTHING

    def count(self, thread: int, what: Count, more: int = 1) -> None:
        place = thread * _SLOT + _COUNTS + what * _COUNT.size
        _COUNT.pack_into(self._memory, place, _COUNT.unpack_from(self._memory, place)[0] + more)

    def held(self) -> list[Held]:
        """What the threads have in hand."""
        found = []
        for base in range(0, CAPACITY * _SLOT, _SLOT):
            hand = self._memory[base + _STATE]
            if hand != Hand.NOTHING:
                found.append(Held(self._read(base + _ID), self._read(base + _TOKEN), hand == Hand.BEGUN))
        return found

    def totals(self) -> dict[Count, int]:
        """The counters, summed over the threads."""
        places = range(_COUNTS, CAPACITY * _SLOT, _SLOT)
        return {
            what: sum(_COUNT.unpack_from(self._memory, place + what * _COUNT.size)[0] for place in places)
            for what in Count
        }

    def _write(self, place: int, text: str) -> None:
        data = text.encode()
        self._memory[place : place + 1 + len(data)] = bytes([len(data)]) + data

    def _read(self, place: int) -> str:
        size = self._memory[place]
        return self._memory[place + 1 : place + 1 + size].decode()
