"""Settings of gunicorn; see minicelery/web/gunicorn_config.py for each one's reason."""

from minicelery.web.gunicorn_config import *  # noqa: F403
