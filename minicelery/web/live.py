"""The WebSocket route ``/ws/tasks/<task_id>``: who may come in, and how the socket gets from the server to the hub."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

from ..app import EXTENSION, MiniCelery
from ..errors import InvalidName, RedisUnavailable, TaskNotFound
from ..events import Event, connected, describe
from ..names import check_name
from . import problems
from .hub import Hub, HubFull, Stopping, make_hub
from .origin import is_welcome
from .relay import relay
from .watching import Arrival, Subscription

HUB = "minicelery_hub"
PATH = "/ws/tasks/<task_id>"

#: At most so many sockets keep a thread of the web server, where it does TLS itself and they can't be detached.
RELAYS = 2
_MOST_WRAPPERS = 20


@dataclass(frozen=True)
class _Visit:
    """What was prepared before the handshake. Without a subscription: there is no such task."""

    subscription: Subscription | None = None
    first: Sequence[Event] = ()
    since: float = 0.0


def register(blueprint: Blueprint) -> None:
    """Add the route to a blueprint, which may then be mounted under any prefix, also more than once."""
    live = Blueprint("live", __name__)
    relays = threading.BoundedSemaphore(RELAYS)
    live.before_request(lambda: _admit(relays))
    live.teardown_request(lambda error: _let_go(relays))
    live.register_error_handler(RemoteProtocolError, _refuse_handshake)
    Sock().route(PATH, bp=live)(watch_task)
    live.add_url_rule(PATH, "plain", _ask_for_upgrade)
    blueprint.register_blueprint(live)


def watch_task(ws: Server, task_id: str) -> None:
    """After the handshake: hand the socket to the hub, and leave the server nothing to close but a dead one."""
    hub, undetachable = _hub(), isinstance(ws.sock, ssl.SSLSocket)
    inner, outer = socket.socketpair() if undetachable else (detach(ws.sock), None)
    visit = _take_visit()  # only now: if there are no files left for a new socket, the subscription is given back
    arrival = Arrival(inner, _read_ahead(), visit.first, visit.since, all_events=request.args.get("events") == "all")
    if visit.subscription:
        hub.attach(visit.subscription, arrival)
    else:
        hub.refuse(arrival, 4404, "no such task")
    if outer:
        with outer:
            relay(ws.sock, outer)
        detach(ws.sock).close()  # else the server would wait in its main loop for the peer to close
    ws.connected = False  # so that flask-sock sends no close frame of its own


def detach(sock: socket.socket) -> socket.socket:
    """Move a connection to a new socket. The old one becomes one whose peer has gone, safe to close for its owner.

    A mere duplicate would not do: the server shuts the connection down when it closes its own.
    """
    live = socket.socket(fileno=os.dup(sock.fileno()))
    try:
        dead, peer = socket.socketpair()
        with dead, peer:
            os.dup2(dead.fileno(), sock.fileno(), inheritable=False)
    except OSError:
        live.close()
        raise
    return live


def close_sockets(wsgi: object) -> None:
    """Close all WebSockets of a Flask app's process with 1001, before it ends. Takes half a second at most.

    Middleware around the app is seen through if it keeps what it wraps as ``app`` or ``wsgi_app``.
    """
    for _ in range(_MOST_WRAPPERS):
        if wsgi is None or isinstance(wsgi, Flask):
            break
        wsgi = getattr(wsgi, "app", None) or getattr(wsgi, "wsgi_app", None)
    if isinstance(wsgi, Flask) and HUB in wsgi.extensions:
        wsgi.extensions[HUB].close_all()


# ---- before the handshake ---------------------------------------------------------------------


def _admit(relays: threading.BoundedSemaphore) -> Response | None:
    """Refuse with a plain HTTP answer, or prepare the visit."""
    if not (request.url_rule and request.url_rule.websocket):
        return None
    if refusal := _refuse(relays):
        return refusal
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # flask-sock would agree to compress our frames
    _spare_reader_threads(current_app)
    try:
        g.minicelery_visit = _prepare(str((request.view_args or {})["task_id"]))
    except RedisUnavailable as error:
        return problems.of_error(error)
    except (HubFull, Stopping) as error:
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return None


def _refuse(relays: threading.BoundedSemaphore) -> Response | None:
    if not is_welcome():
        detail = "Pages of this origin may not open a WebSocket here; see MINICELERY_ALLOWED_ORIGINS."
        return _refusal(HTTPStatus.FORBIDDEN, detail)
    if request.method != "GET" or request.headers.get("Sec-WebSocket-Version") != "13":
        detail = "Use GET, and version 13 of the WebSocket protocol."
        return _refusal(HTTPStatus.UPGRADE_REQUIRED, detail, {"Sec-WebSocket-Version": "13"})
    sock = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    if sock is None:
        detail = "This web server gives no access to its sockets; run gunicorn with gthread workers."
        return _refusal(HTTPStatus.NOT_IMPLEMENTED, detail)
    if isinstance(sock, ssl.SSLSocket) and not _enter(relays):
        detail = f"At most {RELAYS} WebSockets at once where the web server does TLS itself; let a proxy do it."
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    return None


def _prepare(task_id: str) -> _Visit:
    """Subscribe first and read second, so that no event falls in between."""
    try:
        check_name(task_id, "/task_id")
    except InvalidName:
        return _Visit()
    hub = _hub()
    subscription = hub.watch(task_id)
    try:
        record = _app().inspector.task(task_id)
        return _Visit(subscription, connected(record, describe(record)), record.updated_at)
    except TaskNotFound:
        hub.abandon(subscription)
        return _Visit()
    except BaseException:
        hub.abandon(subscription)
        raise


def _enter(relays: threading.BoundedSemaphore) -> bool:
    g.minicelery_relays = relays.acquire(blocking=False)
    return bool(g.minicelery_relays)


def _let_go(relays: threading.BoundedSemaphore) -> None:
    """However the request ends, it keeps neither a subscription nor a place."""
    visit = _take_visit()
    if visit.subscription:
        _hub().abandon(visit.subscription)
    if g.pop("minicelery_relays", False):
        relays.release()


def _take_visit() -> _Visit:
    visit: _Visit = g.pop("minicelery_visit", None) or _Visit()
    return visit


class _NoReader:
    """Stands in for simple-websocket's reader thread: our sockets are read by the hub."""

    name = "minicelery-no-reader"

    def start(self) -> None:
        pass


