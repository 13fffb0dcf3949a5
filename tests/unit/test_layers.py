"""The shape of the package: shelves, sizes, and the table of transitions."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicelery.broker import Broker
from minicelery.keys import SCHEMA
from minicelery.lock_store import LockStore
from minicelery.states import Status
from minicelery.timetable import Timetable

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "minicelery"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Methods that call a script in another way than the one of its name, or several in one round trip.
TOGETHER = {"exchange", "enqueue_each", "claim_behind", "run_now", "revive_part", "forget_part", "forget_many"}
#: Those of the timetable that change no task.
OF_SCHEDULES = {"schedule", "unschedule", "pause_schedule", "resume_schedule", "declare", "due", "note_ends"}
#: Scripts and methods of the store of locks.
OF_LOCKS = {name for name in vars(LockStore) if name.startswith("lock_")}
WITHOUT_TRANSITION = {"beat", "wake", "locate", "control"} | OF_LOCKS | OF_SCHEDULES


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {_name(path): path for path in MODULES}


def _imports(name: str) -> set[str]:
    """Modules of the package that a module imports anywhere, in functions too."""
    path = NAMES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            found.update(f"{base}.{alias.name}" if f"{base}.{alias.name}" in NAMES else base for alias in node.names)
    return {module for module in found if module in NAMES and module != name}


def _shelves() -> list[list[str]]:
    section = ARCHITECTURE.split("## Modules")[1]
    rows = re.findall(r"^\| (\w+) \| (`.*) \|$", section, re.MULTILINE)
    return [re.findall(r"`([\w/]+)`", modules) for _, modules in rows]


def _places() -> dict[str, tuple[int, int]]:
    """Every module's shelf and its place on it. A folder counts as one place."""
    places = {}
    for level, shelf in enumerate(_shelves()):
        for position, module in enumerate(shelf):
            for name in NAMES:
                short = name.removeprefix("minicelery.")
                if short == module or (module.endswith("/") and (short + ".").startswith(module[:-1] + ".")):
                    places[name] = (level, position)
    places["minicelery"] = places["minicelery.__main__"] = (99, 0)
    return places


def test_every_module_has_its_place_on_a_shelf() -> None:
    assert set(NAMES) - set(_places()) == set()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_module_imports_only_from_below(name: str) -> None:
    places = _places()
    family = name.split(".")[1] if NAMES[name].parent != PACKAGE else None

    above = {
        other
        for other in _imports(name)
        if places[other] >= places[name] and not (family and other.startswith(f"minicelery.{family}"))
    }

    assert above == set()


def test_no_module_is_in_an_import_cycle() -> None:
    edges = {name: _imports(name) for name in NAMES}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges[start])
        while todo:
            here = todo.pop()
            if here not in seen:
                seen.add(here)
                todo += edges[here]
        return seen

    assert [name for name in NAMES if name in reach(name)] == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_functions_and_constructors_are_of_a_readable_size(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)

    assert ast.get_docstring(tree), "a module says in one sentence what lives in it"
    assert sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#")) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            size = node.end_lineno - body[0].lineno + 1 if body and node.end_lineno else 0
            assert size <= 40, f"{node.name} has {size} lines"
            if node.name == "__init__":
                assert len(node.args.args) + len(node.args.kwonlyargs) - 1 <= 7


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_configuration_and_processes_read_the_environment(path: Path) -> None:
    readers = {"minicelery.app", "minicelery.machine", "minicelery.launch", "minicelery.lock_commands"}

    assert "os.environ" not in path.read_text(encoding="utf-8") or _name(path) in readers


# ---- the documents ----------------------------------------------------------------------------


def _transitions() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """The table of the document: script → (from, to, events)."""
    section = ARCHITECTURE.split("## Transitions")[1].split("## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|", section, re.MULTILINE)
    return {
        name: (set(before.split(", ")), set(after.split(", ")), set(re.findall(r"`(\w+)`", events)))
        for name, before, after, events in rows
    }


def _contract(name: str) -> str:
    text = (PACKAGE / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join(line for line in text.split("\nlocal ")[0].splitlines() if line.startswith("--"))


def test_table_scripts_and_methods_of_the_transitions_agree() -> None:
    scripts = {path.stem for path in (PACKAGE / "lua").glob("*.lua")} - {"prelude"}
    methods = {name for kind in (Broker, Timetable) for name in vars(kind) if not name.startswith("_")}

    assert set(_transitions()) | WITHOUT_TRANSITION == scripts
    assert methods - TOGETHER | {"locate"} | OF_LOCKS == scripts
    assert {name for name in scripts if name.startswith("lock_")} == OF_LOCKS
    assert {name for name in vars(Timetable) if not name.startswith("_")} - TOGETHER == OF_SCHEDULES | {"fire"}


@pytest.mark.parametrize("name", sorted(_transitions()))
def test_a_scripts_contract_tells_its_transition_and_events(name: str) -> None:
    before, after, events = _transitions()[name]
    contract = _contract(name)
    first = contract.split("KEYS")[0]
    left, _, right = first.partition("→")

    assert {word for word in (*Status, "(none)") if word in left} == before
    assert {word for word in (*Status, "(none)") if word in right} == after
    assert set(re.findall(r"\w+", contract.split("event")[1])) == events
    assert "ARGV  prefix" in contract
    assert "=>" in contract


@pytest.mark.parametrize("name", sorted(OF_LOCKS))
def test_the_contract_of_a_script_of_locks_says_that_it_is_no_transition(name: str) -> None:
    contract = _contract(name)

    assert all(words in contract for words in ("No task changes its state.", "KEYS", "ARGV  prefix", "=>"))


def test_every_state_can_be_reached_and_left() -> None:
    reached = {state for _, after, _ in _transitions().values() for state in after}
    left = {state for before, _, _ in _transitions().values() for state in before}

    assert reached - {"(none)"} == left - {"(none)"} == set(Status)


def test_the_document_shows_the_schema() -> None:
    section = ARCHITECTURE.split("## Redis schema")[1].split("\nThe fields")[0]
    rows = re.findall(r"^\| `([\w:<>]+)` \| (\w+) \| (.*) \|$", section, re.MULTILINE)

    documented = [(re.sub(r"<\w+>", "{}", key), kind, what) for key, kind, what in rows]
    assert documented == [(row.template, row.type, row.purpose) for row in SCHEMA]


def test_commands_that_need_no_flask_start_without_it() -> None:
    look = "import sys, minicelery.cli; sys.exit(', '.join({'flask', 'rich.progress'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)

    assert (done.stderr.strip(), done.returncode) == ("", 0)
