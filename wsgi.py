"""The WSGI application: ``gunicorn -c gunicorn.conf.py wsgi:app``."""

from minicelery.web.wsgi import app

__all__ = ["app"]
