"""Fair keys: whose a task is, a tenant's say, so that tenants take turns within a queue."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import InvalidInput

#: Characters of a key that a call gives.
LONGEST_FAIR_KEY = 1_000
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.:@+-]{1,64}")


def word_of(text: str) -> str:
    """A text as a word that a key of Redis may hold: the text itself, or its digest if it is long or unusual."""
    if _PLAIN_KEY.fullmatch(text):
        return text
    return f"#{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:32]}"


def text_by(
    function: Callable[..., object], pointer: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str | None:
    """What a task's function makes of a call's arguments, as a text; None for None. Raises ``InvalidInput``."""
    try:
        found = function(*args, **kwargs)
        return None if found is None else str(found)
    except Exception as error:  # user code
        raise InvalidInput(f"it raised {type(error).__name__} for these arguments: {error}", pointer) from error


def check_fair_key(key: object) -> str:
    """A fair key that a call has given. Raises ``InvalidInput``."""
    if isinstance(key, str) and 1 <= len(key) <= LONGEST_FAIR_KEY:
        return key
    found = f"{len(key)} characters" if isinstance(key, str) else f"{key!r:.80}"
    raise InvalidInput(f"this is {found}; a key is a string of 1 to {LONGEST_FAIR_KEY} characters", "/fair_key")


def fair_fields(
    function: Callable[..., object] | None, key: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, str]:
    """What enqueue.lua takes of the fair key that a call gives, or else the task's function; nothing without one.

    The function may return None or '' for none. Raises ``InvalidInput`` if it fails.
    """
    if key is None and function:
        key = text_by(function, "/fair_key", args, kwargs)
    return {"fair": word_of(key)} if key else {}
