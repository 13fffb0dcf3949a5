"""How the command line reads arguments that are JSON, or nearly so."""

import re
from typing import Any

import click

from . import codec
from .errors import InvalidInput, MiniCeleryError


class WithNegativeNumbers(click.Command):
    """Takes -1 for an argument and not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # JSON allows a blank in front, and to click it is no option then.
        return super().parse_args(ctx, [f" {arg}" if re.fullmatch(r"-\d.*", arg) else arg for arg in args])


def value(text: str) -> Any:
    """JSON, or else the text itself."""
    try:
        return codec.decode_foreign(text.encode("utf-8", "surrogateescape"))
    except MiniCeleryError:
        return text


def key_and_value(text: str) -> tuple[str, Any]:
    """KEY=JSON, or KEY=text."""
    key, equals, rest = text.partition("=")
    if not equals:
        raise InvalidInput(f"'{text}' is not KEY=JSON", "/kwargs")
    return key, value(rest)
