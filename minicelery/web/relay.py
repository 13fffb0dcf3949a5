"""For sockets that can't be detached, because the web server does TLS on them: their thread carries the bytes."""

import contextlib
import select
import socket
import ssl

_RECEIVE_BYTES = 65_536
_SEND_PATIENCE = 5.0
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def relay(tls: ssl.SSLSocket, plain: socket.socket) -> None:
    """Carry bytes both ways until one side closes, or takes nothing for some seconds."""
    tls.setblocking(False)
    plain.setblocking(False)
    with contextlib.suppress(OSError):
        while True:
            if not tls.pending():
                _wait(None, (tls, select.POLLIN), (plain, select.POLLIN))
            if not (_carry(tls, plain) and _carry(plain, tls)):
                tls.unwrap()  # tells the peer that nothing was cut off, without waiting for its answer
                return


def _carry(source: socket.socket, target: socket.socket) -> bool:
    """Carry what is there now. False when the source has closed."""
    try:
        data = source.recv(_RECEIVE_BYTES)
    except _NOT_NOW:
        return True
    left = memoryview(data)
    while left:
        try:
            left = left[target.send(left) :]
        except _NOT_NOW:
            _wait(_SEND_PATIENCE, (target, select.POLLOUT))
    return bool(data)


def _wait(patience: float | None, *wishes: tuple[socket.socket, int]) -> None:
    """Until one of the wishes is granted. ``poll``, since ``select`` knows no descriptor above 1,023."""
    poll = select.poll()
    for sock, mask in wishes:
        poll.register(sock, mask)
    if not poll.poll(None if patience is None else patience * 1000):
        raise TimeoutError
