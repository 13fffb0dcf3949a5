"""How the processes of Mini-Celery log: sentences on a terminal, JSON lines elsewhere."""

import contextlib
import logging
import sys
from typing import Any, TextIO

import structlog

from .config import Config


class _Ours(logging.StreamHandler[TextIO]):
    """A handler that may be replaced by the next call."""


class Unfailing(logging.LoggerAdapter[logging.Logger]):
    """A logger for threads that must go on whatever a handler raises: a task may have closed standard error."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(Exception):
            self.logger.log(level, msg, *args, **kwargs)


def for_people(config: Config) -> bool:
    """Whether people read the log of this process, rather than machines."""
    return sys.stderr.isatty() if config.log_format == "auto" else config.log_format == "console"


def configure(config: Config) -> None:
    """Send the log of this process to standard error. Called by our own processes, never by an import.

    Does nothing once the application has set up logging of its own.
    """
    root = logging.getLogger()
    if any(type(handler) is not _Ours for handler in root.handlers):
        return
    to_terminal = for_people(config)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if to_terminal else "iso", utc=not to_terminal),
    ]
    final: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if to_terminal:  # the sentence says it all; the facts beside it are for machines
        final += [structlog.dev.ConsoleRenderer(pad_event_to=0, pad_level=False, exception_formatter=_plain)]
    else:
        shared.append(structlog.stdlib.ExtraAdder())
        final += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=True)]
    handler = _Ours(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root.handlers[:] = [handler]
    root.setLevel(config.log_level)


_plain = structlog.dev.plain_traceback
