"""Settings of gunicorn, for ``-c python:minicelery.web.gunicorn_config``."""

import resource
from typing import Any

from gunicorn.workers import gthread

from minicelery.app import read_config
from minicelery.web.live import close_sockets

_config = read_config({})

_host = f"[{_config.api_host}]" if ":" in _config.api_host else _config.api_host
bind = f"{_host}:{_config.api_port}"
# gunicorn's gthread, a little faster. Other worker classes kill open sockets at their time-out, or break large frames.
worker_class = "minicelery.web.keepalive.Worker"
threads = 16
# A second instance of the same user would take the first one's socket over.
control_socket_disable = True
# Requests are short; open WebSockets are not requests any more, see hub.
timeout = 60
graceful_timeout = 10
keepalive = 15
_LINGER = 0.3
errorlog = "-"
loglevel = _config.log_level.lower()


def post_worker_init(worker: Any) -> None:
    """Let a process have as many WebSockets as the system allows, and end soon when it is told to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft != resource.RLIM_INFINITY else soft, hard))
    # A stopping worker keeps connections without a request open for so long, before it closes the WebSockets.
    gthread.STOP_KEEPALIVE_LINGER = min(_LINGER, getattr(gthread, "STOP_KEEPALIVE_LINGER", _LINGER))


def worker_exit(server: Any, worker: Any) -> None:
    """Close the WebSockets in order before the process ends."""
    close_sockets(getattr(worker, "wsgi", None))
