#!/usr/bin/env python3
"""Everything for working on Mini-Celery, from a bare Python: `dev.py up`, `dev.py test`, `dev.py bench`."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys

USAGE = """\
usage: python3 dev.py up [options of `minicelery up`]    server, web and worker, with a demonstration
       python3 dev.py test [options of pytest]           all tests, and what they need
       python3 dev.py bench [options, see --help]        beside other task queues, an hour and a quarter"""

COMMANDS = ("up", "test", "bench")
OLDEST = (3, 11)
DESCRIPTIONS = ("requirements.txt", "setup.cfg", "pyproject.toml")
# Most tests wait for processes of their own, so three at a time keep two cores busy. A file's tests stay together.
AT_ONCE = ("-n", "3", "--dist", "loadfile")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# This file keeps to the syntax of Python 3.6, so that an old one gets as far as the sentence that says so.


class Refusal(Exception):
    """What stops us, in a sentence that tells the cure."""


def refusal_of(version: "tuple[int, ...]", platform: str) -> str:
    """Why this Python can't be used; empty if it can."""
    if version < OLDEST:
        return (
            f"Mini-Celery needs Python 3.11 or newer, and this is Python {version[0]}.{version[1]} "
            f"({sys.executable}): run it as `python3.11 dev.py ...`, say."
        )
    if platform == "win32":
        return "Mini-Celery runs on Linux and macOS; on Windows use the Linux subsystem (WSL)."
    return ""


def parse(arguments: "list[str]") -> "tuple[str, list[str]]":
    """The command and what to hand on to it; the command is empty if there is none that we know."""
    if not arguments or arguments[0] not in COMMANDS:
        return "", []
    return arguments[0], arguments[1:]


def fingerprint(root: str, venv: str) -> str:
    """Changes whenever what has to be installed does: a description's text, the Python, or the place."""
    digest = hashlib.sha256(root.encode())
    for path in [os.path.join(root, name) for name in DESCRIPTIONS] + [os.path.join(venv, "pyvenv.cfg")]:
        digest.update(b"\0" + (read(path) or b""))
    return digest.hexdigest()


def read(path: str) -> bytes:
    """The file's bytes; none if there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def say(sentence: str) -> None:
    print(sentence, flush=True)


def run_quietly(command: "list[str]", cure: str, env: "dict[str, str] | None" = None) -> None:
    """Run a command without its output, which is shown only if it fails."""
    out, err = subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, check=False)
    if done.returncode:
        sys.stdout.write(done.stdout.decode(errors="replace"))
        raise Refusal(f"`{' '.join(command)}` failed (exit code {done.returncode}). {cure}")


def prepare(root: str) -> str:
    """Make sure of a virtual environment with all that is needed; the path of its Python."""
    import fcntl

    venv = os.path.join(root, ".venv")
    python = os.path.join(venv, "bin", "python")
    stamp = os.path.join(venv, "minicelery.stamp")
    with open(__file__, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would spoil each other's installation
        if os.path.exists(python) and read(stamp).decode() == fingerprint(root, venv):
            return python
        if not is_sound(python):
            make_venv(venv)
        install(root, python)
        with open(stamp, "w", encoding="ascii") as file:
            file.write(fingerprint(root, venv))
    return python


def is_sound(python: str) -> bool:
    """Whether that virtual environment is whole: its Python runs, is new enough, and has a pip."""
    check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST!r})"
    try:
        return subprocess.run([python, "-c", check], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def make_venv(venv: str) -> None:
    import importlib.util

    if importlib.util.find_spec("ensurepip") is None:
        raise Refusal(
            "This Python can't make virtual environments (it lacks ensurepip): on Debian and Ubuntu run "
            "`apt-get install python3-venv` as root, then try again."
        )
    say("Making a virtual environment in .venv ...")
    run_quietly(
        [sys.executable, "-m", "venv", "--clear", venv],
        "On Debian and Ubuntu `apt-get install python3-venv` may help; a full disk won't.",
    )


def install(root: str, python: str) -> None:
    say("Installing what requirements.txt names (only now, and when it changes) ...")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    cure = "Is the package index reachable? Then try again; `rm -r .venv` starts afresh."
    run_quietly([*pip, "-r", os.path.join(root, "requirements.txt")], cure)
    run_quietly([*pip, "--no-deps", "-e", root], cure)


def provide_browser() -> None:
    """Install Debian's Chromium where that is allowed; elsewhere the tests name what they leave out."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None or not os.path.exists("/etc/debian_version"):
        return
    say("Installing Chromium for the browser tests (apt-get install chromium) ...")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        run_quietly([apt, "update"], "", env)
        run_quietly([apt, "install", "-y", "--no-install-recommends", "chromium"], "", env)
    except Refusal as refusal:
        say(f"{refusal} The browser tests will be left out.")


def become(command: "list[str]") -> None:
    """Turn into the command, so that its exit code and every signal are its own."""
    sys.stdout.flush()
    os.execv(command[0], command)


def stop(number: int, frame: object) -> None:
    """On SIGTERM: leave through the `finally` of whatever runs, so that pip doesn't stay behind."""
    raise SystemExit(128 + number)


def main(arguments: "list[str]") -> int:
    command, handed_on = parse(arguments)
    if not command:
        print(USAGE)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    refusal = refusal_of(tuple(sys.version_info[:2]), sys.platform)
    if refusal:
        print(refusal, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, stop)
    root = os.path.dirname(os.path.abspath(__file__))
    os.chdir(root)
    try:
        python = prepare(root)
        if command == "up":
            become([python, "-m", "minicelery", "up", *handed_on])
        if command == "bench":
            become([python, "-m", "bench", *handed_on])
        provide_browser()
        become([python, "-m", "pytest", *(handed_on or AT_ONCE)])
    except Refusal as cause:
        print(cause, file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
