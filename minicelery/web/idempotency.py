"""The header Idempotency-Key: a request that is sent again is answered as the first time."""

import re
from collections.abc import Sequence
from typing import Any

from flask import Request, request
from werkzeug.exceptions import BadRequest

from .. import codec
from ..app import MiniCelery
from ..dispatch import Sent
from ..message import Idempotency, Message
from ..uniqueness import digest

HEADER = "Idempotency-Key"
#: Stands with an answer that was given before.
REPLAYED = "Idempotent-Replayed"
_ENVIRON = "HTTP_IDEMPOTENCY_KEY"
_is_key = re.compile(r"[ -~]{1,255}").fullmatch


def key_of(asked: Request) -> str | None:
    """What the header of a request says, if it is there. Raises a 400 for what is no key."""
    key: str | None = asked.environ.get(_ENVIRON)
    if key is not None and not _is_key(key):
        raise BadRequest(f"the header {HEADER} is not 1 to 255 printable ASCII characters; give a UUID, say")
    return key


def send(
    app: MiniCelery, key: str, body: dict[str, Any], messages: Sequence[Message]
) -> tuple[list[Sent], dict[str, str]]:
    """Submit the messages of a body, unless that was done before under this key: the handles and states of the first
    time, and the headers to say so. Raises ``IdempotencyKeyReused``."""
    asked = Idempotency(digest(key), digest(request.path, codec.canonical(body)), app.config.idempotency_ttl)
    sent, is_replayed = app.sender.send_once(messages, asked)
    return sent, {REPLAYED: "true"} if is_replayed else {}
