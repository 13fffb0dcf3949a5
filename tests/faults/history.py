"""Reads the append-only file of a server: how often it recorded the beginning and the end of each task."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minicelery.states import FINISHED

_ENDS = {status.value.encode() for status in FINISHED}


class BrokenHistory(Exception):
    """The file is not the whole history of writes, so nothing can be read off it."""


def keep_history(client: Any) -> None:
    """Keep every write that the server answers, and for good: to be asked after each of its starts.

    A rewrite of the append-only file would forget the earlier writes. And with ``everysec`` a server that waits for a
    slow disk answers for up to two seconds before it has written anything at all, so that even a kill loses it.
    """
    client.config_set("auto-aof-rewrite-percentage", 0)
    client.config_set("appendfsync", "always")


def ends_recorded(data: Path, prefix: str) -> Counter[str]:
    """Task id → how many writes gave it a final state, since the server in the folder ``data`` was first started."""
    found: Counter[str] = Counter()
    for task_id, fields in _writes(data, prefix):
        found[task_id] += fields.get(b"status") in _ENDS
    return found


def submissions_recorded(data: Path, prefix: str) -> Counter[str]:
    """Task id → how many writes made a new task of it."""
    return Counter(task_id for task_id, fields in _writes(data, prefix) if b"created_at" in fields)


def starts_recorded(data: Path, prefix: str) -> Counter[str]:
    """Task id → how many writes began a run of it."""
    return Counter(task_id for task_id, fields in _writes(data, prefix) if b"started_at" in fields)


def _writes(data: Path, prefix: str) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """Every write to a task's hash."""
    start = f"{prefix}task:".encode()
    for file in _files(data / "appendonlydir"):
        for command in _commands(file.read_bytes()):
            if command[0].upper() in (b"HSET", b"HMSET") and command[1].startswith(start):
                yield command[1][len(start) :].decode(), dict(zip(command[2::2], command[3::2], strict=True))


def _files(folder: Path) -> list[Path]:
    """The incremental files in their order. A base later than the first means that history was rewritten."""
    files = []
    for line in (folder / "appendonly.aof.manifest").read_text().splitlines():
        words = line.split()
        facts = dict(zip(words[::2], words[1::2], strict=True))
        if facts["type"] == "i":
            files.append(folder / facts["file"])
        elif facts["seq"] != "1":
            raise BrokenHistory("the append-only file was rewritten; switch auto-aof-rewrite-percentage off")
    return files


def _commands(data: bytes) -> Iterator[list[bytes]]:
    place = 0
    while place < len(data):
        count, place = _number(data, place, b"*")
        command = []
        for _ in range(count):
            size, place = _number(data, place, b"$")
            command.append(data[place : place + size])
            place += size + 2
        yield command


def _number(data: bytes, place: int, mark: bytes) -> tuple[int, int]:
    end = data.find(b"\r\n", place)
    if data[place : place + 1] != mark or end < 0:
        raise BrokenHistory(f"no command at byte {place} of the append-only file")
    return int(data[place + 1 : end]), end + 2
