"""Where and with what was measured: the machine, the server, the version of each queue."""

import os
import platform
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from minicelery import __version__

from . import environments
from .stage import Stage

CPUS = Path("/proc/cpuinfo")
#: Told beside a queue's own version, as they decide how fast it is.
CLIENTS = ("redis", "hiredis")


def of_machine() -> dict[str, str]:
    """The facts that stand above all tables. Starts a server for a moment, to ask for its name."""
    with Stage() as stage:
        server = stage.name
    return {
        "Measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "Processor": f"{_processor(_read(CPUS)) or platform.machine()}, {os.cpu_count()} cores",
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Server": f"{server}, appendonly yes, appendfsync everysec, on the same machine",
    }


def versions_of(queues: Iterable[str]) -> dict[str, str]:
    """The version of each queue, and of its client of Redis."""
    return {name: _version_of(name) for name in queues}


def _version_of(name: str) -> str:
    packages = environments.versions_of(name)
    if not packages:
        packages = {name: __version__, **{client: metadata.version(client) for client in CLIENTS}}
    own = [version for package, version in packages.items() if package.partition("[")[0] == name]
    parts = [f"{package} {packages[package]}" for package in CLIENTS if package in packages]
    return " ".join(own) + (f" ({', '.join(parts)})" if parts else "")


def _processor(text: str) -> str:
    """The name of the processor in what Linux tells of it."""
    named = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return named[0] if named else ""


def _read(path: Path) -> str:
    return path.read_text() if sys.platform == "linux" and path.exists() else ""
