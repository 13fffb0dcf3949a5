"""All that take part, a module for each queue. The first setting of each stands for it where one is enough."""

from ..contender import Contender
from . import arq, celery, dramatiq, huey, ideal, minicelery, rq, saq, streaq, taskiq

ALL: tuple[Contender, ...] = (
    *minicelery.SETTINGS,
    *ideal.SETTINGS,
    *huey.SETTINGS,
    *dramatiq.SETTINGS,
    *saq.SETTINGS,
    *taskiq.SETTINGS,
    *arq.SETTINGS,
    *streaq.SETTINGS,
    *celery.SETTINGS,
    *rq.SETTINGS,
)
