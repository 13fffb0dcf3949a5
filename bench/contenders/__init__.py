"""All that take part, a module for each queue."""

from ..contender import Contender
from . import celery, huey, minicelery

ALL: tuple[Contender, ...] = (*minicelery.SETTINGS, *celery.SETTINGS, *huey.SETTINGS)
