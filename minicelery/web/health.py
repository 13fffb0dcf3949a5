"""Health: ``/healthz`` says that the process is alive, ``/readyz`` that it can do its work."""

from http import HTTPStatus

from flask import Blueprint, Response

from ..server import Watchman
from . import problems
from .api import answer
from .lasting import Lasting
from .requests import celery


def register(blueprint: Blueprint) -> None:
    """Add the health routes to a blueprint."""
    watchmen = Lasting(lambda app: Watchman(app.clients.commands, app.world.monotonic))

    def ready() -> Response:
        """Tell that Redis is reachable, runs our scripts and drops nothing."""
        app = celery()
        app.scripts.load_all()
        if refusals := watchmen.of(app).refusals():
            return problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(refusals))
        return answer({"status": "ok"})

    blueprint.get("/healthz")(alive)
    blueprint.get("/readyz")(ready)


def alive() -> Response:
    """Tell that the process is alive."""
    return answer({"status": "ok"})
