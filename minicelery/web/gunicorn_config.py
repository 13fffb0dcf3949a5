"""Settings of gunicorn, for ``-c python:minicelery.web.gunicorn_config``."""

from typing import Any

from minicelery.app import read_config

_config = read_config({})

_host = f"[{_config.api_host}]" if ":" in _config.api_host else _config.api_host
bind = f"{_host}:{_config.api_port}"
# Other worker classes kill open sockets at their time-out, or break large frames.
worker_class = "gthread"
threads = 16
# A second instance of the same user would take the first one's socket over.
control_socket_disable = True
# Requests are short; open WebSockets are not requests any more, see hub.
timeout = 60
graceful_timeout = 10
keepalive = 15
errorlog = "-"
loglevel = _config.log_level.lower()


def worker_exit(server: Any, worker: Any) -> None:
    """Close the WebSockets in order before the process ends."""
    from minicelery.web.live import close_sockets

    close_sockets(getattr(worker, "wsgi", None))
