"""What the OpenAPI document says of one route."""

from dataclasses import dataclass, field

import marshmallow as ma


@dataclass(frozen=True)
class Operation:
    """One route, as the document describes it. ``problems`` are the error answers it can give."""

    method: str
    path: str
    summary: str
    status: int
    answer: type[ma.Schema] | None = None
    body: type[ma.Schema] | None = None
    query: type[ma.Schema] | None = None
    problems: tuple[int, ...] = ()
    headers: tuple[str, ...] = field(default=())
    takes_key: bool = False  #: the header Idempotency-Key
    bare: bool = False  #: its body may be left out
