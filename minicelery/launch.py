"""Child processes that end with their parent."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

PR_SET_PDEATHSIG = 1
WATCH_EVERY = 0.5


def start(
    command: Sequence[str], *, death_signal: signal.Signals = signal.SIGTERM, lasting: bool = False, **popen: Any
) -> subprocess.Popen[bytes]:
    """Start a command that gets `death_signal` once this process is gone, even by kill -9.

    It runs in a session of its own, so a terminal's Ctrl-C does not reach it, and under the process id of the
    returned Popen. On Linux the kernel sends the signal at once. Elsewhere, and from any thread but the main
    one (the kernel would take that thread's end for ours) unless it is ``lasting`` as long as this process, a
    small watcher process looks twice a second.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not a program that can be run")
    by_kernel = sys.platform == "linux" and (lasting or threading.current_thread() is threading.main_thread())
    mode = "kernel" if by_kernel else "watcher"
    launcher = [sys.executable, "-I", "-S", __file__, mode, str(os.getpid()), str(int(death_signal))]
    return subprocess.Popen([*launcher, *command], start_new_session=True, **popen)


def end(process: subprocess.Popen[bytes], grace: float) -> bool:
    """End a process of `start`: SIGTERM, and SIGKILL to its whole session if it outlives `grace` seconds.

    True if it ended by itself.
    """
    ask_to_end(process)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        kill(process)
        return False
    return True


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM and do not wait. One that has ended already is left in peace."""
    process.terminate()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process and what it started in its session, and wait for its end."""
    strike(process)
    process.wait()


def strike(process: subprocess.Popen[bytes]) -> None:
    """As ``kill``, without waiting. If its end is known already, what it has left behind is left in peace."""
    if process.returncode is None:  # as long as nobody has waited for it, no other process can get its id
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, and nothing of it is left
            os.killpg(process.pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists; one that has ended but was not waited for still counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def die_with_parent(parent: int, death_signal: int) -> None:
    """Linux only: the kernel sends this process `death_signal` when the thread that started it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:  # it was gone before we asked
        os.kill(os.getpid(), death_signal)


def _start_watcher(parent: int, death_signal: int) -> None:
    """Fork twice, so that the watcher is nobody's child: a server would wonder about one it did not start."""
    target = os.getpid()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    os.setsid()
    if os.fork() == 0:
        _let_go_of_files()
        _watch(parent, target, death_signal)
    os._exit(0)


def _let_go_of_files() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    os.closerange(3, 65536)


def _watch(parent: int, target: int, death_signal: int) -> None:
    while is_alive(target):
        if not is_alive(parent):
            os.kill(target, death_signal)
            return
        time.sleep(WATCH_EVERY)


def _become(mode: str, parent: int, death_signal: int, command: list[str]) -> None:
    """What the launcher process does: arrange for its end, then turn into the command."""
    if mode == "kernel":
        die_with_parent(parent, death_signal)
    else:
        _start_watcher(parent, death_signal)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):  # and exec would hand that down
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
