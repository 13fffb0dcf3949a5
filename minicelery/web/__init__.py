"""The web part: the HTTP API, the WebSocket, their documentation."""

from .factory import api_blueprint, create_app

__all__ = ["api_blueprint", "create_app"]
