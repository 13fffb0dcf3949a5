"""Tells whether processes of this machine that others have named are gone for certain."""

import os
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")


def machine() -> str:
    """Names this run of this machine as far as its process ids go: its boot, and the namespace of the ids.

    Empty where there is no /proc: there nobody can tell a process from another one that got its id later.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def mark(pid: int) -> str:
    """Names a process for as long as the machine runs: its id, and when it began; empty if it is gone."""
    began = _began(pid)
    return f"{pid}:{began}" if began else ""


def are_gone(marks: Iterable[str]) -> bool:
    """Whether all of these processes of this machine have ended. Of none, that is not known."""
    named = list(marks)
    return bool(named) and all(map(_is_gone, named))


def processor_time(pid: int, thread: int) -> float:
    """Seconds that a thread has spent on a processor; 0 where that can't be known."""
    fields = _stat(f"{pid}/task/{thread}")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def resident(pid: int) -> int:
    """Bytes of memory that a process has now, shared pages included; 0 where that can't be known."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _is_gone(one: str) -> bool:
    pid = int(one.partition(":")[0])
    if mark(pid) == one:
        return False
    if _stat(str(pid)):
        return True  # another process has got its id, or nobody has waited for its end yet
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False  # it is there, but /proc hides it from us


def _began(pid: int) -> str:
    """The start of a process in ticks since the boot; empty for one that has ended, waited for or not."""
    fields = _stat(str(pid))
    return "" if not fields or fields[0] in "ZXx" else fields[19]


def _stat(path: str) -> list[str]:
    """What the kernel tells of a process or thread, from its state on; nothing if it does not."""
    try:
        text = (_PROC / path / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name before may hold anything
