"""What task names, queue names and ids may look like, so that each is safe inside a key, a URL and a log."""

import re

from .errors import InvalidName
from .keys import RESERVED_QUEUES

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_RULE = "use 1 to 128 of the characters A-Z a-z 0-9 _ . : - and not dots alone"


def check_name(value: object, pointer: str) -> str:
    """``value`` itself if it is a valid name; else ``InvalidName`` that names the field."""
    if isinstance(value, str) and _NAME.fullmatch(value) and value.strip("."):  # "." and ".." mean folders in a URL
        return value
    raise InvalidName(f"{value!r:.200} is not a valid name; {_RULE}", pointer)


def check_queue(value: object, pointer: str = "/queue") -> str:
    """As ``check_name``, and not the name of a queue that Mini-Celery keeps for itself."""
    name = check_name(value, pointer)
    if name in RESERVED_QUEUES:
        raise InvalidName(f"the queue name '{name}' is reserved; choose another", pointer)
    return name
