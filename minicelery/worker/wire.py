"""What a child and the process of its isolated tasks say to each other: JSON values, each with its length before it."""

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!I")
_PIECE = 1 << 16


class Wire:
    """One end of the connection between the two. JSON, so that neither runs code that the other sends."""

    def __init__(self, end: socket.socket, patience: float | None = None) -> None:
        """``patience``: seconds that the other end has to take what is sent; None: as long as it likes."""
        self._end = end
        self._patience = patience
        self._came = bytearray()

    def send(self, *words: Any) -> None:
        """``OSError`` if the other end is gone, or does not take it in time."""
        data = json.dumps(words).encode()  # all in ASCII, so that lone surrogates of foreign hands pass, too
        self._end.settimeout(self._patience)
        self._end.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, patience: float | None = None) -> list[Any]:
        """The next words. ``TimeoutError`` if nothing comes for so many seconds, ``EOFError`` at the end."""
        self._end.settimeout(patience)
        while (words := self._next()) is None:
            piece = self._end.recv(_PIECE)
            if not piece:
                raise EOFError
            self._came += piece
        return words

    def close(self) -> None:
        self._end.close()

    def _next(self) -> list[Any] | None:
        """The first whole words of what has come."""
        if len(self._came) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._came)[0]
        if len(self._came) < end:
            return None
        words: list[Any] = json.loads(self._came[_LENGTH.size : end])
        del self._came[:end]
        return words
