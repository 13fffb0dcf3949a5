"""The parts of dev.py that decide: what to refuse, what to install anew, and what to turn into."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "dev.py"


@pytest.fixture
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("requirements.txt", "setup.cfg", "pyproject.toml"):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
    return tmp_path


@pytest.fixture
def became(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What dev.py would have turned into, instead of doing it."""
    commands: list[list[str]] = []
    monkeypatch.setattr(dev, "become", commands.append)
    monkeypatch.setattr(dev, "prepare", lambda root: "/venv/python")
    monkeypatch.setattr(dev, "provide_browser", lambda: None)
    monkeypatch.setattr(dev.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(dev.os, "chdir", lambda folder: None)
    return commands


def fingerprint(dev: ModuleType, project: Path) -> str:
    found: str = dev.fingerprint(str(project), str(project / ".venv"))
    return found


def test_an_old_python_can_still_read_the_script() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6), (3, 9), (3, 10)])
def test_an_old_python_is_told_which_one_is_needed(dev: ModuleType, version: tuple[int, int]) -> None:
    refusal = dev.refusal_of(version, "linux")

    assert "needs Python 3.11 or newer" in refusal
    assert f"Python {version[0]}.{version[1]} " in refusal


def test_windows_is_sent_to_its_linux_subsystem(dev: ModuleType) -> None:
    assert "WSL" in dev.refusal_of((3, 12), "win32")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("version", [(3, 11), (3, 14), (4, 0)])
def test_a_new_python_is_welcome(dev: ModuleType, version: tuple[int, int], platform: str) -> None:
    assert dev.refusal_of(version, platform) == ""


def test_what_follows_the_command_is_handed_on_as_it_is(dev: ModuleType) -> None:
    assert dev.parse(["test", "-k", "up", "--", "-x"]) == ("test", ["-k", "up", "--", "-x"])


def test_all_tests_run_several_at_once_and_chosen_ones_as_told(dev: ModuleType, became: list[list[str]]) -> None:
    dev.main(["test"])
    dev.main(["test", "-x"])

    assert became == [
        ["/venv/python", "-m", "pytest", "-n", "3", "--dist", "loadfile"],
        ["/venv/python", "-m", "pytest", "-x"],
    ]


@pytest.mark.parametrize("arguments", [[], ["tests"], ["-h"], ["-x", "up"]])
def test_what_is_no_command_is_not_guessed(dev: ModuleType, arguments: list[str]) -> None:
    assert dev.parse(arguments) == ("", [])


def test_a_wrong_command_shows_the_usage(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["tset"]) == 2
    assert "dev.py test" in capsys.readouterr().out


def test_asking_for_help_is_no_failure(dev: ModuleType) -> None:
    assert dev.main(["--help"]) == 0


def test_up_turns_into_the_installed_command(dev: ModuleType, became: list[list[str]]) -> None:
    dev.main(["up", "--port", "9000"])

    assert became[0] == ["/venv/python", "-m", "minicelery", "up", "--port", "9000"]


def test_bench_turns_into_the_package_of_the_measurements(dev: ModuleType, became: list[list[str]]) -> None:
    dev.main(["bench", "--quick"])

    assert became[0] == ["/venv/python", "-m", "bench", "--quick"]


def test_test_turns_into_pytest(dev: ModuleType, became: list[list[str]]) -> None:
    dev.main(["test", "-k", "cron"])

    assert became[-1] == ["/venv/python", "-m", "pytest", "-k", "cron"]


def test_an_old_python_gets_no_further_than_the_sentence(
    dev: ModuleType,
    became: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dev.sys, "version_info", (3, 10, 2))

    assert dev.main(["up"]) == 1
    assert "3.11 or newer" in capsys.readouterr().err
    assert became == []


def test_nothing_is_installed_anew_while_nothing_changes(dev: ModuleType, project: Path) -> None:
    assert fingerprint(dev, project) == fingerprint(dev, project)


@pytest.mark.parametrize("name", ["requirements.txt", "setup.cfg", "pyproject.toml", ".venv/pyvenv.cfg"])
def test_a_changed_description_or_python_is_installed_anew(dev: ModuleType, project: Path, name: str) -> None:
    before = fingerprint(dev, project)

    (project / name).write_text("# something else\n")

    assert fingerprint(dev, project) != before


def test_a_checkout_that_was_moved_is_installed_anew(dev: ModuleType, project: Path, tmp_path: Path) -> None:
    before = fingerprint(dev, project)

    moved = project.rename(tmp_path.with_name(tmp_path.name + "-moved"))

    assert fingerprint(dev, moved) != before


def test_a_virtual_environment_without_its_python_is_not_sound(dev: ModuleType, project: Path) -> None:
    assert not dev.is_sound(str(project / ".venv" / "bin" / "python"))


def test_the_output_of_a_command_that_works_is_hidden(dev: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    dev.run_quietly([sys.executable, "-c", "print('chatter')"], "")

    assert capfd.readouterr().out == ""


def test_the_output_of_a_command_that_fails_is_shown_with_the_cure(
    dev: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(dev.Refusal, match=r"exit code 3\). Sweep the floor\."):
        dev.run_quietly([sys.executable, "-c", "print('chatter'); exit(3)"], "Sweep the floor.")

    assert capfd.readouterr().out == "chatter\n"


def test_a_python_without_ensurepip_names_the_package_to_install(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(dev.Refusal, match="apt-get install python3-venv"):
        dev.make_venv(str(project / ".venv"))


def test_a_chromium_on_path_is_enough(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "chromium" else None)

    assert commands_for_the_browser(dev, monkeypatch) == []


@pytest.mark.parametrize(("user", "apt"), [(1000, "/usr/bin/apt-get"), (0, None)])
def test_without_root_or_apt_no_browser_is_installed(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, user: int, apt: str | None
) -> None:
    monkeypatch.setattr(dev.shutil, "which", lambda name: apt if name == "apt-get" else None)
    monkeypatch.setattr(dev.os, "geteuid", lambda: user)

    assert commands_for_the_browser(dev, monkeypatch) == []


def test_root_on_debian_gets_chromium_installed(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(dev.os, "geteuid", lambda: 0)
    monkeypatch.setattr(dev.os.path, "exists", lambda path: path == "/etc/debian_version")

    commands = commands_for_the_browser(dev, monkeypatch)

    assert [command[1] for command in commands] == ["update", "install"]
    assert commands[1][-1] == "chromium"


def commands_for_the_browser(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []
    monkeypatch.setattr(dev, "run_quietly", lambda command, cure, env=None: commands.append(command))
    dev.provide_browser()
    return commands
