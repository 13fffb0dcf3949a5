"""What the documents say must be so."""

import configparser
import re
from pathlib import Path

import click
import pytest

from minicelery.cli import main
from minicelery.config import Config, variables
from minicelery.events import FINAL
from minicelery.options import TaskOptions

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "quick-reference.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_setting_is_documented_and_no_other() -> None:
    section = REFERENCE.split("## Settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[A-Z].*?) \| .* \| (.*?)\s*\|$", section, re.MULTILINE)

    assert {name for row, _ in rows for name in re.findall(r"`(\w+)`", row)} == set(variables())
    assert {name for _, row in rows for name in re.findall(r"`(\w+)`", row)} == set(Config.__dataclass_fields__)


def test_every_option_of_a_task_is_documented() -> None:
    section = REFERENCE.split("## Calling")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {*TaskOptions.__annotations__, "bind"}


def test_every_command_is_documented() -> None:
    section = REFERENCE.split("## Commands")[1].split("\n## ")[0]

    for name, command in main.commands.items():
        assert f"minicelery {name}" in section
        for inner in getattr(command, "commands", {}):
            assert f"{name} {inner}" in section


def test_every_command_tells_what_it_does() -> None:
    todo: list[click.Command] = [main]
    while todo:
        command = todo.pop()
        assert command.help
        todo += getattr(command, "commands", {}).values()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_a_document_names_exist(document: Path) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))

    for name in re.findall(r"`(test_\w+)`", document.read_text(encoding="utf-8")):
        assert f"def {name}(" in code, name


def test_the_development_environment_has_what_the_package_needs() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    needs = "".join([setup["options"]["install_requires"], *setup["options.extras_require"].values()])
    development = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()

    assert {line for line in needs.splitlines() if line and not line.startswith("#")} <= set(development)


def test_every_file_that_is_not_python_is_installed_with_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    package = ROOT / "minicelery"
    patterns = setup["options.package_data"]["minicelery"].split()
    installed = {path for pattern in patterns for path in package.glob(pattern)}

    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in files if path.suffix != ".py"} == installed


def test_the_page_that_watches_a_task_knows_every_event_that_ends_one() -> None:
    script = (ROOT / "minicelery/web/static/websocket_client.js").read_text(encoding="utf-8")
    [listed] = re.findall(r"const FINAL = new Set\(\[(.*?)\]\)", script)

    assert set(re.findall(r"\w+", listed)) == FINAL
