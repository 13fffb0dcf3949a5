"""Memory that a child shares with its parent: what each thread is doing, readable after a kill -9."""

import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from ..handover import Kept

#: Slots of a board: the most threads a child can have, and some more for threads that take the place of stuck ones.
CAPACITY = 1024
#: The slot for what is counted by no thread that runs tasks.
OFFICE = CAPACITY
_HEAD, _SLOT = 64, 576
_SLOTS_END = _HEAD + (CAPACITY + 1) * _SLOT
#: Behind the slots: what the last claims have brought, in turns.
_TRAYS, _TRAY = 4, 32_768
_SIZE = _SLOTS_END + _TRAYS * _TRAY
_TICK, _USED, _LEFT, _RECALLED = 0, 8, 16, 24
_STATE, _WORDS, _COUNTS = 0, 8, 400
_LIMIT, _NATIVE, _ASKED = 480, 504, 512
_LONGEST_NAME = 64
#: Id, token and name; each with its length before it.
_TEXTS = struct.Struct(f"161p161p{_LONGEST_NAME + 1}p")
_COUNT = struct.Struct("<Q")
_REAL = struct.Struct("<d")
_LIMITS = struct.Struct("<ddd")
#: When a thread has asked for work, under which number and nonce.
_QUESTION = struct.Struct("<dQ15p")
_TRAY_HEAD = struct.Struct("<dQ")
UNLIMITED = float("inf")


class Count(IntEnum):
    """What a thread counts; each thread has its own counters, so none is written by two."""

    SUCCEEDED = 0
    RETRIED = 1
    FAILED = 2
    LEASE_LOST = 3
    HANDED_BACK = 4
    TAKEN = 5
    CANCELLED = 6


def end_of(recorded: Count, kept: Kept) -> Count:
    """What is counted for something that was said of a delivery."""
    return recorded if kept else Count.CANCELLED if kept is None else Count.LEASE_LOST


class Hand(IntEnum):
    """What a thread has in hand."""

    NOTHING = 0
    CLAIMED = 1
    BEGUN = 2


# Plain numbers, for the way of every task.
_NOTHING, _CLAIMED, _BEGUN = map(int, Hand)


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a run may take, in seconds, and after how many it is tried again then (None: it has failed for good).

    After ``soft`` seconds it is told to end. That is not on the board, as nobody can tell it so from outside.
    """

    seconds: float = UNLIMITED
    retry_after: float | None = None
    soft: float = UNLIMITED


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery in the hand of a thread. ``deadline`` is on the monotonic clock, which all processes share."""

    thread: int
    native: int  #: the thread's id to the kernel
    id: str
    name: str
    token: str
    begun: bool
    deadline: float
    limit: Limit