class _ReaderChoice:
    """A ``thread_class`` that gives our route no thread, and all other routes of the application theirs."""

    def __init__(self, others: Callable[..., Any]) -> None:
        self._others = others

    def __call__(self, **options: Any) -> Any:
        return _NoReader() if "minicelery_visit" in g else self._others(**options)


def _spare_reader_threads(app: Flask) -> None:
    options = app.config.get("SOCK_SERVER_OPTIONS", {})
    theirs = options.get("thread_class") or threading.Thread
    if not isinstance(theirs, _ReaderChoice):
        app.config["SOCK_SERVER_OPTIONS"] = {**options, "thread_class": _ReaderChoice(theirs)}


def _read_ahead() -> bytes:
    """What a hasty client sent right behind the handshake, where gunicorn has read it already."""
    reader = getattr(request.environ.get("wsgi.input"), "reader", None)
    take = getattr(getattr(reader, "unreader", None), "take_buffered", None)
    return take() if take else b""


# ---- answers ----------------------------------------------------------------------------------


def _ask_for_upgrade(task_id: str) -> Response:
    detail = "This address speaks WebSocket only; GET /tasks/<id> answers in plain HTTP."
    return _refusal(HTTPStatus.UPGRADE_REQUIRED, detail, {"Upgrade": "websocket", "Connection": "Upgrade"})


def _refuse_handshake(error: RemoteProtocolError) -> Response:
    return _refusal(HTTPStatus.BAD_REQUEST, f"Not a WebSocket handshake: {error}")


def _refusal(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    response = problems.problem(status, detail)
    response.headers.update(headers or {})
    return response


def _app() -> MiniCelery:
    app: MiniCelery = current_app.extensions[EXTENSION]
    return app


def _hub() -> Hub:
    """The hub of this Flask app. It is made on demand, and an extra one that loses the race has begun nothing."""
    found: Hub | None = current_app.extensions.get(HUB)
    return found or current_app.extensions.setdefault(HUB, make_hub(_app()))
