"""The worker of gunicorn that ours has, for the others that are measured with it."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("keepalive", Path(__file__).parents[2] / "minicelery" / "web" / "keepalive.py")
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)
Worker = _module.Worker
