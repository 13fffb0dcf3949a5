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
    """Whether all of these processes of this machine have ended. Of none that is not known."""
    named = list(marks)
    return bool(named) and all(mark(int(one.partition(":")[0])) != one for one in named)


def _began(pid: int) -> str:
    """The start of a process in ticks since the boot; empty for one that has ended, waited for or not."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return "" if fields[0] in "ZXx" else fields[19]
