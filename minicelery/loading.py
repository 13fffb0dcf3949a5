"""Finds the application object that ``module:attribute`` names."""

import importlib
import sys
from pathlib import Path

from .app import MiniCelery, read_config
from .errors import AppNotFound

DEMO = "minicelery.demo:app"


def load_app(path: str) -> MiniCelery:
    """The MiniCelery object of ``module:attribute``; of ``module`` alone, the only one there. Empty: what the
    configuration names, else the demonstration.

    The working directory is importable. Raises ``AppNotFound``; errors inside the module pass through.
    """
    module_name, _, attribute = (path or read_config({}).app or DEMO).partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise AppNotFound(f"no module '{module_name}' in {Path.cwd()}; give --app module:attribute") from error
        raise
    if attribute:
        return _checked(getattr(module, attribute, None), f"{module_name}:{attribute}")
    found = {id(value): value for value in vars(module).values() if isinstance(value, MiniCelery)}
    if len(found) == 1:
        return next(iter(found.values()))
    raise AppNotFound(f"{len(found)} MiniCelery objects in '{module_name}'; give --app {module_name}:attribute")


def _checked(value: object, path: str) -> MiniCelery:
    extensions = getattr(value, "extensions", {})  # of a Flask app that init_app has joined
    value = extensions.get("minicelery", value) if isinstance(extensions, dict) else value
    if isinstance(value, MiniCelery):
        return value
    raise AppNotFound(f"'{path}' is not a MiniCelery object, nor a Flask app that has one")
