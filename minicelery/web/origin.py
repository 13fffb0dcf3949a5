"""Which pages may talk to us from a browser: those of our own origin, and those that the settings name."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import request

from .requests import celery

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_welcome() -> bool:
    """Whether the page that makes this request may. Programs that are no browsers name no origin, and always may."""
    origin = request.headers.get("Origin")
    return origin is None or may_come(origin, request.scheme, request.host, celery().config.allowed_origins)


def may_come(origin: str | None, scheme: str, host: str, allowed: Sequence[str]) -> bool:
    """The rule behind ``is_welcome``."""
    if origin is None or "*" in allowed:
        return True
    origin = origin.lower()
    if origin in (one.lower().rstrip("/") for one in allowed):
        return True
    try:
        theirs, place = urlsplit(origin)[:2]
    except ValueError:
        return False
    if scheme in ("https", "wss") and theirs == "http":  # the reverse is how we look behind a proxy that does TLS
        return False
    port = _DEFAULT_PORTS.get(theirs, "")
    return bool(place) and place.removesuffix(port) == host.lower().removesuffix(port)
