"""How a process that runs tasks opens the application, and leaves signals to its parent."""

import logging
import signal

from .. import logs
from ..app import MiniCelery, read_config
from ..errors import MiniCeleryError
from ..loading import load_app

_log = logs.Unfailing(logging.getLogger("minicelery.worker"))


class Unusable(Exception):
    """The application can't be loaded; the text says why."""


def open_application(path: str, settings: dict[str, object]) -> MiniCelery:
    """The application, with the settings of this worker, and its log set up. Raises ``Unusable``."""
    try:
        logs.configure(read_config({}))  # first, so that the application may have it otherwise
        app = load_app(path)
        app.configure(**settings)
    except MiniCeleryError as error:
        raise Unusable(str(error)) from error
    except Exception as error:
        _log.exception("the application can't be loaded")
        raise Unusable(f"the application can't be loaded: {type(error).__name__}: {error}") from error
    logs.configure(app.config)
    return app


def leave_signals_to_the_parent() -> None:
    """It tells us otherwise. To ignore them would be handed down to whatever a task starts."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_it_to_the_parent)


def _leave_it_to_the_parent(*_: object) -> None:
    pass
