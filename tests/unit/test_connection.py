"""Clients of Redis: what they do when the link fails."""

import socket
import threading

import pytest
import redis

from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import HOST


def test_a_command_without_an_answer_is_not_repeated_by_the_client_itself() -> None:
    asked: list[bytes] = []

    def hang_up(server: socket.socket) -> None:
        """Answer the greeting of each connection, and cut it at the first command."""
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                while (data := link.recv(65536)) and b"INCR" not in data:
                    link.sendall(b"+OK\r\n" * data.count(b"CLIENT\r\n"))
                if data:
                    asked.append(data)

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        clients = connect(Config(redis_url=f"redis://{HOST}:{server.getsockname()[1]}"))
        for client in (clients.commands, clients.blocking):
            with pytest.raises(redis.ConnectionError):
                client.incr("counter")
        clients.close()
        server.shutdown(socket.SHUT_RDWR)
    thread.join()

    assert len(asked) == 2
