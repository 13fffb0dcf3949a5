"""Health: ``/healthz`` says that the process is alive, ``/readyz`` that it can do its work."""

from http import HTTPStatus

from flask import Blueprint, Response

from ..server import Watchman
from ..world import World
from . import problems
from .api import answer
from .requests import celery


def register(blueprint: Blueprint) -> None:
    """Add the health routes to a blueprint."""
    watchmen: dict[tuple[int, World], Watchman] = {}  # an app that is simulated has another world

    def ready() -> Response:
        """Tell that Redis is reachable, runs our scripts and drops nothing."""
        app = celery()
        app.scripts.load_all()
        watchman = watchmen.setdefault((id(app), app.world), Watchman(app.clients.commands, app.world.monotonic))
        if refusals := watchman.refusals():
            return problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(refusals))
        return answer({"status": "ok"})

    blueprint.get("/healthz")(alive)
    blueprint.get("/readyz")(ready)


def alive() -> Response:
    """Tell that the process is alive."""
    return answer({"status": "ok"})