class Board:
    """One slot for each thread. The child writes; the parent reads, also when the child is gone."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        self._laid_out = 0

    @classmethod
    def create(cls) -> Self:
        """A new board, all zero, in memory, or where that can't be in a file that has no name any more."""
        if sys.platform == "linux":
            fd = os.memfd_create("minicelery-board")
            os.ftruncate(fd, _SIZE)
            return cls(fd)
        with tempfile.TemporaryFile() as file:
            file.write(bytes(_SIZE))  # all of it now: a disk that is full later would kill us
            file.flush()
            return cls(os.dup(file.fileno()))

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    def tick(self, now: float) -> None:
        """The child's main thread is alive."""
        _REAL.pack_into(self._memory, _TICK, now)

    @property
    def ticked_at(self) -> float:
        """When it last was, on the monotonic clock; 0 before the first time."""
        return float(_REAL.unpack_from(self._memory, _TICK)[0])

    def leave(self, behind: int = 0) -> None:
        """The child ends of its own accord: no task has ended it. So many tasks are left to the parent."""
        _COUNT.pack_into(self._memory, _LEFT, behind + 1)

    @property
    def has_left(self) -> bool:
        return self.left_behind is not None

    @property
    def left_behind(self) -> int | None:
        """How many tasks a child that has left has left to the parent; None for one that was ended."""
        marked = int(_COUNT.unpack_from(self._memory, _LEFT)[0])
        return marked - 1 if marked else None

    def lay_out(self, now: float, pairs: Iterable[tuple[str, str]]) -> None:
        """A claim has brought these, by id and token. One thread at a time, in the order in which they are to run."""
        place = _SLOTS_END + self._laid_out % _TRAYS * _TRAY
        text = _bytes(" ".join([f"{task_id} {token}" for task_id, token in pairs]))[: _TRAY - _TRAY_HEAD.size]
        start = place + _TRAY_HEAD.size
        _TRAY_HEAD.pack_into(self._memory, place, now, 0)  # none, as long as it is half written
        self._memory[start : start + len(text)] = text
        _TRAY_HEAD.pack_into(self._memory, place, now, len(text))
        self._laid_out += 1

    def not_begun(self, before: float) -> list[tuple[str, str]]:
        """What was claimed before that moment and has not begun, by id and token; the last first.

        Tasks are taken in order. So that is all behind the last one that is in a hand, and what is in a hand for now.
        """
        pairs = self._laid_out_before(before)
        in_hand = {(held.id, held.token): held.begun for held in self.held()}
        places = [place for place, pair in enumerate(pairs) if pair in in_hand]
        if not places:
            return []
        in_wait = [pairs[place] for place in places if not in_hand[pairs[place]]]
        return [*in_wait, *pairs[places[-1] + 1 :]][::-1]

    def _laid_out_before(self, moment: float) -> list[tuple[str, str]]:
        heads = [(*_TRAY_HEAD.unpack_from(self._memory, place), place + _TRAY_HEAD.size) for place in _tray_places()]
        pairs: list[tuple[str, str]] = []
        for at, size, start in sorted(heads):
            words = _text(self._memory[start : start + size]).split(" ")
            if at < moment:
                pairs += zip(words[::2], words[1::2], strict=False)
        return pairs

    def ask(self, thread: int, now: float, number: int, nonce: str) -> None:
        """The thread waits for work, with a claim that Redis answers when there is some."""
        _QUESTION.pack_into(self._memory, _base(thread) + _ASKED, now, number, nonce.encode())

    def hear(self, thread: int) -> None:
        """The thread has its answer."""
        _REAL.pack_into(self._memory, _base(thread) + _ASKED, 0.0)

    def asked(self, before: float) -> list[tuple[int, int, str]]:
        """The claims sent before that moment which have no answer yet: thread, number and nonce."""
        found = [(thread, *_QUESTION.unpack_from(self._memory, _base(thread) + _ASKED)) for thread in range(self._used)]
        return [(thread, number, nonce.decode()) for thread, at, number, nonce in found if 0 < at < before]

    def recall(self, now: float) -> None:
        """Nothing may begin any more that was claimed before now; it may be given back from outside."""
        _REAL.pack_into(self._memory, _RECALLED, now)

    @property
    def recalled_at(self) -> float:
        """When that was last, on the monotonic clock; 0 before the first time."""
        return float(_REAL.unpack_from(self._memory, _RECALLED)[0])

    def open_slot(self, thread: int) -> None:
        """A thread begins to work. Numbers are given out in order."""
        _COUNT.pack_into(self._memory, _USED, thread + 1)

    def enter(self, thread: int, native: int) -> None:
        """The thread, by its id to the kernel, works in its slot from now on."""
        _COUNT.pack_into(self._memory, _base(thread) + _NATIVE, native)

    def take(self, thread: int, task_id: str, name: str, token: str) -> None:
        """The thread has a claimed task in hand."""
        base = _HEAD + thread * _SLOT
        _TEXTS.pack_into(self._memory, base + _WORDS, _bytes(task_id), _bytes(token), _bytes(name[:_LONGEST_NAME]))
        self._memory[base + _STATE] = _CLAIMED  # after the rest: a kill in between leaves an empty hand

    def begin(self, thread: int, now: float, limit: Limit | None = None) -> None:
        """User code is about to run."""
        base = _HEAD + thread * _SLOT
        if limit:
            retry_after = -1.0 if limit.retry_after is None else limit.retry_after
            _LIMITS.pack_into(self._memory, base + _LIMIT, now + limit.seconds, limit.seconds, retry_after)
        else:
            _LIMITS.pack_into(self._memory, base + _LIMIT, UNLIMITED, UNLIMITED, -1.0)
        self._memory[base + _STATE] = _BEGUN

    def lift_limit(self, thread: int) -> None:
        """The run is over, or given up; what is left is to record it."""
        _REAL.pack_into(self._memory, _base(thread) + _LIMIT, UNLIMITED)

    def drop(self, thread: int) -> None:
        """The thread's task has ended, or is given back."""
        self._memory[_HEAD + thread * _SLOT + _STATE] = _NOTHING

    def count(self, thread: int, what: Count, more: int = 1) -> None:
        place = _base(thread) + _COUNTS + what * _COUNT.size
        _COUNT.pack_into(self._memory, place, _COUNT.unpack_from(self._memory, place)[0] + more)

    def held(self) -> list[Held]:
        """What the threads have in hand; without those that take another task while we look."""
        found = (self._held(thread) for thread in range(self._used))
        return [held for held in found if held]

    def _held(self, thread: int) -> Held | None:
        base = _base(thread)
        # The task first and last: if it is the same, all in between belongs to it.
        texts = self._texts(thread)
        hand = self._memory[base + _STATE]
        deadline, seconds, retry_after = _LIMITS.unpack_from(self._memory, base + _LIMIT)
        native = int(_COUNT.unpack_from(self._memory, base + _NATIVE)[0])
        if hand == Hand.NOTHING or texts != self._texts(thread):
            return None
        task_id, token, name = texts
        begun = hand == Hand.BEGUN
        limit = Limit(seconds, None if retry_after < 0 else retry_after)
        return Held(thread, native, task_id, name, token, begun, deadline if begun else UNLIMITED, limit)

    def totals(self) -> dict[Count, int]:
        """The counters, summed over the threads."""
        places = [_base(thread) + _COUNTS for thread in (*range(self._used), OFFICE)]
        return {
            what: sum(_COUNT.unpack_from(self._memory, place + what * _COUNT.size)[0] for place in places)
            for what in Count
        }

    @property
    def _used(self) -> int:
        return int(_COUNT.unpack_from(self._memory, _USED)[0])

    def _texts(self, thread: int) -> tuple[str, str, str]:
        task_id, token, name = _TEXTS.unpack_from(self._memory, _base(thread) + _WORDS)
        return _text(task_id), _text(token), _text(name)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _tray_places() -> range:
    return range(_SLOTS_END, _SIZE, _TRAY)


def _base(thread: int) -> int:
    return _HEAD + thread * _SLOT
