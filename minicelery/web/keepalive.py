"""A worker of gunicorn whose threads stay with a connection between its requests, while there are threads to spare."""

import select
import socket
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

#: Milliseconds that a thread waits for the next request before it lets go of the connection.
_PATIENCE = 20


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gthread gives a connection back to its main thread after each request, and gets it from there with the
    next one. A busy connection can do without these two changes of thread and of who holds Python's lock.
    """

    def handle(self, conn: Any) -> Any:
        """Serve requests of a connection until it is closed or rests, or its thread is needed for others."""
        answer = super().handle(conn)
        while answer is True and self._may_stay(conn) and _is_readable(conn.sock):
            answer = super().handle(conn)
        return answer

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Whether the connection can be used again. gunicorn bounds the time for reading what the application has left
        of a body; where it has left nothing, the time-out of the socket need not be set, and set back."""
        reader = getattr(conn.parser.mesg.body, "reader", None)
        if keepalive and getattr(reader, "length", None) == 0:
            return bool(conn.parser.finish_body())
        return bool(super()._keepalive_after(conn, keepalive))

    def _may_stay(self, conn: Any) -> bool:
        """Whether each connection can have a thread. What is read ahead already makes no socket readable."""
        return self.alive and self.nr_conns <= self.cfg.threads and not conn.parser.unreader.buf.getvalue()


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(_PATIENCE))
