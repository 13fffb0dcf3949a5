"""Puts the web part together: the blueprint for any Flask app, and a Flask app that serves only it."""

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Flask, Response, redirect, send_from_directory, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from ..app import EXTENSION, MiniCelery
from ..errors import MiniCeleryError
from . import api, documentation, health, live, problems
from .requests import BadJson, InvalidFields


def api_blueprint(name: str = "minicelery") -> Blueprint:
    """The HTTP API, the WebSocket, the documentation and the watch page.

    Register it on a Flask app that ``MiniCelery.init_app`` has joined, with any ``url_prefix``.
    """
    blueprint = Blueprint(name, __name__, template_folder="templates", static_folder="static")
    for part in (api, health, documentation, live):
        part.register(blueprint)
    blueprint.get("/watch")(watch)
    blueprint.register_error_handler(BadJson, _bad_json)
    blueprint.register_error_handler(InvalidFields, _invalid_fields)
    blueprint.register_error_handler(MiniCeleryError, problems.of_error)
    blueprint.register_error_handler(HTTPException, problems.of_http)
    return blueprint


def create_app(celery: MiniCelery) -> Flask:
    """A Flask app that serves the API of ``celery`` and nothing else."""
    flask_app = Flask("minicelery.web", static_folder=None)
    flask_app.extensions[EXTENSION] = celery
    flask_app.register_blueprint(api_blueprint())
    flask_app.register_error_handler(HTTPException, problems.of_http)
    flask_app.get("/")(_home)
    return flask_app


def _home() -> BaseResponse:
    return redirect(url_for("minicelery.page"))


def watch() -> Response:
    """The page that watches any task."""
    response = send_from_directory(Path(__file__).parent / "static", "websocket_client.html")
    response.headers["Content-Security-Policy"] = "default-src 'self'"
    return response


def _bad_json(error: BadJson) -> Response:
    return problems.problem(HTTPStatus.BAD_REQUEST, error.detail)


def _invalid_fields(error: InvalidFields) -> Response:
    faults = [{"pointer": pointer, "detail": detail} for pointer, detail in error.faults]
    return problems.problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), faults)
