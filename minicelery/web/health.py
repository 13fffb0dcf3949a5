"""Health: ``/healthz`` says that the process is alive, ``/readyz`` that it can do its work."""

from flask import Blueprint, Response

from .api import answer
from .requests import celery


def register(blueprint: Blueprint) -> None:
    """Add the health routes to a blueprint."""
    blueprint.get("/healthz")(alive)
    blueprint.get("/readyz")(ready)


def alive() -> Response:
    """Tell that the process is alive."""
    return answer({"status": "ok"})


def ready() -> Response:
    """Tell that Redis is reachable and runs our scripts."""
    celery().scripts.load_all()
    return answer({"status": "ok"})
