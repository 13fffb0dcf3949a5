"""The application of ``tests.real.tasks``, with logging of its own."""

import logging

from tests.real.tasks import app

__all__ = ["app"]

logging.basicConfig(format="mine: %(message)s", level=logging.INFO, force=True)
