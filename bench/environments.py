"""A virtual environment for each peer below `.bench/`, with the versions of its file in bench/contenders/."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".bench"
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet")


class InstallFailed(Exception):
    """A peer that can't be installed here; its text says why."""


def python_of(peer: str) -> str:
    """The Python to run a peer with, made on first use and when its file changes. Ours needs none of its own."""
    wanted = pins_of(peer)
    if not wanted:
        return sys.executable
    venv = FOLDER / peer
    python, stamp = venv / "bin" / "python", venv / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], peer)
    _run([str(python), *PIP, "-r", str(_file_of(peer))], peer)
    stamp.write_text(wanted)
    return str(python)


def pins_of(peer: str) -> str:
    """The text of its file; empty if it has none."""
    return _file_of(peer).read_text() if _file_of(peer).exists() else ""


def versions_of(peer: str) -> dict[str, str]:
    """Its pinned packages, what they need included."""
    return dict(line.split("==") for line in pins_of(peer).splitlines() if line)


def _file_of(peer: str) -> Path:
    return ROOT / "bench" / "contenders" / f"{peer}.txt"


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        told = [line for line in lines if line.lower().startswith("error")] or lines
        raise InstallFailed(f"{peer} could not be installed: {' '.join(told[-1:])}")
