"""The WSGI application of the configured app: ``gunicorn minicelery.web.wsgi:app``."""

from ..loading import load_app
from .factory import create_app

app = create_app(load_app(""))
