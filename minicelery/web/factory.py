"""Puts the web part together: the blueprint for any Flask app, and a Flask app that serves only it."""

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Flask, Response, redirect, request, send_from_directory, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from ..app import EXTENSION, MiniCelery
from . import api, bulk_api, control_api, documentation, health, live, locks_api, outage, problems, schedules_api
from .origin import is_welcome
from .requests import BadJson, InvalidFields


def api_blueprint(name: str = "minicelery") -> Blueprint:
    """The HTTP API, the WebSocket, the documentation and the watch page.

    Register it on a Flask app that ``MiniCelery.init_app`` has joined, with any ``url_prefix``.
    """
    blueprint = Blueprint(name, __name__, template_folder="templates", static_folder="static")
    blueprint.before_request(_refuse_foreign_pages)
    for part in (outage, api, bulk_api, control_api, locks_api, schedules_api, health, documentation, live):
        part.register(blueprint)
    blueprint.get("/watch")(watch)
    blueprint.register_error_handler(BadJson, _bad_json)
    blueprint.register_error_handler(InvalidFields, _invalid_fields)
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


def _refuse_foreign_pages() -> Response | None:
    """A page elsewhere must not be able to change anything here by a form."""
    if request.method in ("GET", "HEAD", "OPTIONS") or is_welcome():
        return None
    detail = "Pages of this origin may not change anything here; see MINICELERY_ALLOWED_ORIGINS."
    return problems.problem(HTTPStatus.FORBIDDEN, detail)


def _bad_json(error: BadJson) -> Response:
    return problems.problem(HTTPStatus.BAD_REQUEST, error.detail)


def _invalid_fields(error: InvalidFields) -> Response:
    faults = [{"pointer": pointer, "detail": detail} for pointer, detail in error.faults]
    return problems.problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), faults)
